"""Choosing, ordering, writing and marking activation functions."""

from __future__ import annotations

import re
from itertools import pairwise

from textual.widgets import Input

from gelu_tui.tui.screens.activations import ActivationsScreen, FunctionList
from tests.tui.driving import Driven, ready


async def open_picker(it: Driven) -> None:
    await it.press("f2")
    await it.until(lambda: isinstance(it.app.screen, ActivationsScreen), "the picker")
    await it.until(lambda: isinstance(it.app.focused, FunctionList), "the list has the focus")


async def to_formula(it: Driven) -> None:
    await it.press("tab")
    await it.until(lambda: isinstance(it.app.focused, Input), "the field has the focus")


async def closed(it: Driven) -> None:
    await it.until(lambda: it.app.screen is it.app.compare, "the picker is closed")


async def test_functions_are_listed_with_formulas_and_the_native_mark() -> None:
    async with ready() as it:
        await open_picker(it)
        await it.until_shown("[■] 2 gelu_approx ◆ 0.5x(1+tanh(√(2/π)(x+0.044715x³)))")
        assert "[ ] mish" in it.flat()


async def test_choose_and_leave_out() -> None:
    async with ready(activations=("gelu", "gelu_approx")) as it:
        await open_picker(it)
        await it.press("space", "down", "down", "space", "enter")
        await closed(it)
        assert it.app.compare.choices.activations == ("gelu_approx", "gelu_fast_approx")
        await it.until_shown("gelu_fast_approx")
        await it.type("x")
        await it.press("enter")
        await it.until_finished()
        assert [s.name for s in it.comparison.streams] == ["gelu_approx", "gelu_fast_approx"]


async def test_order() -> None:
    async with ready(activations=("gelu", "gelu_approx", "silu")) as it:
        await open_picker(it)
        await it.press("d", "d", "f2")
        await closed(it)
        assert it.app.compare.choices.activations == ("gelu_approx", "silu", "gelu")


async def test_the_reference() -> None:
    async with ready(activations=("gelu", "gelu_approx")) as it:
        await open_picker(it)
        await it.press("r", "enter")
        await closed(it)
        await it.until_shown("reference gelu ·")
        await it.type("x")
        await it.press("enter")
        await it.until_finished()
        assert it.comparison.reference.name == "gelu"


async def test_leaving_a_reference_out_leaves_the_choice_to_the_model() -> None:
    async with ready(activations=("gelu", "silu"), reference="silu") as it:
        await open_picker(it)
        await it.press("down", "space", "enter")
        await closed(it)
        assert it.app.compare.choices.reference is None


def caret_column(screen: str) -> int | None:
    """Where the caret points, in characters of the formula above it; None while there is none."""
    rows = screen.splitlines()
    for above, row in pairwise(rows):
        caret, formula = re.search(r"│ +(\^) +│", row), above.find("x*tanh(1,2)")
        if caret and formula >= 0:
            return caret.start(1) - formula
    return None


async def test_an_own_formula_is_checked_while_it_is_typed() -> None:
    async with ready() as it:
        await open_picker(it)
        await to_formula(it)
        await it.type("mine=x*tanh(1,2)")
        await it.until_shown("'x*tanh(1,2)' is not usable")
        await it.until(lambda: caret_column(it.screen()) == len("x*"), "the caret under tanh")
        await it.press("backspace", "backspace", "backspace")
        await it.type(")")
        await it.until_shown("mine: x*tanh(1) is usable. Enter adds it.")


async def test_an_own_formula_is_added_run_and_deleted() -> None:
    async with ready(activations=("gelu",)) as it:
        await open_picker(it)
        await to_formula(it)
        await it.type("gelu2024=x*sigmoid(1.773*x)")
        await it.press("enter")
        await it.until_shown("2 chosen of at most 8")
        await it.press("f2")
        await closed(it)
        assert it.app.compare.choices.activations == ("gelu", "gelu2024=x*sigmoid(1.773*x)")
        await it.type("x")
        await it.press("enter")
        await it.until_finished()
        assert [s.name for s in it.comparison.streams] == ["gelu", "gelu2024"]
        await open_picker(it)
        await it.press("down", "x", "enter")
        await closed(it)
        assert it.app.compare.choices.activations == ("gelu",)


async def test_a_formula_that_is_wrong_is_not_added() -> None:
    async with ready(activations=("gelu",)) as it:
        await open_picker(it)
        await to_formula(it)
        await it.type("gelu=x")
        await it.press("enter")
        await it.until_shown("'gelu' is already the name of a built-in activation function.")
        await it.press("f2")
        await closed(it)
        assert it.app.compare.choices.activations == ("gelu",)


async def test_nothing_chosen_and_more_than_eight_are_refused() -> None:
    async with ready(activations=("gelu",)) as it:
        await open_picker(it)
        await it.press("space", "enter")
        await it.until_shown("No activation function is chosen.")
        for _ in range(8):
            await it.press("space", "down")
        await it.press("space")
        await it.until_shown("8 functions are the most that one comparison takes.")


async def test_the_choice_can_be_left_as_it_was() -> None:
    for key in ("escape", "f10"):
        async with ready(activations=("gelu", "silu")) as it:
            await open_picker(it)
            await it.press("space", "d", key)
            await closed(it)
            assert it.app.compare.choices.activations == ("gelu", "silu")


async def test_new_choices_beside_an_old_comparison_are_told() -> None:
    async with ready(activations=("gelu", "silu")) as it:
        await it.type("x")
        await it.press("enter")
        await it.until_finished()
        await open_picker(it)
        await it.press("space", "enter")
        await closed(it)
        await it.until_shown("next run: silu ·")
        assert "identical" in it.screen() or "diverges" in it.screen()
