"""`doctor`, `--version`, `schema`, `man`, variables and the log: what a report of a fault needs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from gelu_tui.cli import doctor
from gelu_tui.cli.schema import NAMES, schema
from gelu_tui.cli.tree import tree
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.user_file import Settings
from tests.support.command import complaint, fake_engine, gelu
from tests.support.engine_process import broken_mlx, environment

FAKE = ("--engine-command", fake_engine("five"))


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path)


# --- doctor and --version -------------------------------------------------------------------------


def test_the_version_is_what_a_report_needs(home: dict[str, str]) -> None:
    done = gelu(home, "--version")
    assert (done.code, done.err) == (0, "")
    first, *others = done.out.splitlines()
    assert re.fullmatch(r"gelu-tui, version \d+\.\d+\.\d+", first)
    for word in ("Python 3.", "mlx ", "mlx-lm ", "textual ", "engine.log", "gelu-tui doctor"):
        assert word in "\n".join(others)


def test_the_doctor_says_what_the_machine_is(home: dict[str, str]) -> None:
    done = gelu({**home, "HF_TOKEN": "hf_secret"}, "doctor", "--format", "json")
    found = json.loads(done.out)
    assert found["schema"] == "gelu-tui.doctor/1"
    assert done.code == (1 if found["problems"] else 0)
    assert found["versions"]["mlx"] and found["backend"]["kind"] in ("CPU", "GPU")
    assert found["paths"]["log"].endswith("engine.log")
    assert "hf_secret" not in done.out and found["environment"]["HF_TOKEN"] == "(set)"
    text = gelu(home, "doctor")
    assert all(word in text.out for word in ("versions", "backend", "paths", "engine.log"))


def test_a_broken_mlx_is_a_sentence(home: dict[str, str], tmp_path: Path) -> None:
    broken_mlx(tmp_path)
    done = gelu({**home, "PYTHONPATH": str(tmp_path)}, "doctor")
    assert done.code == 1
    assert "MLX cannot compute here: ImportError: broken on purpose." in done.err
    assert "device" in done.out and "unknown" in done.out


@pytest.mark.parametrize(
    ("library", "said", "hint"),
    [
        ("libmlx.so", "MLX is installed without a backend", "'mlx[cpu]'"),
        ("libcublasLt.so.12", "MLX's CUDA backend lacks a library of NVIDIA's", "'mlx[cuda12]'"),
    ],
)
def test_a_backend_that_is_missing_is_named_by_all_that_need_it(
    home: dict[str, str], model: str, tmp_path: Path, library: str, said: str, hint: str
) -> None:
    broken_mlx(tmp_path, f"{library}: cannot open shared object file: No such file or directory")
    broken = {**home, "PYTHONPATH": str(tmp_path)}
    for command in (("doctor",), ("run", "hello", "--model", model)):
        done = gelu(broken, *command)
        assert done.code == 1 and said in done.err and library in done.err and hint in done.err
        assert "Traceback" not in done.err


def test_what_is_wrong_with_settings_and_places_is_said(
    home: dict[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("max_tokens = 'many'\n")
    (tmp_path / "file").write_text("")
    own = {**home, "GELU_TUI_CONFIG": str(config), "XDG_DATA_HOME": str(tmp_path / "file")}
    done = gelu({**own, "GELU_TUI_BLAS": "/nowhere"}, "doctor")
    assert done.code == 1
    assert "max_tokens must be a whole number" in done.err
    assert "The folder of saved runs cannot be written" in done.err


@pytest.mark.parametrize(
    ("wheels", "sentence"),
    [
        ({"mlx-cpu": "0.32.4", "mlx-cuda-12": "0.32.4"}, "mlx-cpu and mlx-cuda-12 are installed"),
        ({"mlx-cpu": "0.31.0"}, "mlx 0.32.4 and mlx-cpu 0.31.0 do not belong together"),
        ({"mlx-cpu": "0.32.4", "mlx-lm": None}, "The package mlx-lm is not installed"),
    ],
)
def test_packages_that_do_not_go_together(wheels: dict[str, str | None], sentence: str) -> None:
    found = {**dict.fromkeys(doctor._PACKAGES, "1"), "mlx": "0.32.4", **wheels}
    said = [problem.message for problem in doctor._packages(found)]
    assert len(said) == 1 and said[0].startswith(sentence)


def test_packages_that_do() -> None:
    found = {**dict.fromkeys(doctor._PACKAGES, "1"), "mlx": "0.32.4", "mlx-cpu": "0.32.4"}
    assert doctor._packages(found) == []


# --- schemas --------------------------------------------------------------------------------------


def check(value: Any, of: dict[str, Any], whole: dict[str, Any], at: str = "") -> None:
    """That a value has the fields of its schema, all that it must have and no others."""
    if "$ref" in of:
        of = whole["$defs"][of["$ref"].rsplit("/", 1)[1]]
    for one in of.get("anyOf", ()):
        if (value is None) == (one.get("type") == "null"):
            check(value, one, whole, at)
    if "const" in of:
        assert value == of["const"], at
    if isinstance(value, list) and "items" in of and of["items"]:
        for item in value:
            check(item, of["items"], whole, f"{at}[]")
    if isinstance(value, dict) and "properties" in of:
        assert value.keys() <= of["properties"].keys(), at
        assert set(of.get("required", ())) <= value.keys(), at
        for name, inner in value.items():
            check(inner, of["properties"][name], whole, f"{at}.{name}")


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_printed(home: dict[str, str], name: str) -> None:
    done = gelu(home, "schema", name)
    assert done.code == 0
    assert json.loads(done.out) == json.loads(msgspec.json.encode(schema(name)))


def test_a_comparison_fits_its_schema(home: dict[str, str]) -> None:
    done = gelu(home, "run", *FAKE, "-a", "gelu_approx,silu", "--format", "json", "x")
    whole = schema("comparison")
    check(json.loads(done.out), whole, whole)
    broken = {**json.loads(done.out), "schema": "other/1"}
    with pytest.raises(AssertionError):
        check(broken, whole, whole)


def test_the_settings_schema_has_every_setting() -> None:
    assert (
        schema("settings")["$defs"]["Settings"]["properties"].keys() == fields_of(Settings).keys()
    )


# --- the manual -----------------------------------------------------------------------------------


def test_the_manual_has_every_command_and_option(home: dict[str, str]) -> None:
    done = gelu(home, "man")
    assert (done.code, done.err) == (0, "")
    plain = done.out.replace(r"\-", "-")
    context = click.Context(tree)
    for name in tree.list_commands(context):
        command = tree.get_command(context, name)
        assert command is not None and f"gelu-tui {name}" in plain
        for param in command.params:
            if isinstance(param, click.Option):
                assert param.opts[-1] in plain
    for field in fields_of(Settings):
        assert f"GELU_TUI_{field.upper()}" in plain
    controls = {line.split()[0] for line in done.out.splitlines() if line.startswith(".")}
    assert controls <= {".TH", ".SH", ".SS", ".B", ".PP", ".TP", ".nf", ".fi"}
    if shutil.which("groff"):
        words = ("groff", "-man", "-ww", "-z", "-K", "utf8")
        said = subprocess.run(words, input=done.raw, capture_output=True, check=False)
        assert said.stderr == b""


@pytest.mark.parametrize("command", [(), ("run",), ("score",), ("models",), ("completion",)])
def test_help_leaves_room_for_explanations_at_60_columns(
    home: dict[str, str], command: tuple[str, ...]
) -> None:
    done = gelu({**home, "COLUMNS": "60"}, *command, "--help")
    lines = done.out.splitlines()
    to_be_copied = ("  gelu-tui", "  bash", "  zsh", "  fish")
    assert all(len(line) <= 60 for line in lines if not line.startswith(to_be_copied))
    continued = [len(line) - len(line.lstrip()) for line in lines if line.startswith(" " * 10)]
    assert all(indent <= 18 for indent in continued)


# --- variables and the log ------------------------------------------------------------------------


def test_every_option_has_a_variable() -> None:
    context = click.Context(tree)
    seen: set[str] = set()
    for name in tree.list_commands(context):
        command = tree.get_command(context, name)
        assert command is not None
        for param in command.params:
            if isinstance(param, click.Option) and param.name not in (
                "delete", "fetch", "yes", "shown", "help", "earlier", "restart"
            ):  # fmt: skip
                assert isinstance(param.envvar, str) and param.envvar not in seen
                assert param.envvar.startswith(f"GELU_TUI_{name.upper()}_")
                seen.add(param.envvar)
    assert {"GELU_TUI_RUN_FORMAT", "GELU_TUI_SCORE_CONTEXT", "GELU_TUI_HISTORY_LIMIT"} <= seen


def test_variables_decide_what_the_command_line_leaves_open(home: dict[str, str]) -> None:
    own = {
        **home,
        "GELU_TUI_MAX_TOKENS": "9",
        "GELU_TUI_RUN_MAX_TOKENS": "3",
        "GELU_TUI_RUN_FORMAT": "json",
        "GELU_TUI_RUN_ACTIVATIONS": "gelu, f=x * 2",
        "GELU_TUI_RUN_REFERENCE": "f",
        "GELU_TUI_RUN_CONTROL": "",
    }
    document = json.loads(gelu(own, "run", *FAKE, "x").out)
    assert document["settings"]["max_tokens"] == 3
    assert document["reference"] == "f"
    assert [variant["name"] for variant in document["variants"]] == ["gelu", "f"]
    typed = json.loads(gelu(own, "run", *FAKE, "--max-tokens", "2", "x").out)
    assert typed["settings"]["max_tokens"] == 2


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("GELU_TUI_RUN_MAX_TOKENS", "abc", "GELU_TUI_RUN_MAX_TOKENS must be a whole number"),
        ("GELU_TUI_RUN_FORMAT", "pdf", "(GELU_TUI_RUN_FORMAT is set)"),
        ("GELU_TUI_RUN_CONTROL", "perhaps", "(GELU_TUI_RUN_CONTROL is set)"),
        ("GELU_TUI_RUN_LOG_LEVEL", "loud", 'GELU_TUI_RUN_LOG_LEVEL must be "debug" or'),
    ],
)
def test_a_wrong_variable_is_named(home: dict[str, str], name: str, value: str, words: str) -> None:
    assert words in complaint(gelu({**home, name: value}, "run", *FAKE, "x"), 2)[0]


def test_a_forgotten_variable_deletes_nothing(home: dict[str, str]) -> None:
    assert gelu(home, "run", *FAKE, "x").code == 0
    assert gelu({**home, "GELU_TUI_HISTORY_DELETE": "1"}, "history").out
    assert gelu(home, "show", "1").code == 0


def test_the_log_level_reaches_the_engine(home: dict[str, str]) -> None:
    told = "sh -c 'echo level=$GELU_TUI_LOG_LEVEL >&2; exit 3'"
    words = ("models", "--engine-command", told)
    assert "level=info" in gelu(home, *words).err
    assert "level=debug" in gelu(home, *words, "--log-level", "debug").err
    assert "level=error" in gelu({**home, "GELU_TUI_LOG_LEVEL": "error"}, *words).err
