"""The sweep file: every wrong key is named, paths are its own, and what overrides what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gelu_tui.core.errors import UsageError
from gelu_tui.sweep.settings import SweepSettings
from gelu_tui.sweep.sweep_file import merged, read_sweep_file

WHOLE = """
name = "mine"
prompts = "rows.jsonl"
models = ["demo", "google/gemma-7b-it", "./tiny", "beside"]
activations = ["gelu", "mine=x*sigmoid(1.7*x)"]
reference = "gelu"
max_tokens = 12
margin_pp = 2
full_kl = true
batch = 8
control = false
"""


def read(folder: Path, text: str | bytes) -> dict[str, Any]:
    path = folder / "some.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_sweep_file(path)


def test_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    settings = merged({}, read(tmp_path, WHOLE), {})
    models = ("demo", "google/gemma-7b-it", f"{tmp_path}/tiny", f"{tmp_path}/beside")
    assert settings == SweepSettings(
        name="mine",
        prompts=f"{tmp_path}/rows.jsonl",
        model="demo",
        models=models,
        activations=("gelu", "mine=x*sigmoid(1.7*x)"),
        reference="gelu",
        max_tokens=12,
        margin_pp=2.0,
        full_kl=True,
        batch=8,
        control=False,
    )


def test_the_name_is_that_of_the_file(tmp_path: Path) -> None:
    assert read(tmp_path, 'prompts = ["x"]') == {"name": "some", "prompts": ("x",)}


@pytest.mark.parametrize("prompts", ["builtin:mixed", "-", "/rows.txt"])
def test_prompts_that_are_not_beside_the_file(tmp_path: Path, prompts: str) -> None:
    assert read(tmp_path, f'prompts = "{prompts}"')["prompts"] == prompts


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("max_token = 3", "there is no setting named 'max_token'", "Did you mean 'max_tokens'?"),
        ("colour = 3", "there is no setting named 'colour'", "`gelu-tui schema sweep-file`"),
        ("max_tokens = 0", "max_tokens must be a whole number from 1 to 100000, not 0", "At most"),
        ('max_tokens = "9"', 'max_tokens must be a whole number from 1 to 100000, not "9"', ""),
        ("limit = -1", "limit must be a whole number, 0 or more, not -1", "Only so many"),
        ("margin_pp = 0", "margin_pp must be a number above 0, at most 100, not 0", "Accuracies"),
        ("margin_pp = nan", "margin_pp must be a number above 0, at most 100, not nan", ""),
        ("prompts = 3", "prompts must be text or a list of texts, not 3", ""),
        ("prompts = [3]", "prompts must be text or a list of texts, not [3]", ""),
        ("models = []\nmodel = 'demo'", "there are both model and models", "Keep models"),
        ('models = [""]', "models must be a list of texts", ""),
        ('activations = ["glu"]', "activations cannot be used: There is no activation", "Known"),
        ('reference = "silu"\nactivations = ["gelu"]', "The reference 'silu' is not among", ""),
        ('schedule = "alone"', 'schedule must be "lockstep" or "solo", not "alone"', ""),
        ("name = [", "is not valid TOML", "Give a sweep file"),
        (b"name = '\xff'", "is not valid UTF-8 (byte 8)", ""),
        ("x = 1".encode("utf-16"), "is not valid UTF-8 (it is UTF-16)", ""),
    ],
)
def test_what_is_wrong_is_told_by_file_and_key(
    tmp_path: Path, text: str | bytes, told: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert told in str(caught.value) and f"{tmp_path}/some.toml" in str(caught.value)
    assert caught.value.hint.startswith(hint)


def test_no_file_and_no_regular_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no sweep file"):
        read_sweep_file(tmp_path / "nothing.toml")
    with pytest.raises(UsageError, match="cannot be read: it is a folder"):
        read_sweep_file(tmp_path)


@pytest.mark.parametrize(
    ("layers", "models"),
    [
        ([{}], ("demo",)),
        ([{"model": "a/b"}], ("a/b",)),
        ([{"model": "a/b"}, {"models": ("c/d", "e/f")}], ("c/d", "e/f")),
        ([{"models": ("c/d", "e/f")}, {"model": "a/b"}], ("a/b",)),
        ([{"models": ("c/d",)}, {"models": ("e/f", "c/d", "e/f")}], ("e/f", "c/d")),
    ],
)
def test_which_models(layers: list[dict[str, Any]], models: tuple[str, ...]) -> None:
    settings = merged(*layers)
    assert (settings.models, settings.model) == (models, models[0])


def test_later_places_come_first_and_a_reference_goes_with_its_functions() -> None:
    user = {"max_tokens": 10, "activations": ("relu", "silu"), "reference": "silu"}
    file = {"max_tokens": 20, "activations": ("gelu", "relu")}
    assert merged(user, file, {}).reference is None
    assert merged(user, file, {"max_tokens": 30}).max_tokens == 30
    assert merged(user, {}, {"max_tokens": None}).max_tokens == 10
    assert merged(user, {"activations": ("relu", "silu")}).reference == "silu"
    with pytest.raises(UsageError, match="The reference 'silu' is not among"):
        merged(file, {"reference": "silu"})


def test_a_control_that_has_no_room() -> None:
    eight = tuple(f"f{n}=x*{n}" for n in range(1, 9))
    with pytest.raises(UsageError, match="no room for a control") as caught:
        merged({"activations": eight})
    assert caught.value.hint.endswith("--no-control, or control = false.")
    assert merged({"activations": eight, "control": False}).activations == eight
