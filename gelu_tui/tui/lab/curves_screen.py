"""The lab's curves: several functions at once, their derivatives, errors and properties."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import DataTable, Static

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.properties import Properties, properties
from gelu_tui.core.functions.variants import MAX_VARIANTS, Variant
from gelu_tui.core.reports.progress import progress_sentence
from gelu_tui.tui.keys.actions import HELP
from gelu_tui.tui.lab.curve_samples import (
    EXACTLY,
    VIEWS,
    Arithmetic,
    Samples,
    answered,
    asked,
    computed,
    wanted_range,
)
from gelu_tui.tui.lab.curve_views import Shown
from gelu_tui.tui.lab.curves_plot import CurvesPlot
from gelu_tui.tui.lab.curves_table import COLUMNS, CurvesTable, TableRow
from gelu_tui.tui.lab.function_source import FunctionSource
from gelu_tui.tui.lab.inputs_under import InputsUnder
from gelu_tui.tui.widgets.background import is_open
from gelu_tui.tui.widgets.closes_once import ClosesOnce
from gelu_tui.tui.widgets.key_hints import KeyHints
from gelu_tui.tui.widgets.message_line import MessageLine

_KEYS = (
    "q back · v view · Space draw · i inputs · {}← → cursor · + - zoom · h l move · 0 all · "
    "d dtype · t table · s speed · * / zoom y · k j move y · F1 help"
)
_LAYER_KEY = ", . layer · "  # once there are inputs
_SOON_S = 0.05  # after the last of some moves, before functions are computed again


class CurvesScreen(ClosesOnce, Screen[None]):
    """Functions over x. `listed` can be drawn, and `drawn` are at first.

    `arithmetics` are what they can be computed in; the first one is shown at first, by what numpy
    computes until the engine of `source` has answered.
    """

    CSS_PATH = "curves_screen.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (72, "-usual")]  # columns # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-low"), (22, "-usual-height"), (40, "-high")]  # rows # noqa: RUF012
    BINDINGS: ClassVar = [
        Binding("v", "view(1)", "The next view: value, derivative, error, error logarithmically"),
        Binding("V", "view(-1)", "The view before"),
        Binding("plus,equals_sign", "zoom(0.8)", "Show less of x, around the cursor"),
        Binding("minus", "zoom(1.25)", "Show more of x"),
        Binding("l,shift+right", "pan(0.25)", "Move to the right"),
        Binding("h,shift+left", "pan(-0.25)", "Move to the left"),
        Binding("asterisk", "zoom_y(0.8)", "Show less of y"),
        Binding("slash", "zoom_y(1.25)", "Show more of y"),
        Binding("k,shift+up", "pan_y(0.25)", "Move up"),
        Binding("j,shift+down", "pan_y(-0.25)", "Move down"),
        Binding("0", "reset", "Show x from −4 to 4 again, and y as it fits"),
        Binding("d", "arithmetic", "The next arithmetic: float32, a dtype, float64"),
        Binding("t", "table", "What functions are at the cursor, or their properties first"),
        Binding("s", "speed", "Measure the functions in MLX, against exact GELU"),
        Binding("i", "inputs(False)", "The model's own inputs on the run that is shown, or a text"),
        Binding("I", "inputs(True)", "The model's own inputs on another text"),
        Binding("full_stop,right_square_bracket", "layer(1)", "The inputs of the next layer"),
        Binding("comma,left_square_bracket", "layer(-1)", "The inputs of the layer before"),
        Binding("ctrl+g", "stop", "Stop reading the inputs; what there is stays"),
        Binding("q,escape,f10", "dismiss", "Back"),
        HELP,
    ]
    FIELD_HELP: ClassVar = (("The table", COLUMNS),)

    def __init__(
        self,
        listed: Sequence[Variant],
        drawn: Sequence[Variant],
        source: FunctionSource,
        arithmetics: Sequence[Arithmetic] = (Arithmetic("float32"), EXACTLY),
        inputs: InputsUnder | None = None,
    ) -> None:
        super().__init__()
        self._listed = listed
        self._drawn: list[Variant | None] = list(drawn[:MAX_VARIANTS])  # by place; None: it is free
        self._source = source
        self._arithmetics = arithmetics
        self._inputs = inputs
        self._arithmetic = 0
        self._properties: dict[Variant, Properties] = {}
        self._speeds: dict[str, float] = {}
        self._failed: GeluError | None = None  # why the engine does not compute

    def compose(self) -> ComposeResult:
        yield Static(id="title", markup=False)
        yield CurvesPlot()
        yield CurvesTable(id="functions")
        if self._inputs is not None:
            yield self._inputs
        yield MessageLine(id="message")
        yield KeyHints(_KEYS.format(""), id="keys", markup=False)

    def on_mount(self) -> None:
        self._message.show_message("")
        self._table.focus()
        self._show_rows()
        self._look_at_properties()
        self._draw()

    async def on_unmount(self) -> None:
        await self._source.close()

    @property
    def _plot(self) -> CurvesPlot:
        return self.query_one(CurvesPlot)

    @property
    def _table(self) -> CurvesTable:
        return self.query_one(CurvesTable)

    @property
    def _message(self) -> MessageLine:
        return self.query_one(MessageLine)

    @property
    def _shown(self) -> list[Shown]:
        places = enumerate(self._drawn)
        return [Shown(variant, place) for place, variant in places if variant is not None]

    @property
    def arithmetic(self) -> Arithmetic:
        """What is to be shown; what is shown may still be float64."""
        return EXACTLY if self._failed else self._arithmetics[self._arithmetic]

    # --- keys ---------------------------------------------------------------------------------

    def action_view(self, by: int) -> None:
        self._plot.view = (self._plot.view + by) % len(VIEWS)
        self._plot.zoom.y = None
        self._plot.refresh()
        self._show_title()

    def action_zoom(self, factor: float) -> None:
        plot = self._plot
        low, high = plot.zoom.x
        is_seen = low <= plot.cursor <= high  # the wheel may have left it outside
        plot.zoom.zoom_x(factor, plot.cursor if is_seen else (low + high) / 2)
        plot.change()

    def action_pan(self, share: float) -> None:
        plot = self._plot
        plot.zoom.pan_x(share)
        low, high = plot.zoom.x
        plot.move_cursor(min(max(plot.cursor, low), high))

    def action_zoom_y(self, factor: float) -> None:
        self._plot.zoom.zoom_y(factor, self._plot.seen_y)
        self._plot.change()

    def action_pan_y(self, share: float) -> None:
        self._plot.zoom.pan_y(share, self._plot.seen_y)
        self._plot.change()

    def action_reset(self) -> None:
        self._plot.zoom.reset()
        self._plot.move_cursor(0.0)

    def action_cursor(self, by: int) -> None:
        plot = self._plot
        x = plot.cursor + by * plot.step
        plot.move_cursor(0.0 if abs(x) < plot.step / 2 else x)

    def action_arithmetic(self) -> None:
        """Go on to the next arithmetic; an engine that has failed is started again."""
        if self._failed is None:
            self._arithmetic = (self._arithmetic + 1) % len(self._arithmetics)
        self._failed = None
        self._message.show_message("")
        self._draw()

    def action_table(self) -> None:
        self._table.properties_first = not self._table.properties_first
        self._table.fill()

    def action_draw(self) -> None:
        """Draw the function under the cursor, or leave it out; its sign is then free."""
        row = self._table.chosen
        if row is None:
            return
        self._message.show_message("")
        if row.shown is not None:
            self._drawn[row.shown.place] = None
        elif len(self._shown) >= MAX_VARIANTS:
            message = f"{MAX_VARIANTS} functions are drawn, the most that can be told apart."
            self._message.show_message(f"{message} Space leaves one out.")
        elif None in self._drawn:
            self._drawn[self._drawn.index(None)] = row.variant
        else:
            self._drawn.append(row.variant)
        self._draw()

    @work(group="speed", exclusive=True)
    async def action_speed(self) -> None:
        """Measure all functions of the table."""
        arithmetic = self._arithmetics[self._arithmetic]
        specs = tuple(variant.spec for variant in self._listed)
        command = p.FunctionValues(specs, points=2, dtype=arithmetic.dtype or "float32",
                                   precision=arithmetic.precision, speed=True)  # fmt: skip

        def tell(progress: p.Progress) -> None:
            if is_open(self):
                self._message.show_message(progress_sentence(progress))

        try:
            found = await self._source.ask(command, tell)
        except GeluError as error:
            if is_open(self):
                self._message.show_message(error.info)
            return
        if is_open(self):
            self._speeds = {speed.name: speed.ratio for speed in found.speeds}
            self._show_rows()
            said = "× gelu is values per second in MLX, as a multiple of exact GELU's"
            self._message.show_message(f"{said}, in {found.dtype}.")

    async def action_inputs(self, asks: bool) -> None:
        """Read the model's own inputs, and show them under the errors."""
        if self._inputs is not None:
            await self._inputs.read([each.variant for each in self._shown], asks=asks)

    def action_layer(self, by: int) -> None:
        if self._inputs is not None:
            self._inputs.step(by)

    async def action_stop(self) -> None:
        if self._inputs is not None:
            await self._inputs.stop()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a model there are no inputs to read."""
        return not (self._inputs is None and action in ("inputs", "layer", "stop"))

    # --- what is shown ------------------------------------------------------------------------

    @on(InputsUnder.Changed)
    def _inputs_changed(self, message: InputsUnder.Changed) -> None:
        plot, first = self._plot, self._plot.histogram is None
        plot.histogram = message.histogram
        has_layers = message.histogram is not None
        self.query_one(KeyHints).update(_KEYS.format(_LAYER_KEY if has_layers else ""))
        if first and message.histogram is not None and plot.view < VIEWS.index("error"):
            plot.view = VIEWS.index("error")  # under the errors is where they are drawn
            self._show_title()
        plot.refresh()

    @on(CurvesPlot.RangeChanged)
    def _range_changed(self) -> None:
        self._draw()

    @on(CurvesPlot.CursorMoved)
    def _cursor_moved(self) -> None:
        self._show_rows()
        self._show_title()

    @on(DataTable.RowHighlighted)
    def _highlighted(self) -> None:
        row = self._table.chosen
        chosen = row.variant if row is not None and row.shown is not None else None
        if self._plot.chosen != chosen:
            self._plot.chosen = chosen
            self._plot.refresh()

    @on(events.Resize)
    def _resized(self) -> None:
        self.call_after_refresh(self._show_title)

    def _draw(self) -> None:
        """Draw what there is, and compute what there is not."""
        plot, shown = self._plot, self._shown
        row = self._table.chosen
        is_drawn = row is not None and row.variant in self._drawn
        if plot.samples is not None:
            plot.show(plot.samples, shown, row.variant if row and is_drawn else None)
        self._show_rows()
        self._show_title()
        variants = [each.variant for each in shown]
        if plot.samples is None or not plot.samples.serves(self.arithmetic, variants, plot.zoom.x):
            self._compute(variants)

    @work(group="samples", exclusive=True)
    async def _compute(self, variants: Sequence[Variant]) -> None:
        """Compute the functions: numpy at once where nothing fits yet, then the engine."""
        plot, arithmetic = self._plot, self.arithmetic
        limits = wanted_range(plot.zoom.x)
        await asyncio.sleep(_SOON_S if plot.samples else 0)
        present = plot.samples
        is_exact = present is None or present.arithmetic == EXACTLY
        if arithmetic == EXACTLY or is_exact:  # else what is there stays until the answer
            self._take(await asyncio.to_thread(computed, variants, limits))
        if arithmetic.dtype is None:
            return
        try:
            found = await self._source.ask(asked(variants, limits, arithmetic))
        except GeluError as error:
            if is_open(self):
                self._failed = error
                self._message.show_message(error.info)
                self._draw()
            return
        self._take(await asyncio.to_thread(answered, variants, limits, found))

    def _take(self, samples: Samples) -> None:
        if is_open(self):
            row = self._table.chosen
            chosen = row.variant if row is not None and row.variant in self._drawn else None
            self._plot.show(samples, self._shown, chosen)
            self._show_rows()
            self._show_title()

    @work(group="properties", exclusive=True)
    async def _look_at_properties(self) -> None:
        """Compute the properties of all functions, on a thread."""
        for variant in self._listed:
            self._properties[variant] = await asyncio.to_thread(properties, variant)
        if is_open(self):
            self._show_rows()

    def _show_rows(self) -> None:
        shown = {each.variant: each for each in self._shown}
        self._table.show([
            TableRow(
                variant, shown.get(variant), self._properties.get(variant), self._figures(variant),
                self._speeds.get(variant.name),
            )
            for variant in self._listed
        ])  # fmt: skip

    def _figures(self, variant: Variant) -> tuple[float, float, float] | None:
        """Value, derivative and error at the cursor, None while they are unknown."""
        plot = self._plot
        if plot.samples is None or variant not in plot.samples.curves:
            return None
        at = np.array([plot.cursor])
        value, derivative, error = (
            float(plot.samples.at(variant, view, at)[0]) for view in VIEWS[:3]
        )
        return value, derivative, error

    def _show_title(self) -> None:
        """The arithmetic, the x of the figures, and the range in view."""
        plot = self._plot
        low, high = plot.zoom.x
        at, digits = plot.cursor, max(2, int(np.ceil(-np.log10(plot.step))))
        parts = []
        if (samples := plot.samples) is not None:
            coming = samples.arithmetic != self.arithmetic
            coming_words = f" until {self.arithmetic.words} comes" if coming else ""
            parts.append(f"{samples.arithmetic.words}{coming_words}")
            if samples.is_coarse and samples.x.size:  # there are figures at some x only
                at, digits = float(samples.x[samples.nearest(np.array([at]))[0]]), digits + 3
        parts.append(f"cursor x = {at + 0.0:.{digits}f}")
        digits = max(2, int(np.ceil(-np.log10(plot.step))))
        parts.append(f"{low + 0.0:.{digits}f} to {high + 0.0:.{digits}f}")
        text = " · ".join(parts).replace("-", "−")
        self.query_one("#title", Static).update(
            Content.assemble(("Functions", "bold"), f" · {text}")
        )
