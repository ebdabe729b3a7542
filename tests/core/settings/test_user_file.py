"""The settings file: what is wrong in it is told, the rest counts, and nothing in it is lost."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.core.errors import GeluError, UsageError
from gelu_tui.core.functions.registry import DEFAULT_SET
from gelu_tui.core.settings.edit import save_setting
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.toml import default_toml, effective_toml
from gelu_tui.core.settings.user_file import (
    Settings,
    SettingsFile,
    load_settings,
    settings_path,
    validated,
)

WHOLE = """\
model = "google/gemma-3-1b"
activations = ["gelu", "mine=max(x, 0)", "silu"]
reference = "silu"
max_tokens = 40
schedule = "solo"
chat = false
activation_precision = "model"
temperature = 0.7
seed = 42
top_p = 0.9
top_k = 40
min_p = 0.05
control = true
stop_repeats = true
replay = false
what_if = true
dtype = "bfloat16"
engine_command = "ssh mac gelu-tui engine"
log_level = "debug"
color = "never"
theme = "nord"
refresh = 5
token_style = "kl"
scroll = "free"
save_runs = false
[keys]
run = "f4,ctrl+r"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def loaded(file: Path, text: str | bytes) -> SettingsFile:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_settings(file)


def only_problem(found: SettingsFile) -> str:
    (problem,) = found.problems
    assert "\n" not in problem.message
    assert str(found.path) in problem.message
    return f"{problem.message} {problem.hint}".replace(str(found.path), "FILE")


def test_every_setting_is_read(file: Path) -> None:
    found = loaded(file, WHOLE)
    assert not found.problems
    assert found.settings == Settings(
        model="google/gemma-3-1b",
        activations=("gelu", "mine=max(x, 0)", "silu"),
        reference="silu",
        max_tokens=40,
        schedule="solo",
        chat=False,
        activation_precision="model",
        temperature=0.7,
        seed=42,
        top_p=0.9,
        top_k=40,
        min_p=0.05,
        control=True,
        stop_repeats=True,
        replay=False,
        what_if=True,
        dtype="bfloat16",
        engine_command="ssh mac gelu-tui engine",
        log_level="debug",
        color="never",
        theme="nord",
        refresh=5.0,
        token_style="kl",
        scroll="free",
        save_runs=False,
        keys={"run": "f4,ctrl+r"},
    )
    # A host and a command for the engine exclude each other.
    assert found.decided == set(Settings.__struct_fields__) - {"host"}


def test_no_file_means_the_defaults(file: Path) -> None:
    assert load_settings(file) == SettingsFile(file, Settings())


def test_the_file_that_the_environment_names(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GELU_TUI_CONFIG", str(file))
    assert settings_path() == file
    assert "There is no settings file FILE, which GELU_TUI_CONFIG names." in only_problem(
        load_settings()
    )
    file.write_text("max_tokens = 7")
    assert load_settings().settings.max_tokens == 7
    monkeypatch.setenv("GELU_TUI_CONFIG", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings_path().name == "config.toml"
    assert "gelu-tui" in str(settings_path().parent)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("max_token = 3", "In FILE there is no setting named 'max_token'. Did you mean 'max_tok"),
        ("zebra = 3", "no setting named 'zebra'. `gelu-tui settings --defaults` lists all."),
        ('"\\u001b[31m" = 3', "no setting named '␛[31m'."),
        ("max_tokens = 0", "max_tokens must be a whole number from 1 to 100000, not 0. 256 is us"),
        ("max_tokens = true", "max_tokens must be a whole number from 1 to 100000, not true."),
        ('max_tokens = "9"', 'max_tokens must be a whole number from 1 to 100000, not "9".'),
        ("refresh = 61", "refresh must be a number from 1 to 60, not 61. 12.0 is used instead."),
        ("refresh = nan", "refresh must be a number from 1 to 60, not nan."),
        ('schedule = "both"', 'schedule must be "lockstep" or "solo", not "both". lockstep is'),
        ('chat = "yes"', 'chat must be true or false or "auto", not "yes".'),
        (
            "dtype = 16",
            'dtype must be "bfloat16" or "float16" or "float32", not 16. It is treated as',
        ),
        ('theme = ""', 'theme must be text, not "". It is treated as left out.'),
        ('model = "\\u001b]0;x"' + "\nmodel_x = 1", "no setting named 'model_x'."),
        ("activations = 3", "activations must be a list of texts, not 3."),
        (
            'activations = ["gelo"]',
            "activations cannot be used: There is no activation function named 'gelo'.",
        ),
        ('activations = "gelu,gelu"', "activations cannot be used: "),
        ("activations = []", "activations cannot be used: No activation function is chosen."),
        ('reference = "silu"', "The reference 'silu' is not among the chosen"),
        ("keys = 3", "keys must be a table, not 3."),
        ("[keys]\nrun = 3", "keys.run must be text such as 'ctrl+r,f4', not 3."),
        (f'schedule = "{"x" * 9999}"', f'not "{"x" * 40}…".'),
        ("a = 2024-01-01", "no setting named 'a'."),
    ],
)
def test_what_is_wrong_is_told_and_the_rest_counts(file: Path, line: str, sentence: str) -> None:
    found = loaded(file, f"save_runs = false\n{line}\n")
    assert sentence in only_problem(found)
    model = found.settings.model if "model = " in line else "demo"
    assert found.settings == Settings(model=model, save_runs=False)


def test_one_wrong_key_leaves_the_others(file: Path) -> None:
    found = loaded(file, '[keys]\nrun = 3\nstop = "f8"\n')
    assert found.settings.keys == {"stop": "f8"}


def test_functions_may_stand_in_one_text(file: Path) -> None:
    found = loaded(file, 'activations = "gelu, mine=min(x, 6),silu"\nreference = "mine"')
    assert not found.problems
    assert found.settings.activations == ("gelu", "mine=min(x, 6)", "silu")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"model = \n", "is not valid TOML: Invalid value (at line 1, column 9)."),
        (b"a = 1\na = 2\n", "(at line 2, column 6)"),
        (b"a = " + b"[" * 100_000, "is not valid TOML"),
        (b'model = "\xff"', "is not valid UTF-8 (byte 9)."),
        ('theme = "nord"'.encode("utf-16"), "is not valid UTF-8 (it is UTF-16)."),
        (b"#" * 2_000_000, "it is longer than 1,048,576 bytes"),
    ],
)
def test_a_broken_file_is_told_and_the_defaults_count(
    file: Path, content: bytes, sentence: str
) -> None:
    found = loaded(file, content)
    assert sentence in only_problem(found)
    assert found.settings == Settings()


def test_a_folder_and_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    assert "it is a folder" in only_problem(load_settings(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    assert "it is not a file" in only_problem(load_settings(tmp_path / "pipe"))


def test_a_byte_order_mark_does_no_harm(file: Path) -> None:
    assert loaded(file, "\ufeffmax_tokens = 3").settings.max_tokens == 3


@given(st.dictionaries(st.sampled_from([*fields_of(Settings), "x"]), st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)))  # fmt: skip
def test_any_values_give_usable_settings(entries: dict[str, Any]) -> None:
    values, _ = validated(Path("config.toml"), entries)
    found = Settings(**values)
    assert msgspec.convert(msgspec.to_builtins(found), Settings) == found


# --- the environment ----------------------------------------------------------------------------


def test_the_environment_comes_before_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "MODEL": "google/gemma-3-1b", "ACTIVATIONS": "silu, mine=min(x, 6)", "REFERENCE": "mine",
        "MAX_TOKENS": "7", "TEMPERATURE": "0.5", "SEED": "11", "CHAT": "false", "CONTROL": "true",
        "DTYPE": "bfloat16", "SAVE_RUNS": "0", "KEYS": '{"run": "f4"}', "THEME": "",
    }  # fmt: skip
    for name, text in values.items():
        monkeypatch.setenv(f"GELU_TUI_{name}", text)
    found = loaded(file, 'max_tokens = 40\ntheme = "nord"\nreference = "gelu"\n')
    assert not found.problems
    assert found.settings == Settings(
        model="google/gemma-3-1b", activations=("silu", "mine=min(x, 6)"), reference="mine",
        max_tokens=7, temperature=0.5, seed=11, chat=False, control=True, dtype="bfloat16",
        save_runs=False, keys={"run": "f4"}, theme="nord",
    )  # fmt: skip
    assert "max_tokens = 7  # GELU_TUI_MAX_TOKENS\n" in effective_toml(found)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("MAX_TOKENS", "many", "GELU_TUI_MAX_TOKENS must be a whole number from 1 to 100000, not"),
        (
            "TEMPERATURE",
            "nan",
            "GELU_TUI_TEMPERATURE must be a number from 0 to 100, not nan. The",
        ),
        (
            "CHAT",
            "perhaps",
            'GELU_TUI_CHAT must be true or false or "auto", not perhaps. The variable is',
        ),
        ("SEED", "-1", "GELU_TUI_SEED must be a whole number from 0 to 9223372036854775807, not"),
        ("KEYS", "f4", "GELU_TUI_KEYS must be a table, not f4."),
        ("ACTIVATIONS", "gelo", "GELU_TUI_ACTIVATIONS cannot be used: There is no activation"),
        ("REFERENCE", "silu", "GELU_TUI_REFERENCE: The reference 'silu' is not among the chosen"),
    ],
)
def test_what_is_wrong_in_the_environment(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, sentence: str
) -> None:
    monkeypatch.setenv(f"GELU_TUI_{name}", text)
    found = load_settings(file)
    (problem,) = found.problems
    assert f"{problem.message} {problem.hint}".startswith(sentence)
    assert found.settings == Settings()


def test_the_files_reference_is_for_the_files_functions(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GELU_TUI_ACTIVATIONS", "relu,gelu")
    found = loaded(file, 'activations = ["silu", "gelu"]\nreference = "silu"\n')
    assert (found.settings.reference, found.problems) == (None, ())


# --- as text ------------------------------------------------------------------------------------


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


# --- writing ------------------------------------------------------------------------------------

COMMENTED = """\
# My settings
max_tokens = 40   # short

# keys I like
[keys]
stop = "f8"  # near F7
# the end
"""


def test_saving_keeps_comments_and_order(file: Path) -> None:
    file.write_text(COMMENTED)
    assert save_setting("theme", "nord", file) is None
    save_setting("max_tokens", 7, file)
    save_setting("keys.run", "f4", file)
    save_setting("activations", ("gelu", "a=max(x, 0)"), file)
    text = file.read_text()
    for line in (
        "# My settings",
        "# short",
        "# keys I like",
        'stop = "f8"  # near F7',
        "# the end",
    ):
        assert line in text
    assert text.index("# My settings") < text.index("max_tokens") < text.index("# keys I like")
    found = load_settings(file)
    assert not found.problems
    assert found.settings == Settings(
        theme="nord",
        max_tokens=7,
        activations=("gelu", "a=max(x, 0)"),
        keys={"stop": "f8", "run": "f4"},
    )


def test_a_setting_is_taken_out(file: Path) -> None:
    file.write_text(COMMENTED)
    save_setting("max_tokens", None, file)
    save_setting("theme", None, file)
    assert load_settings(file).decided == {"keys"}
    assert "# My settings" in file.read_text()


def test_a_new_file_is_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "config.toml"
    save_setting("theme", "nord", file)
    assert load_settings(file).settings.theme == "nord"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.toml", tmp_path / "config.toml"
    real.write_text("max_tokens = 3\n")
    link.symlink_to(real)
    save_setting("theme", "nord", link)
    assert link.is_symlink()
    assert load_settings(real).settings == Settings(max_tokens=3, theme="nord")


def test_what_a_link_leads_to_keeps_its_mode_and_its_place(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.toml", tmp_path / "config.toml"
    link.symlink_to(real)
    real.write_text("max_tokens = 3\n")
    real.chmod(0o644)
    save_setting("theme", "nord", link)
    assert stat.S_IMODE(real.stat().st_mode) == 0o644
    real.write_text("alias ll='ls -l'\n")
    with pytest.raises(GeluError, match="is not valid TOML"):
        save_setting("theme", "nord", link)
    assert real.read_text() == "alias ll='ls -l'\n"


def test_a_broken_file_is_set_aside(file: Path) -> None:
    for content in (b"max_tokens = \n# precious", b"\xff\xfe"):
        file.write_bytes(content)
        told = save_setting("theme", "nord", file)
        assert told is not None
        assert "is not valid" in told.message
        aside = Path(told.hint.removeprefix("It was kept as ").partition(";")[0])
        assert aside.read_bytes() == content
        assert load_settings(file).settings == Settings(theme="nord")
    assert len(list(file.parent.iterdir())) == 3


def test_a_wrong_value_in_the_file_stays_where_it_is(file: Path) -> None:
    file.write_text("max_tokens = 0  # to be mended\n")
    save_setting("theme", "nord", file)
    assert "max_tokens = 0  # to be mended\n" in file.read_text()


def test_what_is_not_allowed_is_not_saved(file: Path) -> None:
    with pytest.raises(UsageError, match='scroll must be "free" or "together", not "sideways"'):
        save_setting("scroll", "sideways", file)
    assert not file.exists()


def test_where_nothing_can_be_saved_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("")
    for path in (tmp_path / "in the way" / "config.toml", tmp_path, Path(os.devnull)):
        with pytest.raises(GeluError, match="The settings cannot be saved in"):
            save_setting("theme", "nord", path)
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    (tmp_path / "config.toml").write_text("keys = 3\n")
    with pytest.raises(GeluError, match="cannot be saved"):
        save_setting("keys.run", "f4", tmp_path / "config.toml")
    assert (tmp_path / "config.toml").read_text() == "keys = 3\n"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_can_be_saved(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.toml"
        file.write_text(COMMENTED)
        save_setting("model", text, file)
        assert tomllib.loads(file.read_bytes().decode())["model"] == text


def test_the_default_functions_are_the_registrys() -> None:
    assert Settings().activations == DEFAULT_SET
