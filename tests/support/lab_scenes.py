"""Pictures of the lab: curves, the model's own inputs under them, and bars of layers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from gelu_tui.core import protocol as p
from gelu_tui.core.functions.variants import parse_variant, parse_variants
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.lab.curve_samples import EXACTLY
from gelu_tui.tui.lab.curves_plot import CurvesPlot
from gelu_tui.tui.lab.curves_screen import CurvesScreen
from gelu_tui.tui.lab.function_source import FunctionSource
from gelu_tui.tui.lab.inputs_under import InputsUnder
from gelu_tui.tui.lab.layers_screen import LayersScreen
from gelu_tui.tui.lab.measurements import MeasuredInputs, MeasuredLayers
from gelu_tui.tui.widgets.bars import Histogram
from tests.support import layers_engine
from tests.support.comparisons import LOADED_ON_MAC
from tests.support.inputs_engine import inputs_events

if TYPE_CHECKING:
    from tests.support.scenes import Scene


async def curves(it: Scene) -> None:
    """The errors of four functions, in float64, over a histogram."""
    await it.loaded()
    drawn = parse_variants(["gelu_approx", "gelu_fast_approx", "silu", "mine=x*sigmoid(1.6*x)"])
    others = [parse_variant(name) for name in ("gelu", "relu", "mish")]
    screen = CurvesScreen([*drawn, *others], drawn, FunctionSource(None), (EXACTLY,))
    await it.app.push_screen(screen)
    await it.until_shown("float64", "gelu_approx")
    plot = screen.query_one(CurvesPlot)
    edges = [-4.0, -2.5, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]
    plot.histogram = Histogram(edges, [20, 80, 150, 400, 500, 300, 60, 15], "made-up inputs")
    await it.press("v", "v", "down", *(["left"] * 8))
    await it.until(lambda: all(screen._properties.get(v) for v in screen._listed), "all is known")


async def layers(it: Scene) -> None:
    """The bars of a text half of which is measured."""
    await it.loaded()
    await it.app.run_action("open('layers')")
    await it.until_shown("Over which text?")
    screen = it.app.screen
    assert isinstance(screen, LayersScreen)
    settings = RunSettings(model=LOADED_ON_MAC.model.id, activations=("relu", "silu"))
    command = p.Layers(settings, "Why is the sky blue?")
    await screen._begin(MeasuredLayers(command, ScoreSource("text", "essay.txt")))
    half = layers_engine.CHUNKS // 2
    measured = [layers_engine.chunk(v, number) for number in range(half) for v in (1, 2)]
    done, total = half * layers_engine.POSITIONS * 2, layers_engine.CHUNKS * 128
    progress = p.Progress("layers", "window 1 of 1", done, total, "tokens", 20.0)
    await it.told([layers_engine.started(command), *measured, progress])
    await it.until_shown("50 %", "relu (1 of 2)")


async def curves_inputs(it: Scene) -> None:
    """The inputs of one layer under the errors, as they have been read."""
    await it.loaded()
    drawn = parse_variants(["gelu_approx", "gelu_fast_approx", "silu"])
    command = p.GateInputs(RunSettings(activations=tuple(v.name for v in drawn)), "x")
    read = MeasuredInputs(command, ScoreSource("text", "x"))
    for event in inputs_events(command):
        read.apply(event, None)
    job = it.app.navigation.lab.job_of_inputs()
    await job.begin(read)
    inputs = InputsUnder(job, lambda: it.app.compare.choices, lambda: None)
    screen = CurvesScreen(drawn, drawn, FunctionSource(None), (EXACTLY,), inputs)
    await it.app.push_screen(screen)
    await it.until_shown("float64", "99 % of this model's gate inputs lie in")
    await it.press("full_stop")
    await it.until_shown("inputs of layer 0", "Layer 0: 99 % in")
    await it.until(lambda: all(screen._properties.get(v) for v in screen._listed), "all is known")


SCENES: Mapping[str, Callable[[Any], Awaitable[None]]] = {
    each.__name__.replace("_", "-"): each for each in (curves, layers, curves_inputs)
}
