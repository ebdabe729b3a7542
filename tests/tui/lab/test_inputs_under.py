"""The model's own inputs under the curves, in the whole app with a fake engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gelu_tui.core.lab.inputs import ReadInputs
from gelu_tui.tui.engine_link.session import Phase
from gelu_tui.tui.lab.curves_plot import CurvesPlot
from gelu_tui.tui.lab.curves_screen import CurvesScreen
from gelu_tui.tui.lab.inputs_view import histogram, places, sentence
from gelu_tui.tui.widgets.bars import Histogram, marks
from gelu_tui.tui.widgets.plot import ASCII, BRAILLE, Window
from tests.support.driving import Driven, ready
from tests.support.inputs_engine import LAYERS, inputs_events


class Lab(Driven):
    @property
    def plot(self) -> CurvesPlot:
        return self.app.screen.query_one(CurvesPlot)

    async def opened(self) -> None:
        await self.app.run_action("open('curves')")
        await self.until(lambda: isinstance(self.app.screen, CurvesScreen), "the curves are open")
        await self.until_shown("Functions ·")


@asynccontextmanager
async def lab(*, ran: bool = True, **options: Any) -> AsyncIterator[Lab]:
    async with ready(**options) as driven:
        it = Lab(driven.app, driven.pilot)
        if ran:
            await it.press(*"Hi", "enter")
            await it.until_finished()
        await it.opened()
        yield it


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
async def test_the_shown_run_is_read_and_layers_are_stepped_through(size: tuple[int, int]) -> None:
    async with lab(size=size) as it:
        await it.press("i")
        await it.until_shown("99 % of this model's gate inputs lie in", "inputs of all layers")
        await it.until(lambda: it.phase is Phase.READY, "all is read")
        drawn = it.screen()
        assert "├" in drawn and "┤" in drawn and "99 %" in drawn
        assert "f(x) − exact GELU" in drawn, "what they are drawn under"
        assert max(map(len, drawn.splitlines())) <= size[0]
        every = it.plot.histogram
        for layer in range(LAYERS):
            await it.press("full_stop")
            await it.until_shown(f"inputs of layer {layer}", f"Layer {layer}: 99 % in [", "RMSE")
        await it.press("full_stop")
        await it.until_shown("inputs of all layers")
        assert it.plot.histogram == every
        await it.press("comma")
        await it.until_shown(f"inputs of layer {LAYERS - 1}")
        job = it.app.navigation.lab.inputs
        assert job is not None and job.shown is not None
        shown = it.app.compare.shown
        assert shown is not None
        run = shown.document()
        assert job.shown.command.tokens == (*run.prompt_tokens, *run.reference_variant.tokens)


async def test_a_text_file_is_asked_for_without_a_run(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("the sky is blue")
    async with lab(ran=False) as it:
        await it.press("i")
        await it.until_shown("A text file that the model reads")
        await it.press(*"no/file", "enter")
        await it.until_shown("There is no file no/file.")
        await it.press("escape", "I")
        field = it.app.screen.query_one("#inputs-file")
        field.value = str(file)
        await it.press("enter")
        await it.until_shown("99 % of this model's gate inputs lie in")
        assert not field.display
        job = it.app.navigation.lab.inputs
        assert job is not None and job.shown is not None
        command = job.shown.command
        assert command.text == "the sky is blue"
        assert command.settings.reference is None, "the model computes with its own function"


async def test_what_was_read_is_there_when_the_screen_opens_again() -> None:
    async with lab() as it:
        await it.press("i")
        await it.until_shown("99 % of this model's gate inputs lie in")
        await it.press("q")
        await it.until(lambda: it.app.screen is it.app.compare, "the screen is closed")
        await it.opened()
        await it.until_shown("99 % of this model's gate inputs lie in", "inputs of all layers")


async def test_it_can_be_stopped_and_what_there_is_stays() -> None:
    async with lab(step_s=0.2) as it:
        await it.press("i")
        await it.until_shown("Reading the inputs: window 1 of 1", "99 % of this model's")
        await it.press("ctrl+g")
        await it.until_shown("Stopped.", "99 % of this model's gate inputs lie in")
        assert it.phase is Phase.READY


async def test_an_engine_that_dies_says_so() -> None:
    async with lab(step_s=0.2) as it:
        await it.press("i")
        await it.until_shown("Reading the inputs")
        it.engines.started[0].kill()
        await it.until_shown("✗")
        assert it.phase is Phase.LOST


# --- the words and the drawing --------------------------------------------------------------------


def read() -> ReadInputs:
    from gelu_tui.core import protocol as p
    from gelu_tui.core.settings.run_settings import RunSettings

    made = None
    for event in inputs_events(p.GateInputs(RunSettings(activations=("gelu", "relu")), "x")):
        if isinstance(event, p.InputsStarted):
            made = ReadInputs(event)
        assert made is not None
        made.apply(event)
    assert made is not None
    return made


def test_every_place_has_a_histogram_and_a_sentence() -> None:
    found = read()
    assert places(found) == 1 + LAYERS
    for place in range(1 + LAYERS):
        drawn = histogram(found, place)
        assert (
            drawn is not None and len(drawn.marks) == 3 and list(drawn.marks) == sorted(drawn.marks)
        )
        assert sentence(found, place).endswith(".") and "relu" in sentence(found, place)
    assert sentence(found, 0).startswith("99 % of this model's gate inputs lie in [−")


@pytest.mark.parametrize(
    ("at", "dots", "line"),
    [
        ((-1.0, 0.0, 1.0), BRAILLE, "    ├───┼───┤   "),
        ((-9.0, 0.0, 1.0), BRAILLE, "────────┼───┤   "),
        ((-1.0, 0.0, 9.0), ASCII, "    |---+-------"),
        ((3.0, 4.0, 5.0), BRAILLE, " " * 16),
    ],
)
def test_marks_are_where_their_values_are(at: Any, dots: Any, line: str) -> None:
    drawn = marks(Histogram((0.0, 1.0), (1,), "", at), Window(-2, 2, 0, 1), 16, dots)
    assert "".join(run.text for run in drawn) == line
