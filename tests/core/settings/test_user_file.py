"""The settings file: what is wrong in it is told, the rest counts, and nothing in it is lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.core.functions.registry import DEFAULT_SET
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.toml import effective_toml
from gelu_tui.core.settings.user_file import (
    Settings,
    SettingsFile,
    load_settings,
    settings_path,
    validated,
)
from tests.support.settings_files import WHOLE, loaded


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


def test_the_default_functions_are_the_registrys() -> None:
    assert Settings().activations == DEFAULT_SET


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
