"""The screen of curves: keys, mouse, what the engine computes, and what goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.events import MouseMove, MouseScrollUp

from gelu_tui.core.functions.curves import EXACT, slope
from gelu_tui.core.functions.numpy_operations import values
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.tui.functions.screen import ActivationsScreen, FunctionList
from gelu_tui.tui.lab import curves_plot
from gelu_tui.tui.lab.curve_samples import EXACTLY, Arithmetic, arithmetics
from gelu_tui.tui.lab.curves_plot import CurvesPlot
from gelu_tui.tui.lab.curves_screen import CurvesScreen
from gelu_tui.tui.lab.curves_table import CurvesTable
from gelu_tui.tui.lab.function_source import FunctionSource
from gelu_tui.tui.widgets.bars import Histogram
from gelu_tui.tui.widgets.plot import ASCII
from tests.support.driving import Alone, alone, ready
from tests.support.in_memory import FakeEngines

LISTED = [parse_variant(spec) for spec in (*REGISTRY, "mine=x*sigmoid(1.7*x)")]


class Lab(Alone):
    """The screen alone in an app."""

    @property
    def screen_(self) -> CurvesScreen:
        assert isinstance(self.app.shown, CurvesScreen)
        return self.app.shown

    @property
    def plot(self) -> CurvesPlot:
        return self.screen_.query_one(CurvesPlot)

    @property
    def computed_in(self) -> Arithmetic | None:
        return self.plot.samples and self.plot.samples.arithmetic

    async def until_in(self, words: str) -> None:
        await self.until(lambda: self.computed_in and self.computed_in.words == words, words)


@asynccontextmanager
async def lab(
    size: tuple[int, int] = (80, 24),
    engines: Callable[[], Any] | str | None = None,
    drawn: int = 4,
    **options: Any,
) -> AsyncIterator[Lab]:
    source = FunctionSource(engines or FakeEngines())
    screen = CurvesScreen(LISTED, LISTED[:drawn], source, **options)
    async with alone(screen, size) as it:
        yield Lab(it.app, it.pilot)


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (200, 50)])
async def test_functions_with_their_signs_and_figures(size: tuple[int, int]) -> None:
    async with lab(size) as it:
        await it.until_in("float32")
        await it.until_shown("Functions · float32 · cursor x = 0.00", "f(x)", "1 gelu ")
        shown = it.screen()
        assert "f − GELU" in shown and "4 keras_gelu_approx" in it.flat()
        for sign in "1234":
            assert shown.count(sign) >= 3, "on its curve, and in the table"
        assert ("derivative of f" in shown) == (size[1] == 50), "several views where there is room"
        assert max(map(len, shown.splitlines())) <= size[0]


async def test_views_one_after_the_other() -> None:
    async with lab() as it:
        await it.until_in("float32")
        for heading in ("derivative of f", "f(x) − exact GELU", "logarithmic", "f(x)"):
            await it.press("v")
            await it.until_shown(heading)
        await it.press("V")
        await it.until_shown("logarithmic")


async def test_arithmetics_one_after_the_other() -> None:
    async with lab(arithmetics=arithmetics("bfloat16")) as it:
        for words in ("float32", "bfloat16", "bfloat16 throughout", "float64", "float32"):
            await it.until_in(words)
            await it.until_shown(f"Functions · {words} · ")
            await it.press("d")


async def test_the_cursor_and_its_figures() -> None:
    async with lab(arithmetics=(EXACTLY,)) as it:
        await it.until_in("float64")
        await it.until(lambda: it.plot._drawings, "it is drawn")  # before, a column is a guess
        await it.press(*["right"] * 3, "left")
        await it.until(lambda: it.plot.cursor > 0, "the cursor has moved")
        x = it.plot.cursor
        assert x == pytest.approx(2 * it.plot.step)
        shown = it.screen()
        gelu = next(line for line in shown.splitlines() if line.startswith(" 1  gelu "))
        value, derivative, error, *_ = gelu.split()[2:]
        assert float(value) == pytest.approx(float(values(EXACT.node, x)), abs=1e-5)
        assert float(derivative) == pytest.approx(float(slope(EXACT, x)), abs=1e-5)
        assert error == "0"


async def test_zooming_moving_and_back() -> None:
    async with lab() as it:
        await it.until_in("float32")
        await it.until(lambda: it.plot._drawings, "it is drawn")
        await it.press(*["plus"] * 20)
        low, high = it.plot.zoom.x
        assert low < 0 < high and high - low < 0.1
        await it.until(lambda: it.plot.samples.high - it.plot.samples.low < 0.6, "finer samples")
        await it.press("l", "l", "shift+right")
        assert it.plot.zoom.x[0] == pytest.approx(low + 0.75 * (high - low))
        await it.press("minus", "asterisk", "k", "0")
        assert (it.plot.zoom.x, it.plot.zoom.y, it.plot.cursor) == ((-4.0, 4.0), None, 0.0)
        before = it.plot.seen_y
        await it.press("asterisk")
        after = it.plot.seen_y
        assert after[1] - after[0] < before[1] - before[0]
        await it.press("k")
        assert it.plot.seen_y[0] > after[0]
        await it.press("v")
        assert it.plot.zoom.y is None, "another view has another height"


async def test_the_mouse() -> None:
    async with lab() as it:
        await it.until_in("float32")
        await it.until(lambda: it.plot._drawings, "it is drawn")
        await it.pilot.click(CurvesPlot, offset=(20, 5))
        await it.until(lambda: it.plot.cursor < -2, "the cursor is where the click was")
        x, width = it.plot.cursor, it.plot.zoom.x[1] - it.plot.zoom.x[0]
        await it.pilot._post_mouse_events([MouseScrollUp], CurvesPlot, offset=(20, 5), button=0)
        await it.until(lambda: it.plot.zoom.x[1] - it.plot.zoom.x[0] < width, "the wheel zooms")
        low, high = it.plot.zoom.x
        assert low < x < high
        await it.pilot.mouse_down(CurvesPlot, offset=(30, 5))
        for moved in (35, 40):
            await it.pilot._post_mouse_events([MouseMove], CurvesPlot, (moved, 5), button=1)
        await it.pilot.mouse_up(CurvesPlot, offset=(40, 5))
        await it.until(lambda: it.plot.zoom.x[0] < low, "it is dragged to the right")
        assert it.plot.cursor == x, "a drag does not move the cursor"


async def test_functions_are_drawn_and_left_out() -> None:
    async with lab() as it:
        await it.until_in("float32")
        await it.press("down", "space")
        await it.until(lambda: len(it.plot.shown) == 3, "one less")
        assert [each.sign for each in it.plot.shown] == ["1", "3", "4"], "the others keep theirs"
        await it.press("down", "down", "down", "space")
        await it.until(lambda: len(it.plot.shown) == 4, "another one")
        assert {each.variant.name: each.sign for each in it.plot.shown}["relu"] == "2"
        await it.until(lambda: parse_variant("relu") in it.plot.samples.curves, "its samples")
        assert it.plot.chosen == parse_variant("relu")


async def test_no_more_than_can_be_told_apart() -> None:
    async with lab(drawn=8) as it:
        await it.until_in("float32")
        await it.press("end", "space")
        await it.until_shown("8 functions are drawn")
        assert len(it.plot.shown) == 8
        await it.press("home", "space")
        await it.until(lambda: len(it.plot.shown) == 7, "one less")


async def test_nothing_is_drawn_of_no_function() -> None:
    async with lab(drawn=0) as it:
        await it.until_shown("Space chooses a function.")
        await it.press("v", "plus", "right", "l", "d", "space")
        await it.until_shown("1 gelu ")


async def test_properties_before_figures() -> None:
    async with lab() as it:
        await it.until_shown("max error")
        assert "differentiable" not in it.screen()
        await it.press("t")
        await it.until_shown("differentiable", "±2.70")
        assert "f − GELU" not in it.screen()


async def test_speeds_are_measured_when_they_are_asked_for() -> None:
    async with lab() as it:
        await it.until_in("float32")
        assert "× gelu" not in it.screen()
        await it.press("s")
        await it.until_shown(
            "as a multiple of exact GELU's, in float32.", "f − GELU × gelu", "4.00"
        )
        table = it.screen_.query_one(CurvesTable)
        assert {row.id: row.speed for row in table.items}["gelu_fast_approx"] == 4.0


async def test_a_histogram_under_the_errors() -> None:
    async with lab() as it:
        await it.until_in("float32")
        it.plot.histogram = Histogram([-3, -1, 0, 2], [1, 9, 3], "layer 3")
        await it.press("v", "v")
        await it.until_shown("f(x) − exact GELU; below: layer 3", "inputs", "█")
        await it.press("v", "v")
        await it.until_gone("below: layer 3")


async def test_an_engine_that_cannot_be_started() -> None:
    async with lab(engines="false") as it:
        await it.until_shown("The engine ended", "Functions · float64 · ")
        await it.press("v", "plus")
        await it.until_shown("derivative of f")
        await it.press("d")  # it is asked for again
        await it.until_shown("The engine ended")


async def test_an_engine_that_dies_is_started_again() -> None:
    engines = FakeEngines()
    async with lab(engines=engines, arithmetics=arithmetics("bfloat16")) as it:
        await it.until_in("float32")
        engines.started[0].kill()
        await it.press("d")
        await it.until_shown("float64")
        await it.press("d")
        await it.until(lambda: it.computed_in.dtype == "bfloat16", "the answer of another one")
        assert len(engines.started) == 2


async def test_its_engine_ends_with_it() -> None:
    engines = FakeEngines()
    async with lab(engines=engines) as it:
        await it.until_in("float32")
        await it.press("q")
        assert await it.result() is None
        await it.until(lambda: not engines.started[0].running, "no engine is left")


async def test_no_room() -> None:
    async with lab((22, 8)) as it:
        await it.until_shown("More room is needed.")
        await it.press("right", "plus", "v", "l")
        await it.pilot.resize_terminal(80, 24)
        await it.until_shown("derivative of f")


async def test_without_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves_plot, "terminal_dots", lambda app: ASCII)
    async with lab() as it:
        await it.until_shown("derivative")
        drawn = it.plot.render().plain
        assert drawn.isascii() and "1" in drawn and "*" in drawn


# --- in the app -----------------------------------------------------------------------------------


async def test_from_the_palette_and_from_the_picker() -> None:
    async with ready(size=(100, 30)) as it:
        commands = {c.title: c for c in it.app.get_system_commands(it.app.screen)}
        await commands["Lab: curves"].callback()
        await it.until(lambda: isinstance(it.app.screen, CurvesScreen), "the lab")
        await it.until_shown("1 gelu ", "5 relu ", "float32 · cursor")
        await it.press("escape")
        await it.until(lambda: not isinstance(it.app.screen, CurvesScreen), "it is closed")
        await it.press("f2")
        await it.until(lambda: isinstance(it.app.screen, ActivationsScreen), "the picker")
        await it.until(lambda: isinstance(it.app.focused, FunctionList), "its list has the focus")
        await it.press("space")
        await it.until_shown("4 chosen")
        await it.press("c")
        await it.until(lambda: isinstance(it.app.screen, CurvesScreen), "the lab")
        screen = it.app.screen
        assert isinstance(screen, CurvesScreen)
        picked = ["gelu_approx", "gelu_fast_approx", "silu", "relu"]
        await it.until(
            lambda: [each.variant.name for each in screen.query_one(CurvesPlot).shown] == picked,
            "as picked so far",
        )
        await it.press("q")
        await it.until(lambda: isinstance(it.app.screen, ActivationsScreen), "the picker again")


async def test_help_says_what_the_columns_are() -> None:
    async with ready(size=(100, 60)) as it:
        await it.app.action_open("curves")
        await it.until(lambda: isinstance(it.app.screen, CurvesScreen), "the lab")
        await it.until_shown("max error")
        await it.press("f1")
        await it.until_shown("On this screen", "The table", "as a multiple of exact GELU's")
