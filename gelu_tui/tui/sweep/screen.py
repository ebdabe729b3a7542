"""A sweep: its prompts, curves, estimates and worst prompts, while it runs and afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.reports.export import export
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.plan import Plan
from gelu_tui.sweep.report.formats import SWEEP_FORMATS
from gelu_tui.sweep.report.rows import SweepData
from gelu_tui.sweep.saved_sweeps import SweepEntry, list_sweeps
from gelu_tui.sweep.store import SweepStore
from gelu_tui.sweep.stored_document import stored_document
from gelu_tui.sweep.sweep_folder import sweeps_dir
from gelu_tui.tui.engine_link.running_sweep import RunningSweep
from gelu_tui.tui.keys.actions import HELP
from gelu_tui.tui.sweep.choose_sweep import ChooseSweep
from gelu_tui.tui.sweep.contents import Contents, read_contents
from gelu_tui.tui.sweep.curves_part import CurvesPart
from gelu_tui.tui.sweep.estimates import both_estimates, estimates_of
from gelu_tui.tui.sweep.going_on import plan_of
from gelu_tui.tui.sweep.heading import progress_of, title_of
from gelu_tui.tui.sweep.prompt_table import PromptTable
from gelu_tui.tui.sweep.shown_sweep import PARTS, OpenRun, ShownSweep
from gelu_tui.tui.sweep.worst_table import WorstTable
from gelu_tui.tui.widgets.background import run_in_thread
from gelu_tui.tui.widgets.closes_once import ClosesOnce
from gelu_tui.tui.widgets.export_field import ExportField
from gelu_tui.tui.widgets.key_hints import KeyHints
from gelu_tui.tui.widgets.message_line import MessageLine
from gelu_tui.tui.widgets.question import Question

TICK_S = 0.5  # between looks at a sweep that runs
_LEAST_S = 1.0  # between two readings of it
_SHARE = 4  # and at least so many times as long as a reading takes
_TITLES = ("Prompts", "Curves", "Estimates", "Worst")

_KEYS = {
    "rows": "q back · Enter open · o order",
    "curves": "q back · ← → one function",
    "estimates": "q back · ↑ ↓ read on",
    "worst": "q back · Enter open",
}

_EXPORT_KEYS = "Enter writes · Esc does not · .html, .md, .json, .csv or .parquet"

_State = tuple[RunningSweep | None, int]  # a session, and what it had saved
Begin = Callable[[Plan], RunningSweep]


class SweepScreen(ClosesOnce, Screen[OpenRun | None]):
    """Dismissed with a run to open, or None. `begin` runs a plan on an engine of its own."""

    CSS_PATH = "sweep.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (150, "-wide")]  # columns # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-low"), (34, "-high")]  # rows # noqa: RUF012
    AUTO_FOCUS = ""  # the part that was left
    BINDINGS: ClassVar = [
        Binding("1", "part('rows')", "The prompts"),
        Binding("2", "part('curves')", "The curves"),
        Binding("3", "part('estimates')", "The estimates"),
        Binding("4", "part('worst')", "The prompts that diverge first"),
        Binding("s", "stop_or_go_on", "Stop the sweep, or go on"),
        Binding("c", "compare", "Beside another sweep; once more, alone again"),
        Binding("e", "export", "Write a report or the data into a file"),
        Binding("q,escape,f10", "back", "Back; a sweep that runs goes on"),
        HELP,
    ]

    def __init__(self, shown: ShownSweep, begin: Begin) -> None:
        super().__init__()
        self.shown = shown
        self._begin = begin
        self._read_state: _State = (None, -1)  # what has been read
        self._read_at = 0.0
        self._is_reading = False
        self._was_running = shown.is_running

    def compose(self) -> ComposeResult:
        yield Static(id="title", markup=False)
        yield Static(id="progress", markup=False)
        with VerticalScroll(id="summary-box", can_focus=False):
            yield Static(id="summary", markup=False)
        yield KeyHints(id="tabs", markup=False)
        with Container(id="parts"):
            yield PromptTable(id="rows")
            yield CurvesPart(id="curves")
            with VerticalScroll(id="estimates"):
                yield Static(id="whole-summary", markup=False)
                yield Static(id="figures", markup=False)
            yield WorstTable(id="worst")
            yield Static(id="empty", markup=False)
        yield MessageLine(id="message")
        yield ExportField(id="path")
        yield Question(id="question", markup=False)
        yield KeyHints(id="keys", markup=False)

    def on_mount(self) -> None:
        table = self.query_one(PromptTable)
        table.order = self.shown.order
        self.query_one(CurvesPart).function = self.shown.function
        for name, title in zip(PARTS, _TITLES, strict=True):
            self.query_one(f"#{name}").border_title = f"{PARTS.index(name) + 1} {title}"
        self._show_part()
        self._show_contents(self.shown.key)
        if self.shown.told is not None:
            self._message(self.shown.told)
            self.shown.told = None
        self._look()
        self.set_interval(TICK_S, self._look)

    # --- a sweep that runs ------------------------------------------------------------------------

    def _look(self) -> None:
        """Show how far it is; read it again if there is something new."""
        shown, running = self.shown, self.shown.running
        if running is not None and running.store is not None:
            shown.store = running.store
        self.query_one("#title", Static).update(title_of(shown))
        self.query_one("#progress", Static).update(progress_of(shown))
        if self._was_running and not shown.is_running and running is not None:
            self._was_running = False
            if running.error is not None:
                self._message(running.error)
            self._show_keys()
        if shown.store is None or self._is_reading:
            self._show_empty()
            return
        state = (running, 0 if running is None else running.changes)
        if state == self._read_state or (running is None and shown.contents is not None):
            return
        took = 0.0 if shown.contents is None else shown.contents.read_s
        pause = max(_LEAST_S, _SHARE * took) if shown.is_running else 0.0
        if time.monotonic() - self._read_at >= pause:
            self._read(state)

    def _read(self, state: _State) -> None:
        assert self.shown.store is not None
        store, self._is_reading = self.shown.store, True

        def read(contents: Contents) -> None:
            self._is_reading = False
            self._read_state, self._read_at = state, time.monotonic()
            self.shown.contents = contents
            self._show_contents(None)
            if (notice := store.pop_notice()) is not None:
                self._message(notice)
            self._show_keys()
            self._look()

        def failed(error: ErrorInfo) -> None:
            self._is_reading = False
            self._read_state = state
            self._message(error)

        is_over = not self.shown.is_running
        run_in_thread(self, partial(read_contents, store, differences=is_over), read, failed)

    # --- what is shown ----------------------------------------------------------------------------

    def _show_contents(self, key: tuple[int, int] | None) -> None:
        contents, other = self.shown.contents, self.shown.other
        self._show_empty()
        if contents is None:
            return
        lines = [f"· {visible_line(line)}" for line in contents.document.summary]
        self.query_one("#summary", Static).update("\n".join(lines))
        whole = self.query_one("#whole-summary", Static)
        whole.update("\n".join(lines))
        whole.set_class(other is not None, "-hidden")  # it is about one of them
        self.query_one(PromptTable).show(contents, key)
        self.query_one(CurvesPart).show_sweep(contents, other)
        self.query_one(WorstTable).show(contents)
        figures = estimates_of(contents.document)
        if other is not None:
            figures = both_estimates(contents, other)
        self.query_one("#figures", Static).update(figures)
        self._show_tabs()

    def _show_empty(self) -> None:
        contents = self.shown.contents
        is_empty = contents is None or not contents.rows
        self.set_class(is_empty, "-empty")
        self.set_class(not is_empty, "-full")
        if not is_empty:
            return
        if self.shown.is_running:
            said = "No prompt is finished yet.\n\nWhat is finished appears here, and is kept."
        elif contents is None:
            said = "Reading…" if self.shown.store is not None else "Nothing was run."
        else:
            said = "No prompt is finished.\n\ns goes on."
        self.query_one("#empty", Static).update(said)

    def _show_part(self) -> None:
        for name in PARTS:
            self.query_one(f"#{name}").set_class(name == self.shown.part, "-chosen")
        self.query_one(f"#{self.shown.part}").focus()
        self._show_tabs()
        self._show_keys()

    def _show_tabs(self) -> None:
        parts: list[Content] = []
        for place, (name, title) in enumerate(zip(PARTS, _TITLES, strict=True), 1):
            text = f"{place} {title}{self._count(name)}"
            style = "bold reverse" if name == self.shown.part else ""
            parts.append(Content.styled(text, style))
        self.query_one("#tabs", KeyHints).update(Content(" · ").join(parts))

    def _count(self, name: str) -> str:
        contents = self.shown.contents
        return f" {len(contents.rows):,}" if name == "rows" and contents is not None else ""

    @on(events.DescendantFocus)
    def _follow_focus(self) -> None:
        """Where several parts are side by side, a click chooses one too."""
        self._show_keys()
        focused = self.focused
        if focused is not None and focused.id in PARTS and focused.id != self.shown.part:
            self.shown.part = focused.id
            self._show_part()

    def _show_keys(self) -> None:
        line = self.query_one("#keys", KeyHints)
        line.display = not isinstance(self.focused, Question)
        if isinstance(self.focused, ExportField):
            line.update(_EXPORT_KEYS)
            return
        parts = [_KEYS[self.shown.part]]
        if self.shown.is_running:
            parts.append("s stop")
        elif self._can_go_on:
            parts.append("s go on")
        parts += ["c alone again" if self.shown.other is not None else "c compare", "e export"]
        line.update(" · ".join([*parts, "F1 help"]))

    @property
    def _can_go_on(self) -> bool:
        contents = self.shown.contents
        return contents is not None and contents.document.status != "completed"

    def _message(self, message: str | ErrorInfo) -> None:
        self.query_one(MessageLine).show_message(message)

    # --- keys -------------------------------------------------------------------------------------

    def action_part(self, name: str) -> None:
        self.shown.part = name
        self._show_part()

    def action_back(self) -> None:
        if self.query_one(ExportField).display:
            self.query_one(ExportField).close()
        else:
            self._close(None)

    def action_export(self) -> None:
        """Ask for the name of a file; its suffix is the format, as with `gelu-tui show -o`."""
        if (store := self.shown.store) is None:
            self._message("No prompt is finished yet.")
            return

        def write(path: Path, *, overwrite: bool) -> None:
            data = SweepData(stored_document(store), store)
            export(data, path, SWEEP_FORMATS, overwrite=overwrite)

        self._message("Export the sweep to this file:")
        self.query_one(ExportField).ask(f"gelu-tui-{store.id}.html", write)

    @on(ExportField.Closed)
    def _export_closed(self) -> None:
        self.query_one(f"#{self.shown.part}").focus()
        self._show_keys()

    def _close(self, result: OpenRun | None) -> None:
        if self.is_current:
            table = self.query_one(PromptTable)
            self.shown.key = table.chosen.key if table.chosen is not None else None
            self.shown.order = table.order
            self.shown.function = self.query_one(CurvesPart).function
            self.dismiss(result)

    @on(PromptTable.Opened)
    def _open_row(self, message: PromptTable.Opened) -> None:
        row = message.row
        if row.error:
            self._message(f"Prompt {row.id} could not be run: {row.error}")
        else:
            self._open(row.model, row.number)

    def action_open_worst(self) -> None:
        row = self.query_one(WorstTable).chosen
        if row is not None and self.shown.store is not None:
            model, _, number = row.worst.run.removeprefix(f"{self.shown.store.id}/").rpartition("/")
            self._open(int(model or 0), int(number))

    def _open(self, model: int, number: int) -> None:
        if (store := self.shown.store) is None:
            return
        several = f"{model}/" if len(store.header.models) > 1 else ""
        run = f"{store.id}/{several}{number}"
        run_in_thread(
            self,
            partial(store.load, model, number),
            lambda document: self._close(OpenRun(document, run, self.shown)),
            self._message,
            "open",
        )

    def action_stop_or_go_on(self) -> None:
        """Stop what runs, or run what is left."""
        running = self.shown.running
        if self.shown.is_running and running is not None:
            running.stop()
            self._look()
        elif self.shown.store is not None and self._can_go_on:
            self._message("")
            header = self.shown.store.header
            run_in_thread(self, lambda: plan_of(header), self._go_on, self._message, "go on")

    def _go_on(self, plan: Plan) -> None:
        try:
            self.shown.running = self._begin(plan)
        except GeluError as error:
            self._message(error.info)
            return
        self._was_running = True
        self._show_keys()
        self._look()

    def action_compare(self) -> None:
        """Choose a second sweep to show beside this one, or show this one alone again."""
        if self.shown.other is not None:
            self.shown.other = None
            self._show_contents(None)
            self._show_keys()
            return
        run_in_thread(self, list_sweeps, self._choose, self._message, "compare")

    def _choose(self, entries: list[SweepEntry]) -> None:
        own = self.shown.store.id if self.shown.store is not None else ""
        others = [each for each in entries if each.id != own and each.completed]
        if not others:
            self._message("There is no other sweep with a finished prompt.")
            return

        def chosen(entry: SweepEntry | None) -> None:
            if entry is not None:
                read = partial(_read_other, entry.id)
                run_in_thread(self, read, self._show_other, self._message, "compare")

        self.app.push_screen(ChooseSweep(others), chosen)

    def _show_other(self, other: Contents) -> None:
        self.shown.other = other
        self._show_contents(None)
        if self.shown.part not in ("curves", "estimates"):
            self.shown.part = "estimates"
        self._show_part()


def _read_other(sweep: str) -> Contents:
    return read_contents(SweepStore.open(sweeps_dir() / sweep), differences=False)
