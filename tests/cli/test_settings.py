"""`gelu-tui settings`, and the settings file under every other command."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.user_file import Settings
from tests.support.command import fake_engine, gelu
from tests.support.terminal import Terminal

OPTIONS = """\
activations = ["silu", "mine=max(x, 0)", "gelu"]
reference = "gelu"
max_tokens = 5
schedule = "solo"
chat = false
activation_precision = "model"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@pytest.fixture
def own(env: dict[str, str], file: Path) -> dict[str, str]:
    """The environment with a settings file of the test's own."""
    file.write_text("")
    return {**env, "GELU_TUI_CONFIG": str(file)}


def document(env: dict[str, str], *words: str) -> dict:
    done = gelu(
        env, "run", "x", "--format", "json", "--engine-command", fake_engine("five"), *words
    )
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_without_a_file_the_defaults_are_shown(env: dict[str, str]) -> None:
    done = gelu(env, "settings")
    assert (done.code, done.err) == (0, "")
    first = done.out.splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith("config.toml")
    assert env["HOME"] in first
    assert tomllib.loads(done.out)["max_tokens"] == Settings().max_tokens
    assert gelu(env, "settings", "--path").out.strip() == first.removeprefix("# ")
    assert gelu(env, "settings", "--check").code == 0


def test_the_defaults_are_explained_with_every_action(own: dict[str, str], file: Path) -> None:
    done = gelu(own, "settings", "--defaults")
    assert done.code == 0
    for name in (*Settings.__struct_fields__, "run", "stop"):
        assert name in done.out
    file.write_text("\n".join(line.removeprefix("# ") for line in done.out.splitlines()
                              if line.startswith("# run = ") or line == "[keys]"))  # fmt: skip
    assert gelu(own, "settings", "--check").code == 0


def test_what_is_wrong_is_told_and_checked(own: dict[str, str], file: Path) -> None:
    file.write_text(
        'max_tokens = 0\nmodle = "x"\ntheme = "nrod"\n[keys]\nrun = "alt+x"\nrunn = "f4"\n'
    )
    done = gelu(own, "settings", "--check")
    assert (done.code, done.raw) == (1, b"")
    for sentence in (
        f"In {file}, max_tokens must be a whole number from 1 to 100000, not 0.",
        f"In {file} there is no setting named 'modle'.",
        "Did you mean 'model'?",
        f"In {file}, theme is wrong: There is no theme named 'nrod'.",
        "Did you mean 'nord'?",
        "In [keys], run cannot have the key 'alt+x': not every terminal sends it.",
        "In [keys] there is no action named 'runn'.",
    ):
        assert sentence in " ".join(done.err.split()), sentence
    shown = gelu(own, "settings")
    assert shown.code == 0
    assert shown.err == done.err
    assert tomllib.loads(shown.out)["max_tokens"] == 256


def test_what_the_app_remembers_is_told(env: dict[str, str], file: Path, tmp_path: Path) -> None:
    file.write_text("")
    state = tmp_path / "state" / "gelu-tui" / "remembered.json"
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps({"activations": ["silu", "f1=x*x", "f2=1/x"]}))
    own = {**env, "GELU_TUI_CONFIG": str(file), "XDG_STATE_HOME": str(tmp_path / "state")}
    done = gelu(own, "settings")
    assert done.out.endswith(
        "\n# The app begins with the functions of its last use: silu, f1=x*x\n"
    )
    assert len(tomllib.loads(done.out)["activations"]) == 4, "those of all other commands"
    assert "The remembered function 'f2=1/x' is left out" in " ".join(done.err.split())
    assert gelu(own, "settings", "--check").code == 1
    file.write_text('activations = ["gelu"]\n')
    done = gelu(own, "settings")
    assert "last use" not in done.out and done.err == ""


def test_the_defaults_pass_the_check_with_every_line_uncommented(
    own: dict[str, str], file: Path
) -> None:
    text = gelu(own, "settings", "--defaults").out
    whole = re.sub(r"^# (?=[a-z_]+ = )", "", text, flags=re.MULTILINE)
    entries = tomllib.loads(whole)
    assert len(entries) == len(fields_of(Settings)) and len(entries["keys"]) > 20
    # A host and a command for the engine exclude each other.
    file.write_text(re.sub(r"^host = .*$", "", whole, flags=re.MULTILINE))
    done = gelu(own, "settings", "--check")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_what_typing_needs_and_what_fits_only_alone_is_found(
    own: dict[str, str], file: Path
) -> None:
    eight = ["gelu", "gelu_approx", "gelu_fast_approx", "relu", "silu", "relu2", "mish", "identity"]
    file.write_text(
        f"activations = {eight}\ncontrol = true\n[keys]\nrun = 'd'\nmodels = 'ctrl+w'\n"
    )
    done = gelu(own, "settings", "--check")
    assert done.code == 1
    said = " ".join(done.err.split())
    assert "run cannot have the key 'd': it belongs to typing the prompt." in said
    assert "models cannot have the key 'ctrl+w': it belongs to typing the prompt." in said
    assert said.count("gelu-tui: ") == 3 and "control" in said


def test_a_broken_file_stops_no_command(own: dict[str, str], file: Path) -> None:
    file.write_text("max_tokens =\n")
    done = gelu(own, "run", "x", "--engine-command", fake_engine("five"))
    assert done.code == 0
    said = " ".join(done.err.split())
    assert f"The settings file {file} is not valid TOML: Invalid value (at line 1" in said
    assert done.raw
    assert gelu(own, "activations").code == 0


def test_the_file_decides_what_the_command_line_leaves_open(
    own: dict[str, str], file: Path
) -> None:
    file.write_text(OPTIONS)
    found = document(own)
    assert [v["name"] for v in found["variants"]] == ["silu", "mine", "gelu"]
    assert found["reference"] == "gelu"
    assert {len(v["tokens"]) for v in found["variants"]} == {5}
    assert found["settings"]["schedule"] == "solo"
    assert found["settings"]["activation_precision"] == "model"


def test_the_command_line_comes_before_the_file(own: dict[str, str], file: Path) -> None:
    file.write_text(OPTIONS)
    found = document(own, "-a", "relu,gelu", "--max-tokens", "3", "--schedule", "lockstep")
    assert [v["name"] for v in found["variants"]] == ["relu", "gelu"]
    assert found["reference"] == "gelu"
    assert {len(v["tokens"]) for v in found["variants"]} == {3}
    assert found["settings"]["schedule"] == "lockstep"


def test_the_files_reference_does_not_stand_in_the_way_of_other_functions(
    own: dict[str, str], file: Path
) -> None:
    file.write_text(OPTIONS)
    assert document(own, "-a", "relu,silu")["reference"] == "relu"
    asked = gelu(own, "run", "x", "-a", "relu,silu", "--reference", "gelu")
    assert asked.code == 2
    assert "The reference 'gelu' is not among" in asked.err


def test_help_shows_what_counts(own: dict[str, str], file: Path) -> None:
    file.write_text(OPTIONS)
    for command in (("run",), ("app",), ()):
        flat = " ".join(gelu(own, *command, "--help").out.split())
        assert "At most this many tokens in each stream. [default: 5]" in flat
        assert "[default: silu, mine=max(x, 0), gelu]" in flat
        assert "feed the prompt as it is. [default: raw]" in flat
        assert "to this dtype. [default: as stored; float32 on a CPU]" in flat
    assert "as it is. [default: the template if there is one]" in " ".join(
        gelu({**own, "GELU_TUI_CONFIG": ""}, "run", "--help").out.split()
    )


def test_a_theme_that_does_not_exist_is_wrong_usage(own: dict[str, str], tmp_path: Path) -> None:
    from tests.support.command import COMMAND

    words = (*COMMAND, "--theme", "nrod", "--engine-command", fake_engine("five"))
    opened = Terminal(words, (80, 24), own)
    try:
        opened.until_shown("There is no theme named 'nrod'.")
        opened.until_shown("Did you mean 'nord'?")
        assert opened.wait() == 2
    finally:
        opened.close()


def test_the_engine_reads_no_settings(own: dict[str, str], file: Path) -> None:
    file.write_text("broken")
    done = gelu(own, "engine")
    assert done.err == ""
