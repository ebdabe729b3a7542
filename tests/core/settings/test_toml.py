"""Settings as the text of a file: the defaults, and those in force."""

from __future__ import annotations

from pathlib import Path

from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.toml import default_toml, effective_toml
from gelu_tui.core.settings.user_file import (
    Settings,
)
from tests.support.settings_files import WHOLE, loaded


def test_the_defaults_with_the_hash_taken_away_are_the_defaults(file: Path) -> None:
    text = default_toml([("run", "ctrl+r", "Run the prompt."), ("stop", "escape", "Stop.")])
    assert loaded(file, text).decided <= {"keys"}
    # Every commented line that is an assignment; what is left out by default has an example.
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    lines = [line for line in lines if " = " in line or line == "[keys]"]
    without = ("dtype", "seed", "theme", "engine_command", "host", "reference")
    found = loaded(file, "\n".join(line for line in lines if not line.startswith(without)))
    assert not found.problems
    assert found.settings == Settings(keys={"run": "ctrl+r", "stop": "escape"})
    # A host and a command for the engine exclude each other.
    lines = [line for line in lines if not line.startswith("host")]
    assert not loaded(file, "\n".join(lines)).problems


def test_every_setting_is_explained() -> None:
    for name, field in fields_of(Settings).items():
        assert field.description.endswith("."), name
        assert (field.default is None) <= bool(field.unset and field.example), name


def test_the_effective_settings_are_a_settings_file(file: Path) -> None:
    found = loaded(file, WHOLE + 'odd = 1\n"a key" = "f9"\n')
    text = effective_toml(found)
    assert str(file) in text
    assert "# default" not in text
    assert loaded(file, text).settings == found.settings
    few = effective_toml(loaded(file, "max_tokens = 3"))
    assert "max_tokens = 3\n" in few
    assert 'schedule = "lockstep"  # default' in few
    assert "# dtype is left out: as stored; float32 on a CPU." in few


def test_hostile_text_is_printed_as_escapes(file: Path) -> None:
    found = loaded(file, 'model = "\\u001b[31m\\u202e\\u009b\\u007f空\\U000e0041"')
    text = effective_toml(found)
    assert not set("\x1b\u202e\x9b\x7f\U000e0041") & set(text)
    assert loaded(file, text).settings == found.settings
