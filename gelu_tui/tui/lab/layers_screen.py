"""Which layer does it: a bar for each layer, while it is measured and afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.lab.layers import LayersDocument, VariantLayers
from gelu_tui.core.reports.export import LAYERS_FORMATS, export
from gelu_tui.core.reports.layers import summary, variant_sentences
from gelu_tui.core.reports.progress import duration, progress_sentence
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.keys.actions import HELP
from gelu_tui.tui.lab.engine_job import EngineJob
from gelu_tui.tui.lab.layers_bars import bar_rows
from gelu_tui.tui.lab.layers_choice import LayersChoice
from gelu_tui.tui.lab.measurements import MeasuredLayers
from gelu_tui.tui.lab.text_choice import Opened
from gelu_tui.tui.widgets.background import is_open
from gelu_tui.tui.widgets.closes_once import ClosesOnce
from gelu_tui.tui.widgets.curves_view import terminal_dots
from gelu_tui.tui.widgets.export_field import ExportField
from gelu_tui.tui.widgets.key_hints import KeyHints
from gelu_tui.tui.widgets.message_line import MessageLine
from gelu_tui.tui.widgets.plot import ASCII
from gelu_tui.tui.widgets.question import Question
from gelu_tui.tui.widgets.tells_its_size import TellsItsSize

_LOW = 22  # rows below which the bars need the room of most sentences
_FRAME_S = 0.3  # between two looks at what is new
_KEYS = "q back · n next · l scale · o order · s {} · t text · e export · F1 help"
_EXPORT_KEYS = "Enter writes · Esc does not · .html, .md, .json or .csv"


class _Body(TellsItsSize, VerticalScroll):
    """What scrolls: the bars."""


class LayersScreen(ClosesOnce, Screen[None]):
    """Shows the job's measurement, or asks for a text.

    `choices` are the settings of the next run, `shown_run` is the run on the first screen.
    """

    CSS_PATH = "layers_screen.tcss"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar = [
        Binding("n", "variant(1)", "The next function"),
        Binding("p", "variant(-1)", "The previous function"),
        Binding("l", "scale", "Bars on a linear or a logarithmic scale"),
        Binding("o", "order", "By layer, or the largest first"),
        Binding("s", "stop_or_go_on", "Stop, or go on from there"),
        Binding("t", "other", "Another text"),
        Binding("e", "export", "Write a report or the data into a file"),
        Binding("ctrl+g", "stop", "Stop; what is measured stays"),
        Binding("ctrl+r", "run", "The run that is shown", priority=True),
        Binding("q,escape,f10", "back", "Back; a measurement that runs goes on"),
        HELP,
    ]

    def __init__(
        self,
        job: EngineJob[MeasuredLayers],
        choices: Callable[[], RunSettings],
        shown_run: Callable[[], ComparisonDocument | None],
        opened: Opened,
    ) -> None:
        super().__init__()
        self._job = job
        self._choice = LayersChoice(choices, shown_run, opened)
        self._document: LayersDocument | None = None
        self._seen = -1  # version of the job
        self._variant = 0
        self._log = self._by_size = False
        self._is_stopping = False  # and the message says so
        self._has_begun = False  # to show anything

    def compose(self) -> ComposeResult:
        yield Static(id="title", markup=False)
        yield Static(id="progress", markup=False)
        yield self._choice
        yield Static(id="summary", markup=False)
        yield Static(id="heading", markup=False)
        with _Body(id="body"):
            yield Static(id="bars", markup=False)
        yield Static(id="notes", markup=False)
        yield MessageLine(id="message")
        yield ExportField(id="path")
        yield Question(id="question", markup=False)
        yield KeyHints(id="keys", markup=False)

    def on_mount(self) -> None:
        # What is inside of other widgets is there a little later.
        self.call_after_refresh(self._begin_to_show)

    def _begin_to_show(self) -> None:
        self._has_begun = True
        if self._shown is None:
            self.action_other()
        else:
            self._show()
        self.set_interval(_FRAME_S, self._look)

    @property
    def _shown(self) -> MeasuredLayers | None:
        return self._job.shown

    @property
    def _is_choosing(self) -> bool:
        return self.has_class("-choosing")

    # --- choosing a text --------------------------------------------------------------------------

    def action_other(self) -> None:
        """Ask for a text."""
        if self._job.is_live:
            self._message("Stop this first (s).")
            return
        self.add_class("-choosing")
        self.query_one("#title", Static).update("Which layer does it")
        self._choice.show()
        self._show_keys()

    def action_run(self) -> None:
        if self._is_choosing:
            self._choice.choose_run()

    @on(LayersChoice.Chosen)
    async def _chosen(self, message: LayersChoice.Chosen) -> None:
        message.stop()
        assert isinstance(message.found, MeasuredLayers)
        await self._begin(message.found)

    async def _begin(self, chosen: MeasuredLayers) -> None:
        try:
            await self._job.begin(chosen)
        except GeluError as error:
            self._message(error.info)
            return
        self._message("")
        self._variant = 0
        self._show()

    @on(LayersChoice.Told)
    def _told(self, message: LayersChoice.Told) -> None:
        message.stop()
        self._message(message.words)

    def _show(self) -> None:
        self.remove_class("-choosing")
        self.query_one("#body").focus()
        self._redraw()

    # --- what is measured -------------------------------------------------------------------------

    def _look(self) -> None:
        """Show what is new; cheap while nothing is."""
        shown, version = self._shown, self._job.version
        if shown is None or self._is_choosing or not is_open(self) or version == self._seen:
            return
        self._seen = version
        self._document = shown.document()
        self.query_one("#title", Static).update(self._title(shown))
        self.query_one("#progress", Static).update(self._progress(shown))
        variant = self._shown_variant
        name = self._document.reference if self._document else ""
        said = summary(variant, name) if variant else "Nothing is measured yet."
        self.query_one("#summary", Static).update(said)
        self._draw_bars()
        if shown.error is not None:
            self._message(shown.error)
        elif self._is_stopping and not shown.is_live:
            self._message("")
        self._is_stopping = self._is_stopping and shown.is_live
        self._show_keys()

    @property
    def _shown_variant(self) -> VariantLayers | None:
        variants = self._document.variants if self._document else []
        return variants[self._variant % len(variants)] if variants else None

    def _title(self, shown: MeasuredLayers) -> str:
        parts = ["Which layer does it"]
        variant, document = self._shown_variant, self._document
        if variant is not None and document is not None:
            count = len(document.variants)
            place = f" ({self._variant % count + 1} of {count})" if count > 1 else ""
            parts.append(f"{variant.variant}{place} against {document.reference}")
        parts.append(shown.source.name)
        return " · ".join(map(visible_line, parts))

    def _progress(self, shown: MeasuredLayers) -> str:
        variant, document = self._shown_variant, self._document
        parts = []
        if (now := shown.progress) is not None and now.phase == "layers":
            share = 100 * now.done / now.total if now.total else 0.0
            parts.append(f"{now.label} · {share:.0f} %")
            if now.rate:
                left = duration((now.total - now.done) / now.rate)
                parts.append(f"{left} left")
        elif now is not None:
            parts.append(progress_sentence(now))
        elif shown.is_live:
            parts.append("It waits for the engine.")
        if variant is not None and document is not None:
            of = f"{variant.positions:,} of {document.all_positions:,} positions"
            ended = {"cancelled": "Stopped", "failed": "Failed", "completed": "Done", None: ""}
            parts.append(f"{ended[shown.status]}: {of}" if shown.status else of)
        return visible_line(" · ".join(parts))

    def _draw_bars(self) -> None:
        variant = self._shown_variant
        heading, bars = self.query_one("#heading", Static), self.query_one("#bars", Static)
        notes = self.query_one("#notes", Static)
        if variant is None or not variant.layers:
            said = [] if variant is None else variant_sentences(variant)
            for part in (heading, bars):
                part.update("")
            notes.update("\n".join(said))
            return
        width = max(20, self.query_one("#body").scrollable_content_region.width)
        drawn = bar_rows(
            variant,
            width,
            log=self._log,
            by_size=self._by_size,
            ascii_only=terminal_dots(self.app) is ASCII,
        )
        heading.update(visible_line(drawn.heading))
        bars.update("\n".join(drawn.rows))
        said = variant_sentences(variant)
        notes.update("\n".join(said[:1] if self.size.height < _LOW else said))

    @on(events.Resize)
    @on(TellsItsSize.Resized)
    def _redraw(self) -> None:
        if not self._has_begun:
            return
        self._seen = -1
        self._look()
        self._show_keys()

    # --- keys -------------------------------------------------------------------------------------

    def action_variant(self, by: int) -> None:
        if self._document is not None:
            self._variant = (self._variant + by) % len(self._document.variants)
            self._redraw()

    def action_scale(self) -> None:
        self._log = not self._log
        self._redraw()

    def action_order(self) -> None:
        self._by_size = not self._by_size
        self._redraw()

    async def action_stop(self) -> None:
        if self._job.is_live:
            self._message("Stopping; what is measured stays.")
            self._is_stopping = True
            await self._job.stop()

    async def action_stop_or_go_on(self) -> None:
        """Stop what runs; else measure the same text on, where it is not complete."""
        shown = self._shown
        if self._job.is_live:
            await self.action_stop()
        elif shown is not None and shown.status != "completed" and not self._is_choosing:
            await self._begin(MeasuredLayers(shown.command, shown.source))

    def action_back(self) -> None:
        """Out of a field, or leave."""
        if self.query_one(ExportField).display:
            self.query_one(ExportField).close()
        elif self._is_choosing and self._shown is not None:
            self._message("")
            self._show()
        else:
            self.dismiss()

    # --- files ------------------------------------------------------------------------------------

    def action_export(self) -> None:
        """Ask for the name of a file; its suffix is the format."""
        shown = None if self._is_choosing else self._shown
        document = None if shown is None else shown.document()
        if document is None or not document.positions:
            self._message("Nothing is measured yet.")
            return

        def write(path: Path, *, overwrite: bool) -> None:
            export(document, path, LAYERS_FORMATS, overwrite=overwrite)

        self._message("Export the figures of all functions to this file:")
        self.query_one(ExportField).ask("gelu-tui-layers.html", write)
        self._show_keys()

    @on(ExportField.Closed)
    def _export_closed(self) -> None:
        self.query_one("#body").focus()
        self._show_keys()

    def _message(self, message: str | ErrorInfo) -> None:
        self.query_one(MessageLine).show_message(message)

    def _show_keys(self) -> None:
        line = self.query_one("#keys", KeyHints)
        if self.query_one(ExportField).display:
            line.update(_EXPORT_KEYS)
        elif self._is_choosing:
            line.update(self._choice.keys)
        elif self._job.is_live:
            line.update(_KEYS.format("stop"))
        elif self._shown is not None and self._shown.status == "completed":
            line.update(_KEYS.replace("s {} · ", ""))
        else:
            line.update(_KEYS.format("go on"))
