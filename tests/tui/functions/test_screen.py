"""Choosing, ordering, writing, finding and seeing activation functions."""

from __future__ import annotations

import re
import threading
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from textual import events
from textual.widgets import Input
from textual.widgets.option_list import Option

from gelu_tui.core.functions import numpy_operations as numpy_functions
from gelu_tui.core.functions.curves import Curve, curve
from gelu_tui.core.functions.expressions import Node
from gelu_tui.core.functions.registry import DEFAULT_SET, evaluate
from gelu_tui.core.functions.variants import Variant
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.functions import screen as activations
from gelu_tui.tui.functions.curve import CurvePlot
from gelu_tui.tui.functions.screen import ActivationsScreen, FunctionList
from tests.support.driving import Alone, Driven, alone, ready


def choices(*activations: str, reference: str | None = None) -> RunSettings:
    return RunSettings(activations=activations, reference=reference)


@asynccontextmanager
async def picker(
    *activations: str,
    reference: str | None = None,
    size: tuple[int, int] = (120, 36),
    theme: str = "textual-dark",
) -> AsyncIterator[Alone]:
    screen = ActivationsScreen(choices(*activations, reference=reference), "gelu_approx")
    async with alone(screen, size, theme) as it:
        await it.until(lambda: isinstance(it.app.focused, FunctionList), "the list has the focus")
        yield it


async def to_formula(it: Alone) -> None:
    await it.press("tab")
    await it.until(lambda: isinstance(it.app.focused, Input), "the field has the focus")


def drawn(it: Alone) -> str | None:
    """The function of the large drawing."""
    curve = it.app.screen.query_one(CurvePlot).curve
    return curve and curve.variant.name


async def highlighted(it: Alone, name: str) -> None:
    await it.until(lambda: drawn(it) == name, f"the details of {name}")


# --- what is shown ------------------------------------------------------------------------------


async def test_no_cut_off_rows_flash_before_there_is_a_layout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[str] = []
    set_options = FunctionList.set_options

    def kept(functions: FunctionList, options: Iterable[Option]) -> FunctionList:
        rows = list(options)
        written.extend(str(row.prompt) for row in rows)
        return set_options(functions, rows)

    monkeypatch.setattr(FunctionList, "set_options", kept)
    async with picker("gelu") as it:
        await it.until_shown("[■] 1 gelu")
    assert not any(row.startswith("…") for row in written)


async def test_rows_have_name_mark_formula_aliases_and_curve() -> None:
    async with picker("gelu", "gelu_approx") as it:
        await it.until_shown(
            "[■] 2 gelu_approx ◆ = reference",
            "0.5x(1+tanh(√(2/π)(x+0.044715x³)))",
            "gelu_tanh, gelu_pytorch_tanh, gelu_new",
            "[ ] mish",
            "2 chosen of at most 8. Reference: gelu_approx, the model's own.",
        )
        curve = re.compile(r"gelu_approx ◆ = reference .*[\u2801-\u28ff]")
        await it.until(lambda: curve.search(it.screen()) is not None, "its curve")


async def test_the_details_follow_the_cursor() -> None:
    async with picker("gelu", "relu") as it:
        await it.until_shown("no error: this is exact GELU")
        await it.press("down")
        await it.until_shown(
            "max error 0.17 at x = ±0.75",
            "not smooth at x = 0 · monotonic",
            "no negative outputs",
            "exact GELU",
        )
        await it.press("v")
        await it.until_shown("f − exact GELU ● largest")


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 50)])
async def test_list_drawing_field_and_keys_are_all_there(size: tuple[int, int]) -> None:
    async with picker(*DEFAULT_SET, size=size) as it:
        await it.until_shown(
            "gelu", "identity", "exact GELU", "Space choose", "Z undo", "T lab", "F2 done", "Tab:"
        )
        assert len(it.screen().splitlines()) <= size[1]


@pytest.mark.parametrize("size", [(40, 12), (60, 40), (30, 8), (20, 5), (200, 12)])
async def test_odd_sizes_do_not_break_it(size: tuple[int, int]) -> None:
    async with picker(*DEFAULT_SET, size=size) as it:
        await it.press("down", "space", "v", "s", "s", "s", "s")
        await to_formula(it)
        await it.type("a=x*x")
        await it.until(lambda: it.app.screen.query_one(Input).value == "a=x*x", "it is typed")
        await it.press("f2")
        assert isinstance(await it.result(), RunSettings)


async def test_formulas_are_there_when_the_list_scrolls() -> None:
    async with picker("gelu", size=(80, 24)) as it:
        await it.press("s", "s")
        await it.until_shown("gelu_approx_mlx010", "x·Φ(x), by erf", "x*sigmoid(1.773*x)")


# --- choosing -----------------------------------------------------------------------------------


async def test_choose_and_leave_out() -> None:
    async with picker("gelu", "gelu_approx") as it:
        await it.press("space", "down", "down", "space", "enter")
        assert await it.result() == choices("gelu_approx", "gelu_fast_approx")


async def test_order() -> None:
    async with picker("gelu", "gelu_approx", "silu") as it:
        await it.press("d", "d", "f2")
        assert await it.result() == choices("gelu_approx", "silu", "gelu")


async def test_only_the_chosen_have_an_order() -> None:
    async with picker("gelu") as it:
        await it.press("down", "u")
        await it.until_shown("✗ Only chosen functions have an order. Space chooses this one.")


async def test_the_reference() -> None:
    async with picker("gelu", "gelu_approx") as it:
        await it.press("r")
        await it.until_shown("Reference: gelu.", "[■] 1 gelu = reference")
        await it.press("enter")
        assert await it.result() == choices("gelu", "gelu_approx", reference="gelu")


async def test_leaving_a_reference_out_leaves_the_choice_to_the_model() -> None:
    async with picker("gelu", "silu", reference="silu") as it:
        await it.press("down", "space", "enter")
        assert await it.result() == choices("gelu")


async def test_nothing_chosen_and_more_than_eight_are_refused() -> None:
    async with picker("gelu") as it:
        await it.press("space", "enter")
        await it.until_shown("No activation function is chosen.")
        for _ in range(8):
            await it.press("space", "down")
        await it.press("space")
        await it.until_shown("✗ 8 functions are the most that one comparison takes. Leave one out")


async def test_ready_made_sets() -> None:
    async with picker("relu") as it:
        await it.press("s")
        await it.until_shown("Chosen: the default set.")
        await it.press("s")
        await it.until_shown("Chosen: all GELU forms", "[■] 6 gelu_approx_mlx010")
        await it.press("s", "f2")
        assert len((await it.result()).activations) == 8


# --- leaving ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["escape", "f10"])
async def test_unchanged_it_is_left_at_once(key: str) -> None:
    async with picker("gelu", "silu") as it:
        await it.press("down", "space", "space", key)
        assert await it.result() is None


@pytest.mark.parametrize("key", ["escape", "f10"])
async def test_changes_are_discarded_only_if_asked_twice(key: str) -> None:
    async with picker("gelu", "silu") as it:
        await it.press("space", key)
        await it.until_shown("! Not taken yet: F2 keeps the changes, Esc again discards them.")
        await it.press("down")
        await it.until_shown("1 chosen of at most 8.")
        await it.press(key)
        await it.until_shown("! Not taken yet")
        await it.press(key)
        assert await it.result() is None


async def test_changes_are_kept_after_all() -> None:
    async with picker("gelu", "silu") as it:
        await it.press("space", "escape")
        await it.until_shown("! Not taken yet")
        await it.press("enter")
        assert await it.result() == choices("silu")


async def test_a_formula_in_the_field_is_not_lost() -> None:
    async with picker("gelu") as it:
        await to_formula(it)
        await it.type("mine=x*x")
        await it.press("f10")
        await it.until_shown("! Not taken yet: F2 keeps the changes, F10 again discards them.")
        await it.press("shift+tab", "down")
        await it.until_shown("1 chosen of at most 8.")
        await it.press("escape")
        await it.until_shown("! Not taken yet: F2 keeps the changes, Esc again discards them.")
        await it.press("f2")
        assert await it.result() == choices("gelu", "mine=x*x")


@pytest.mark.parametrize("text", ["mine=x*x", "x*x", "mish", "no such name"])
async def test_escape_clears_the_field_before_it_leaves(text: str) -> None:
    async with picker("gelu") as it:
        await to_formula(it)
        await it.type(text)
        await it.press("escape")
        await it.until(lambda: it.app.screen.query_one(Input).value == "", "the field is empty")
        await highlighted(it, "gelu")
        await it.until_shown("1 chosen of at most 8.")
        assert isinstance(it.app.focused, Input)
        await it.press("escape")
        assert await it.result() is None


@pytest.mark.parametrize("text", ["", "mish"])
async def test_f10_leaves_from_the_field(text: str) -> None:
    async with picker("gelu") as it:
        await to_formula(it)
        await it.type(text)
        await it.press("f10")
        assert await it.result() is None


# --- the field ----------------------------------------------------------------------------------


def caret_column(screen: str) -> int | None:
    """Where the caret points, in characters of the field above it; None while there is none."""
    for above, row in pairwise(screen.splitlines()):
        caret, formula = re.search(r"(\^) \w", row), above.find("mine=")
        if caret and formula >= 0:
            return caret.start(1) - formula
    return None


async def test_an_own_formula_is_checked_while_it_is_typed() -> None:
    async with picker("gelu") as it:
        await to_formula(it)
        await it.type("mine=x*tanh(1,2)")
        await it.until_shown("^ tanh takes 1 argument, not 2", "x pi e + - * / ** exp log tanh")
        await it.until(lambda: caret_column(it.screen()) == len("mine=x*"), "the caret under tanh")
        await it.press("backspace", "backspace", "backspace")
        await it.type(")")
        await it.until_shown("mine: x*tanh(1) is usable. Enter adds it.")


async def test_a_formula_that_is_not_finite_says_where() -> None:
    async with picker("gelu") as it:
        await to_formula(it)
        await it.type("mine=1/x")
        await it.until_shown("✗ The formula '1/x' is infinite at x = 0.")


async def test_the_curve_is_previewed_and_the_last_usable_one_stays() -> None:
    async with picker("gelu") as it:
        await to_formula(it)
        await it.type("mine=x*sigmoid(1.773*x)")
        await highlighted(it, "mine")
        await it.until_shown("max error 0.0139 at x = ±0.9")
        await it.type("*")
        await it.until_shown("^ something is missing")
        await it.until_shown("max error 0.0139 at x = ±0.9")
        await it.press("shift+tab")
        await highlighted(it, "gelu")


async def test_an_own_formula_is_added_and_deleted() -> None:
    async with picker("gelu") as it:
        await to_formula(it)
        await it.type("gelu2024=x*sigmoid(1.773*x)")
        await it.press("enter")
        await it.until_shown("gelu2024 is chosen. 2 chosen of at most 8", "[■] 2 gelu2024")
        await it.press("shift+tab", "x")
        await it.until_shown("gelu2024 is deleted; Z brings it back. 1 chosen of at most 8")
        await it.press("z")
        await it.until_shown("2 chosen of at most 8", "[■] 2 gelu2024")
        await it.press("x")
        await it.until_shown("1 chosen of at most 8")
        await it.press("x")
        await it.until_shown("✗ Only your own formulas can be deleted.")
        await it.press("escape")
        assert await it.result() is None


async def test_a_function_with_limits_is_added_and_cannot_be_the_reference() -> None:
    async with picker("gelu") as it:
        await to_formula(it)
        await it.type("silu@")
        await it.until_shown("✗ After @ a layer or a kind is missing. Allowed are layers")
        await it.type("12,0-5")
        await it.until_shown("silu@0-5,12: x·σ(x) is usable", "only in layers 0-5, 12, elsewhere")
        await it.press("enter")
        await it.until_shown("silu@0-5,12 is chosen. 2 chosen of at most 8", "[■] 2 silu@0-5,12")
        await it.press("shift+tab", "r")
        await it.until_shown("✗ 'silu@0-5,12' cannot be the reference")
        await it.press("f2")
        chosen = await it.result()
        assert chosen is not None and chosen.activations == ("gelu", "silu@0-5,12")


async def test_the_focus_stays_in_the_field() -> None:
    """Whatever is typed after Enter is text: none of it is a command of the list."""
    async with picker("gelu", "mine=x*x") as it:
        await to_formula(it)
        for typed, rows in (("x*tanh(x)", "[■] 3 f1"), ("mish", "[■] 4 mish"), ("mine", "mine")):
            await it.type(typed)
            await it.press("enter")
            await it.until_shown(f"{rows.split()[-1]} is chosen.", rows)
            assert it.app.screen.query_one(Input).value == ""
        await it.type("xdurs")
        await it.until(lambda: it.app.screen.query_one(Input).value == "xdurs", "it is typed")
        await it.press("ctrl+u", "enter")
        assert await it.result() == choices("gelu", "mine=x*x", "f1=x*tanh(x)", "mish")


async def test_a_bare_formula_is_named_by_itself() -> None:
    async with picker("gelu", "f1=x*x") as it:
        await to_formula(it)
        await it.type("x*sigmoid(1.7*x)")
        await it.until_shown("f2: x*sigmoid(1.7*x) is usable. Enter adds it.")
        await highlighted(it, "f2")
        await it.press("enter")
        await it.until_shown("[■] 3 f2")
        await it.type("x * x")
        await it.until_shown("f1: x * x is usable.")
        await it.press("ctrl+u")
        await it.type("x*silu(")
        await it.until_shown("^ something is missing")
        await it.type("x))")
        await it.until_shown("^ unexpected ')'")
        await it.press("backspace", "f2")
        result = await it.result()
        assert result == choices("gelu", "f1=x*x", "f2=x*sigmoid(1.7*x)", "f3=x*silu(x)")


async def test_a_name_means_the_function_of_just_that_name() -> None:
    async with picker("gelu_approx", "x=x*x") as it:
        await to_formula(it)
        await it.type("gelu")
        await highlighted(it, "gelu")
        await it.press("enter")
        await it.until_shown("gelu is chosen.")
        await it.type("x")
        await it.until_shown("x: Tab goes to it.")
        await it.press("enter", "f2")
        assert await it.result() == choices("gelu_approx", "x=x*x", "gelu")


async def test_each_change_can_be_taken_back() -> None:
    async with picker("gelu", "silu") as it:
        await it.press("space", "down", "r", "s", "s", "z")
        await it.until_shown("1 chosen of at most 8. Reference: silu.")
        await it.press("z", "z")
        await it.until_shown("2 chosen of at most 8.")
        await it.press("z")
        await it.until_shown("Nothing to take back.")
        await it.press("escape")
        assert await it.result() is None


async def test_a_formula_that_is_wrong_is_neither_added_nor_lost() -> None:
    async with picker("gelu") as it:
        await to_formula(it)
        await it.type("gelu=x")
        for key in ("enter", "f2"):
            await it.press(key)
            await it.until_shown("'gelu' is already the name of a built-in activation function.")
        await it.press("ctrl+u", "f2")
        assert await it.result() == choices("gelu")


async def test_a_ninth_formula_is_listed_and_told() -> None:
    async with picker("gelu") as it:
        await it.press("s", "s", "s")
        await to_formula(it)
        await it.type("mine=x*x")
        await it.press("enter")
        await it.until_shown("✗ mine is in the list, but 8 are chosen already.", "[ ] mine")


async def test_finding_by_name_or_alias() -> None:
    async with picker("gelu") as it:
        await to_formula(it)
        await it.type("swi")
        await highlighted(it, "silu")
        await it.until_shown("silu: Enter chooses it.")
        await it.press("enter", "enter")
        assert await it.result() == choices("gelu", "silu")


async def test_writing_a_name_leaves_the_cursor_where_it_was() -> None:
    async with picker("gelu", "silu") as it:
        await it.press("down")
        await to_formula(it)
        await it.type("mi")
        await highlighted(it, "mish")
        await it.type("ne=x")
        await highlighted(it, "mine")
        await it.press("shift+tab")
        await highlighted(it, "silu")


async def test_hostile_text_is_shown_and_not_acted_on() -> None:
    async with picker("gelu") as it:
        await to_formula(it)
        it.app.post_message(events.Paste("mine=x*\x1b[31m[red]"))
        await it.until_shown("mine=x*␛[31m[red]", "^ unexpected '␛'")
        assert "\x1b" not in it.screen()


async def test_a_pasted_novel_is_refused() -> None:
    async with picker("gelu") as it:
        await to_formula(it)
        it.app.post_message(events.Paste("mine=" + "x+" * 500_000))
        await it.until_shown("longer than 500 characters")


async def test_keys_of_one_burst_keep_their_order() -> None:
    async with picker("gelu") as it:
        await to_formula(it)
        keys = ["x", "y", "backspace", "z", "left", "backspace", "a", "home", "b"]
        await it.press(*keys)
        await it.until(lambda: it.app.screen.query_one(Input).value == "baz", "it is typed")


@pytest.mark.parametrize("key", ["tab", "slash"])
async def test_a_burst_from_the_list_into_the_field_is_typed_and_does_nothing_else(
    key: str,
) -> None:
    """As over a slow line: the letters are there before the field has the focus."""
    async with picker("gelu", "mine=x*x") as it:
        await it.until_shown("no error: this is exact GELU")
        for typed in ("down", key, *"xdursvz"):
            it._post_key(typed)
        await it.until(lambda: it.app.screen.query_one(Input).value == "xdursvz", "it is typed")
        assert isinstance(it.app.screen, ActivationsScreen)
        assert not it.app.screen.picking.changed


async def test_a_formula_that_takes_the_place_of_another_is_told() -> None:
    async with picker("gelu", "mine=x*x") as it:
        await to_formula(it)
        await it.type("mine=2*x")
        await it.press("enter")
        await it.until_shown("mine is now 2*x, no longer x*x; Z takes it back. 2 chosen")
        await it.press("shift+tab", "z")
        await it.until_shown("[■] 2 mine", "x*x")
        await it.press("escape")
        assert await it.result() is None


# --- in the app ---------------------------------------------------------------------------------


async def open_picker(it: Driven) -> None:
    await it.press("f2")
    await it.until(lambda: isinstance(it.app.screen, ActivationsScreen), "the picker")
    await it.until(lambda: isinstance(it.app.focused, FunctionList), "the list has the focus")


async def closed(it: Driven) -> None:
    await it.until(lambda: it.app.screen is it.app.compare, "the picker is closed")


async def test_an_own_formula_is_run() -> None:
    async with ready(activations=("gelu",)) as it:
        await open_picker(it)
        await it.press("tab")
        await it.until(lambda: isinstance(it.app.focused, Input), "the field has the focus")
        await it.type("gelu2024=x*sigmoid(1.773*x)")
        await it.press("f2")
        await closed(it)
        assert it.app.compare.choices.activations == ("gelu", "gelu2024=x*sigmoid(1.773*x)")
        await it.type("x")
        await it.press("enter")
        await it.until_finished()
        assert [s.name for s in it.comparison.streams] == ["gelu", "gelu2024"]


async def test_new_choices_beside_an_old_comparison_are_told() -> None:
    async with ready(activations=("gelu", "silu")) as it:
        await it.type("x")
        await it.press("enter")
        await it.until_finished()
        await open_picker(it)
        await it.press("space", "enter")
        await closed(it)
        await it.until_shown("next: silu ·")
        assert "identical" in it.screen() or "diverges" in it.screen()


# --- off the loop ---------------------------------------------------------------------------------


async def test_no_formula_is_computed_on_the_thread_that_draws(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The slowest formula that is accepted takes longer than a frame."""
    slowest = "mine=" + "+".join(["keras(x)"] * 55)
    threads: set[int] = set()

    def evaluated(node: Node, x: object, operations: Mapping[str, object]) -> object:
        threads.add(threading.get_ident())
        return evaluate(node, x, operations)

    async with picker("gelu") as it:
        await it.until_shown("no error: this is exact GELU")
        monkeypatch.setattr(numpy_functions, "evaluate", evaluated)
        await to_formula(it)
        it.app.post_message(events.Paste(slowest))
        await highlighted(it, "mine")
        await it.press("enter")
        await it.until_shown("[■] 2 mine")
        await it.press("shift+tab", "v", "v", "u", "space", "space", "r", "f2")
        assert await it.result() == choices(slowest, "gelu", reference="mine")
    assert threads and threading.get_ident() not in threads


async def test_a_formula_that_was_typed_over_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a thread still computes when the text in the field is another one is dropped."""
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(variant: Variant) -> Curve:
        if variant.formula == "x*x":
            begun.set()
            assert may_end.wait(60)
            ended.set()
        return curve(variant)

    async with picker("gelu") as it:
        await it.until_shown("no error: this is exact GELU")
        monkeypatch.setattr(activations, "curve", slow)
        await to_formula(it)
        await it.type("mine=x*x")
        await it.until(begun.is_set, "the first formula is computed")
        await it.type("*x")
        await it.until_shown("mine: x*x*x is usable. Enter adds it.")
        may_end.set()
        await it.until(ended.is_set, "the first formula is done")
        await it.press("left", "right")
        shown_curve = it.app.screen.query_one(CurvePlot).curve
        assert shown_curve is not None and shown_curve.variant.formula == "x*x*x"
        assert "mine: x*x*x is usable. Enter adds it." in it.screen()
