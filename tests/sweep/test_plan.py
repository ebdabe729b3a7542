"""The key of a sweep: the same where results are, another one where they are not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gelu_tui.core.errors import GeluError, UsageError
from gelu_tui.core.settings.field import fields_of
from gelu_tui.sweep.plan import changes, make_plan
from gelu_tui.sweep.prompts import Prompt
from gelu_tui.sweep.settings import SweepSettings

PROMPTS = ["one", "two"]

# Another value of every setting.
OTHERS: dict[str, Any] = {
    "models": ("google/gemma-7b-it",),
    "activations": ("gelu", "relu"),
    "reference": "gelu",
    "max_tokens": 3,
    "schedule": "solo",
    "chat": True,
    "activation_precision": "model",
    "temperature": 0.5,
    "seed": 3,
    "top_p": 0.5,
    "min_p": 0.5,
    "top_k": 5,
    "stop_repeats": True,
    "control": False,
    "replay": False,
    "what_if": True,
    "dtype": "bfloat16",
    "full_kl": True,
    "yardsticks": ("q8",),
    "limit": 1,
}
SAME_RESULTS: dict[str, Any] = {"name": "x", "batch": 4, "margin_pp": 2.0}


def key(**settings: Any) -> str:
    return make_plan(PROMPTS, (), settings).key


def test_every_setting_is_in_the_key_or_changes_no_result() -> None:
    known = {*OTHERS, *SAME_RESULTS, "model", "prompts"}
    assert known == set(fields_of(SweepSettings))
    keys = [key(), *(key(**{name: value}) for name, value in OTHERS.items())]
    assert len(set(keys)) == len(keys)
    assert {key(**{name: value}) for name, value in SAME_RESULTS.items()} == {key()}


def test_some_of_the_prompts_are_spread_evenly_over_them() -> None:
    many = [{"prompt": f"p{number}", "id": f"id{number}"} for number in range(10)]
    some = make_plan(many, (), {"limit": 4}).prompts
    assert [(row.number, row.id) for row in some] == [
        (0, "id0"),
        (1, "id2"),
        (2, "id5"),
        (3, "id7"),
    ]
    mixed = make_plan("builtin:mixed", (), {"limit": 16}).prompts
    categories = [row.category for row in mixed if isinstance(row, Prompt)]
    assert categories == sorted(categories, key=categories.index)
    assert {categories.count(category) for category in categories} == {2}


def test_a_limit_that_leaves_nothing_out_changes_nothing() -> None:
    assert key(limit=2) == key(limit=5) == key()


def test_the_same_in_other_words() -> None:
    assert key(activations=("gelu_tanh",)) == key(activations=("gelu_approx",))
    assert key(model="demo") == key(models=("demo",)) == key()


def test_other_prompts_are_another_sweep(tmp_path: Path) -> None:
    assert make_plan(["one"], (), {}).key != key()
    (tmp_path / "a.txt").write_text("one\n")
    one = make_plan(str(tmp_path / "a.txt"), (), {})
    (tmp_path / "a.txt").write_text("two\n")
    two = make_plan(str(tmp_path / "a.txt"), (), {})
    assert (one.name, two.name) == ("a", "a")
    assert one.key != two.key
    assert changes(one.header("gelu_approx"), two) == ["the prompts"]


def test_changes_are_told_by_name() -> None:
    before = make_plan(PROMPTS, (), {"max_tokens": 20, "temperature": 0.5, "margin_pp": 1}).header(
        "gelu_approx"
    )
    assert before.settings.seed is not None
    plan = make_plan(PROMPTS, (), {"max_tokens": 30, "reference": "gelu", "temperature": 0.5})
    assert changes(before, plan) == ["reference (gelu_approx before)", "max_tokens (20 before)"]
    plan = make_plan(PROMPTS, (), {"max_tokens": 20, "temperature": 0.5, "models": ("a/b", "demo")})
    assert changes(before, plan) == ["models (demo before)"]


def test_the_header_has_the_functions_of_every_stream() -> None:
    chosen = {"activations": ("gelu", "gelu_approx")}
    header = make_plan(PROMPTS, (), chosen).header("gelu_approx")
    found = [(f.name, f.native, f.control) for f in header.functions]
    assert found == [
        ("gelu", False, False),
        ("gelu_approx", True, False),
        ("control", False, True),
    ]
    assert header.reference == header.settings.reference == "gelu_approx"
    assert make_plan(PROMPTS, (), chosen).header("gelu").reference == "gelu"
    assert make_plan(PROMPTS, (), {**chosen, "reference": "gelu"}).header("x").reference == "gelu"


def test_a_sweep_file_between_what_it_overrides_and_what_overrides_it(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_text('prompts = ["x"]\nmax_tokens = 20\nchat = false\n')
    plan = make_plan(str(path), ({"max_tokens": 10}, {"seed": 1}), {"chat": True})
    found = plan.settings
    assert (found.max_tokens, found.seed, found.chat) == (20, 1, True)
    assert (plan.name, plan.prompts.count) == ("f", 1)


def test_models_are_looked_for_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(GeluError, match="There is no folder"):
        make_plan(PROMPTS, (), {"models": ("demo", str(tmp_path / "no"))})
    make_plan(PROMPTS, (), {"models": (str(tmp_path / "no"),)}, local=False)


def test_a_sweep_file_without_prompts(tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_text("max_tokens = 3\n")
    with pytest.raises(UsageError, match="there are no prompts"):
        make_plan(os.fspath(tmp_path / "f.toml"), (), {})


def test_the_notebook_in_one_word() -> None:
    plan = make_plan("builtin:notebook", ({"model": "demo"},), {})
    assert (plan.name, plan.settings.models, plan.prompts.count) == (
        "notebook",
        ("google/gemma-7b-it",),
        2,
    )
    assert make_plan("builtin:notebook", (), {"models": ("demo",)}).settings.models == ("demo",)
