"""The screen of layers: which text, bars while they grow, keys, files, and what goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from gelu_tui.core import protocol as p
from gelu_tui.core.lab.layers import LayersState, VariantLayers
from gelu_tui.core.runs.document import to_json
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.engine_link.session import Phase
from gelu_tui.tui.lab.layers_bars import Scale, bar_rows
from gelu_tui.tui.lab.layers_screen import LayersScreen
from gelu_tui.tui.lab.measurements import MeasuredLayers
from tests.support.comparisons import LOADED, run_document
from tests.support.driving import Driven, ready
from tests.support.layers_engine import CHUNKS, POSITIONS, chunk, started

SLOW_S = 0.2  # a step: two functions take seconds


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "essay.txt"
    path.write_text("Why is the sky blue?")
    return str(path)


def shown(it: Driven) -> MeasuredLayers | None:
    job = it.app.navigation.lab.layers
    return None if job is None else job.shown


def measured(it: Driven) -> MeasuredLayers:
    found = shown(it)
    assert found is not None
    return found


async def ended(it: Driven, status: p.Status = "completed") -> MeasuredLayers:
    await it.until(lambda: shown(it) and measured(it).status == status, status)
    return measured(it)


async def opened(it: Driven) -> None:
    await it.app.run_action("open('layers')")
    await it.until_shown("Over which text?")


async def begun(it: Driven, text: str) -> None:
    await opened(it)
    await it.type(text)
    await it.press("enter")
    await it.until(lambda: shown(it) and measured(it).state, "it has begun")


def bars(it: Driven) -> list[str]:
    screen = it.app.screen
    return str(screen.query_one("#bars").content).splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (200, 50)])
async def test_a_text_is_measured(size: tuple[int, int], text: str) -> None:
    async with ready(size=size, activations=("relu", "silu", "gelu_approx")) as it:
        await begun(it, text)
        await it.until_shown("Done: 512 of 512 positions", "layers sum to", "relu (1 of 2)")
        assert len(bars(it)) == 18
        assert [row.split()[0] for row in bars(it)] == [str(layer) for layer in range(18)]
        assert it.phase is Phase.READY
        await it.press("o")
        await it.until(lambda: bars(it)[1].split()[0] == "17", "the largest first")
        linear = bars(it)[1]
        await it.press("l")
        await it.until(lambda: bars(it)[1] != linear, "a logarithmic scale")
        await it.press("n")
        await it.until_shown("silu (2 of 2)")
        await it.press("n")
        await it.until_shown("relu (1 of 2)")
        assert all(cell_len(line) <= size[0] for line in it.screen().splitlines())


async def test_it_opens_from_the_functions_and_by_the_palette() -> None:
    async with ready(activations=("relu", "gelu_approx")) as it:
        await it.press("f2")
        await it.until_shown("exact GELU")
        await it.press("l")
        await it.until_shown("Over which text?")
        await it.press("escape")
        await it.until(lambda: not isinstance(it.app.screen, LayersScreen), "it is closed")
        titles = [command.title for command in it.app.get_system_commands(it.app.compare)]
        assert "Lab: layers" in titles


@pytest.mark.parametrize(
    ("action", "asked"), [("layers", "Over which text?"), ("text", "Which text")]
)
async def test_over_the_picker_it_asks_with_what_is_picked(action: str, asked: str) -> None:
    async with ready(activations=("relu", "gelu_approx"), size=(120, 36)) as it:
        await it.press("f2")
        await it.until_shown("exact GELU")
        await it.press("tab")
        await it.type("silu@0-3")
        await it.press("enter")
        await it.until_shown("silu@0-3 is chosen")
        await it.app.run_action(f"app.open('{action}')")
        await it.until_shown(asked, "relu, gelu_approx, silu@0-3")
        assert "^r" not in it.screen()  # there is no run yet
        await it.press("escape")
        await it.until_shown("silu@0-3 is chosen")


async def test_it_grows_stops_and_goes_on(text: str) -> None:
    async with ready(step_s=SLOW_S, activations=("relu", "gelu_approx")) as it:
        await begun(it, text)
        await it.until(lambda: len(bars(it)) == 18, "bars before the end")
        assert measured(it).is_live
        await it.press("s")
        await ended(it, "cancelled")
        await it.until_shown("Stopped: ", "go on")
        await it.until(lambda: "Stopping" not in it.screen(), "it no longer stops")
        document = measured(it).document()
        assert document is not None and 0 < document.positions < CHUNKS * POSITIONS
        it.engines.step_s = 0.0
        await it.press("s")
        await it.until(lambda: measured(it).is_live, "it goes on")


async def test_it_goes_on_while_its_screen_is_closed(text: str) -> None:
    async with ready(step_s=0.05, activations=("relu", "gelu_approx")) as it:
        await begun(it, text)
        own = measured(it)
        await it.press("q")
        await it.until(lambda: not isinstance(it.app.screen, LayersScreen), "it is closed")
        await it.until(lambda: own.status == "completed", "it ends")
        await it.app.run_action("open('layers')")
        await it.until_shown("Done: 512 of 512 positions")
        await it.press("t")
        await it.until_shown("Over which text?")
        await it.press("escape")
        await it.until_shown("Done: 512 of 512 positions")


async def test_the_run_that_is_shown(tmp_path: Path) -> None:
    async with ready(max_tokens=6) as it:
        await it.type("Why?")
        await it.press("enter")
        await it.until_finished()
        tokens = it.comparison.streams[1].tokens
        await opened(it)
        await it.until_shown("the run that is shown")
        await it.press("ctrl+r")
        await it.until(lambda: shown(it), "it is asked for")
        command = measured(it).command
        assert command.tokens[-len(tokens) :] == tuple(tokens)
        assert 0 < command.prompt < len(command.tokens)
        await ended(it)


async def test_a_saved_run(tmp_path: Path) -> None:
    saved = run_document()
    file = tmp_path / "run.json"
    file.write_text(to_json(saved))
    async with ready(activations=("relu", "gelu_approx")) as it:
        await begun(it, str(file))
        command = (await ended(it)).command
        assert command.tokens == saved.reference_tokens
        assert command.prompt == len(saved.prompt_tokens)
        assert command.settings.activations == saved.settings.activations, "its own functions"
        assert not command.settings.control


async def test_a_saved_result_is_not_read_as_a_text(tmp_path: Path) -> None:
    file = tmp_path / "layers.json"
    file.write_text('{"layers": [], "schema": "gelu-tui.layers/1"}')
    async with ready(activations=("relu", "gelu_approx")) as it:
        await opened(it)
        await it.type(str(file))
        await it.press("enter")
        await it.until_shown("is a result that was saved (gelu-tui.layers/1), not a text.")


async def test_typed_words() -> None:
    async with ready(activations=("relu", "gelu_approx")) as it:
        await opened(it)
        await it.type("The sky is blue")
        await it.press("enter")
        await it.until_shown("Enter once more measures these words themselves.")
        await it.press("enter")
        assert (await ended(it)).command.text == "The sky is blue"


async def test_another_model_ends_what_is_measured(text: str) -> None:
    async with ready(step_s=SLOW_S, activations=("relu", "gelu_approx")) as it:
        await begun(it, text)
        await it.press("q")
        it.app.navigation._model_chosen("another")
        await ended(it, "cancelled")
        await it.app.run_action("open('layers')")
        await it.until_shown("Stopped: ", "go on")


async def test_a_pasted_text(text: str) -> None:
    from textual.events import Paste

    async with ready(activations=("relu", "gelu_approx")) as it:
        await opened(it)
        assert it.app.focused is not None
        it.app.focused.post_message(Paste("One line.\nAnd another one."))
        await it.until_shown("Pasted: 26 characters")
        await it.press("enter")
        command = (await ended(it)).command
        assert command.text == "One line.\nAnd another one."


async def test_what_goes_wrong(tmp_path: Path) -> None:
    bang = tmp_path / "bang.txt"
    bang.write_text("BANG")
    async with ready(activations=("relu", "gelu_approx")) as it:
        await opened(it)
        await it.press("enter")
        await it.until_shown("Give the path of a file here")
        await it.type(str(tmp_path / "missing.txt"))
        await it.press("enter")
        await it.until_shown("missing.txt")
        await it.until_shown("✗")
        for _ in str(tmp_path / "missing.txt"):
            await it.press("backspace")
        await it.type(str(bang))
        await it.press("enter")
        await ended(it, "failed")
        await it.until_shown("Failed: ", "✗")
        assert len(bars(it)) == 18, "what was measured stays"


async def test_the_figures_are_exported(text: str, tmp_path: Path) -> None:
    async with ready(activations=("relu", "gelu_approx")) as it:
        await begun(it, text)
        await it.until_shown("Done: ")
        await it.press("e")
        await it.until_shown("Export the figures")
        for _ in "gelu-tui-layers.html":
            await it.press("backspace")
        await it.type(str(tmp_path / "out.csv"))
        await it.press("enter")
        await it.until(lambda: (tmp_path / "out.csv").exists(), "the file")
    assert (tmp_path / "out.csv").read_text().startswith("variant,")


# --- the bars -------------------------------------------------------------------------------------


def a_variant(layers: int = 18) -> VariantLayers:
    command = p.Layers(RunSettings(activations=("relu",)))
    state = LayersState(started(command, layers))
    state.apply(chunk(1, 0, layers))
    return state.document(LOADED, ScoreSource("text", "x"), status="completed")


@given(st.integers(20, 220), st.booleans(), st.booleans(), st.booleans(), st.integers(1, 64))
@settings(max_examples=60)
def test_bars_fit(width: int, log: bool, by_size: bool, ascii_only: bool, layers: int) -> None:
    variant = a_variant(layers)
    drawn = bar_rows(variant, width, log=log, by_size=by_size, ascii_only=ascii_only)
    assert len(drawn.rows) == layers
    assert all(cell_len(row) <= width for row in (drawn.heading, *drawn.rows))
    assert {int(row.split()[0]) for row in drawn.rows} == set(range(layers))
    if ascii_only:
        assert all(ord(char) < 128 or char == "−" for row in drawn.rows for char in row)
    if by_size:
        kls = {layer.layer: layer.noising.kl for layer in variant.layers}
        found = [kls[int(row.split()[0])] for row in drawn.rows]
        assert found == sorted(found, reverse=True)


@given(st.lists(st.floats(0, 100, allow_subnormal=False), max_size=20), st.booleans())
def test_longer_bars_are_larger(values: list[float], log: bool) -> None:
    scale = Scale.of(values, log=log)
    shares = [scale.share(value) for value in sorted(values)]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    assert all(
        (share > 0) == (value > 0) for share, value in zip(shares, sorted(values), strict=True)
    )
