"""A run setting is one field: a copy of the package with one more has it everywhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import gelu_tui
from tests.support.command import fake_engine

ROOT = Path(gelu_tui.__file__).parent.parent
FIELD = """
    patience: Annotated[
        int,
        Meta(ge=1, le=9),
        about("How long to wait.", metavar="P", noun="the patience"),
    ] = 3

"""
BEFORE = "\n    def of_run("

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with one more field in `RunSettings`."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "gelu_tui", folder / "gelu_tui")
    file = folder / "gelu_tui" / "core" / "settings" / "run_settings.py"
    text = file.read_text()
    assert text.count(BEFORE) == 1
    file.write_text(text.replace(BEFORE, FIELD + BEFORE))
    return folder


@pytest.fixture
def python(copy: Path, tmp_path: Path) -> Run:
    """Python that has the copy for the package."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GELU_TUI_")}
    env |= {
        "PYTHONPATH": f"{copy}{os.pathsep}{ROOT}",
        "GELU_TUI_CONFIG": str(tmp_path / "config.toml"),
        "XDG_DATA_HOME": str(tmp_path),
        "HOME": str(tmp_path),
    }
    (tmp_path / "config.toml").touch()

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", *words],
            capture_output=True, text=True, env={**env, **variables}, cwd=tmp_path, check=False,
        )  # fmt: skip

    return run


def gelu(python: Run, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "gelu_tui", *words, **variables)


def run(python: Run, output: str, *words: str, **variables: str) -> str:
    """What a run prints in this format."""
    engine = ("--engine-command", fake_engine("five", 0.0), "-a", "gelu", "x")
    done = gelu(python, "run", *words, "--format", output, *engine, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def patience(python: Run, *words: str, **variables: str) -> int:
    """What the document of a run has."""
    found: int = json.loads(run(python, "json", *words, **variables))["settings"]["patience"]
    return found


def test_option_environment_file_and_default_reach_event_and_document(
    python: Run, tmp_path: Path
) -> None:
    assert patience(python) == 3
    (tmp_path / "config.toml").write_text("patience = 5\n")
    assert patience(python) == 5
    assert patience(python, GELU_TUI_PATIENCE="6") == 6
    lines = run(python, "jsonl", "--patience", "7", GELU_TUI_PATIENCE="6").splitlines()
    started = next(event for event in map(json.loads, lines) if event["event"] == "started")
    assert started["settings"]["patience"] == 7
    saved = gelu(python, "show", "last", "--format", "json").stdout
    assert json.loads(saved)["settings"]["patience"] == 7


def test_help_and_the_commented_file(python: Run) -> None:
    for words in (("run",), ("app",), ()):
        flat = " ".join(gelu(python, *words, "--help", GELU_TUI_PATIENCE="8").stdout.split())
        assert "--patience P How long to wait. [default: 8]" in flat
    defaults = gelu(python, "settings", "--defaults").stdout
    assert "# How long to wait. Allowed: a whole number from 1 to 9.\n# patience = 3\n" in defaults
    effective = gelu(python, "settings", GELU_TUI_PATIENCE="8").stdout
    assert "patience = 8  # GELU_TUI_PATIENCE\n" in effective


def test_every_source_is_validated_in_the_same_words(python: Run, tmp_path: Path) -> None:
    wrong = "must be a whole number from 1 to 9, not 10."
    typed = gelu(python, "run", "--patience", "10", "x")
    assert (typed.returncode, typed.stderr) == (
        2, f"gelu-tui: --patience {wrong}\n  How long to wait.\n"
    )  # fmt: skip
    (tmp_path / "config.toml").write_text("patience = 10\n")
    checked = gelu(python, "settings", "--check", GELU_TUI_PATIENCE="10")
    assert checked.returncode == 1
    said = " ".join(checked.stderr.split())
    assert f"config.toml, patience {wrong} 3 is used instead." in said
    assert f"GELU_TUI_PATIENCE {wrong} The variable is ignored." in said


def test_the_wire_and_the_palette(python: Run) -> None:
    script = """
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import UsageError
from gelu_tui.core.protocol.requests import compare_command
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.compare.choices import setting_variations, typed

command = compare_command("x", RunSettings(patience=4))
line = p.encode(command)
assert b'"patience":4' in line
assert p.decode_command(line) == command
for broken, error in ((compare_command, UsageError), (p.Compare, p.ProtocolError)):
    try:
        p.decode_command(p.encode(broken("x", RunSettings(patience=0))))
    except error as refused:
        print(str(refused).partition(" (")[0])
for title, explanation, field, _ in setting_variations(command.settings):
    if field.name == "patience":
        print(title, explanation, typed(command.settings, field, " 9 ").patience)
"""
    done = python("-c", script)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "patience must be a whole number from 1 to 9, not 0.",
        "The app sent a line it should not: Expected `int` >= 1 - at `$.settings.patience`",
        "Set the patience… How long to wait. Now: 4. 9",
    ]


def test_the_python_api(python: Run) -> None:
    script = """
import inspect
import gelu_tui
assert inspect.signature(gelu_tui.compare).parameters["patience"].default == 3
assert "patience: How long to wait." in gelu_tui.Engine.compare.__doc__
try:
    gelu_tui.compare("x", patience=10)
except gelu_tui.GeluError as refused:
    print(refused, refused.hint)
"""
    said = "patience must be a whole number from 1 to 9, not 10. How long to wait.\n"
    assert python("-c", script).stdout == said
