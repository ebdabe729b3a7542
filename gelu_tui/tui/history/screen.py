"""Saved runs: find, look at, open, compare, run again, export, delete."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import DataTable, Input, Static
from textual.worker import Worker

from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.reports.export import FORMATS, export
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.history import Entry, History
from gelu_tui.core.runs.merge import Choice, choices, merged
from gelu_tui.core.safe_text import quoted, visible_line
from gelu_tui.sweep.saved_sweeps import SweepEntry, delete_sweep, list_sweeps
from gelu_tui.sweep.store import SweepStore
from gelu_tui.sweep.sweep_folder import sweeps_dir
from gelu_tui.tui.engine_link.shown_run import RunSaved
from gelu_tui.tui.history.preview import preview, sweep_preview
from gelu_tui.tui.history.results import CompareRuns, OpenSweep, Reopen, Rerun, Result
from gelu_tui.tui.history.run_table import MARK, RunTable
from gelu_tui.tui.keys.actions import HELP
from gelu_tui.tui.widgets.background import T, run_in_thread
from gelu_tui.tui.widgets.closes_once import ClosesOnce
from gelu_tui.tui.widgets.export_field import ExportField
from gelu_tui.tui.widgets.key_hints import KeyHints
from gelu_tui.tui.widgets.keys_in_turn import TextField
from gelu_tui.tui.widgets.message_line import MessageLine
from gelu_tui.tui.widgets.question import Question

LIMIT = 200  # the table is rebuilt for every letter of a search

# A narrow terminal cuts the line off at the right.
_KEYS = {
    "runs": "Enter open · q back · / search · c compare · r rerun · e export · x delete",
    "search": "Enter or ↓ to the runs · Esc, F10 clear the search",
    "path": "Enter writes · Esc, F10 do not · .md, .html: a report · .json: the data",
}
_KEYS_MARKED = f"Compare run {{run}}: c on another run · c on {MARK} or Esc takes the mark away"
_KEYS_SWEEP = "Enter open · q back · / search · x delete"
_NO_KEYS = "q, Esc back · F1 help"
_EMPTY = (
    "No runs yet.\n\nEvery run is saved here by itself when it ends, token by token, and can be "
    "opened again without the model.\n\nq goes back: type a prompt there and run it."
)


_ONLY_RUNS = "That is for runs: Enter opens a sweep, with each of its runs."
_SWEEPS_COMPARED = "Enter opens the sweep; c there shows another one beside it."


class HistoryScreen(ClosesOnce, Screen[Result]):
    """The saved runs of `history`; dismissed with what to do with one of them, or None."""

    CSS_PATH = "history.tcss"
    VERTICAL_BREAKPOINTS = [(0, "-low"), (18, "-high")]  # rows # noqa: RUF012
    BINDINGS: ClassVar = [
        Binding("q", "back", "Back"),
        Binding("escape,f10,f6", "step_back", "Out of a field, or back"),
        HELP,
    ]

    def __init__(self, history: History) -> None:
        super().__init__()
        self.history = history
        self._search = ""  # the search that the listed runs are the result of
        self._seen: tuple[int, ComparisonDocument] | None = None

    def compose(self) -> ComposeResult:
        yield Static("History", id="title", markup=False)
        yield TextField(placeholder="Search prompts, models, functions", id="search")
        with Container(id="body"):
            yield RunTable(id="runs")
            yield Static(id="empty", markup=False)
            yield Static(id="preview", markup=False)
        yield MessageLine(id="message")
        yield ExportField(id="path")
        yield Question(id="question", markup=False)
        yield KeyHints(id="keys", markup=False)

    def on_mount(self) -> None:
        self._table.focus()
        self._list()

    @property
    def _table(self) -> RunTable:
        return self.query_one(RunTable)

    @property
    def _is_empty(self) -> bool:
        return not self._table.items and not self._search.strip()

    @on(RunSaved)
    @on(Input.Changed, "#search")
    def _list(self) -> None:
        search = self.query_one("#search", Input).value

        def find() -> list[Entry | SweepEntry]:
            sweeps = [sweep for sweep in list_sweeps() if sweep.holds(search)][:LIMIT]
            return sorted([*self.history.entries(search, LIMIT), *sweeps], key=_began, reverse=True)

        self._in_thread(find, lambda entries: self._show_list(entries, search), "list")

    def _show_list(self, entries: list[Entry | SweepEntry], search: str) -> None:
        chosen, row = self._table.chosen, self._table.cursor_row
        ids = [entry.id for entry in entries]
        if chosen is not None and chosen.id in ids:
            row = ids.index(chosen.id)
        self._table.items, self._search = entries, search
        self._table.fill(min(row, len(entries) - 1))
        sweeps = sum(isinstance(entry, SweepEntry) for entry in entries)
        runs = len(entries) - sweeps
        found = "1 run" if runs == 1 else f"{runs} runs"
        if runs == LIMIT:
            found = f"the newest {LIMIT} runs; search to find older ones"
        if sweeps:
            found += f" · {sweeps} sweep{'s' * (sweeps > 1)}"
        self.query_one("#title", Static).update(f"History · {found}")
        nothing = f"No run holds {quoted(search, 30)}.\n\nEsc clears the search."
        self.query_one("#empty", Static).update(nothing if search.strip() else _EMPTY)
        self.set_class(not entries, "-empty")
        # Where there is nothing to search, q must not land in the field.
        self.query_one("#search").disabled = self._is_empty
        if entries and self.focused is None:
            self._table.focus()
        self._show_keys()
        self._look()

    @on(DataTable.RowHighlighted)
    def _look(self) -> None:
        self._show_keys()
        if isinstance(sweep := self._table.chosen, SweepEntry):
            self._with_sweep(sweep, self._preview_sweep, self._no_preview)
            return
        if self._table.chosen is None:
            self.query_one("#preview", Static).update("")
        self._with_document(self._preview, "preview", self._no_preview)

    def _preview(self, run: int, document: ComparisonDocument) -> None:
        if self._table.chosen is not None and self._table.chosen.id == run:
            self._seen = (run, document)
            box = self.query_one("#preview", Static)
            box.update(preview(run, document, max(20, box.content_size.width)))

    def _preview_sweep(self, store: SweepStore) -> None:
        if self._table.chosen is not None and self._table.chosen.id == store.id:
            self.query_one("#preview", Static).update(sweep_preview(store))

    def _with_sweep(
        self,
        entry: SweepEntry,
        then: Callable[[SweepStore], None],
        failed: Callable[[ErrorInfo], None],
    ) -> None:
        folder = sweeps_dir() / entry.id
        run_in_thread(self, lambda: SweepStore.open(folder), then, failed, "preview")

    def _no_preview(self, error: ErrorInfo) -> None:
        """Show why the chosen run cannot be read where its preview would be."""
        shown = visible_line(f"✗ {error.message} {error.hint}")
        self.query_one("#preview", Static).update(shown)

    def _with_document(
        self,
        then: Callable[[int, ComparisonDocument], None],
        group: str = "document",
        failed: Callable[[ErrorInfo], None] | None = None,
    ) -> None:
        """Load the chosen run if there is one, then call `then` with its number and document.

        `failed` is called where it cannot be read; without it the message line tells.
        """
        if not isinstance(entry := self._table.chosen, Entry):
            if entry is not None:
                self._show_message(_ONLY_RUNS)
            return
        run = entry.id
        if self._seen is not None and self._seen[0] == run:
            then(*self._seen)
        else:
            failed = failed or self._show_message
            load = partial(self.history.load, run)
            run_in_thread(self, load, lambda found: then(run, found), failed, group)

    def action_open(self) -> None:
        """Show the chosen run or sweep, without the model."""
        if isinstance(sweep := self._table.chosen, SweepEntry):
            self._with_sweep(sweep, lambda store: self._close(OpenSweep(store)), self._show_message)
            return
        self._with_document(lambda run, document: self._close(Reopen(document, run)))

    def action_rerun(self) -> None:
        self._with_document(lambda _, document: self._close(Rerun(document)))

    def action_compare(self) -> None:
        """Mark the chosen run, or take its mark away; of another run, show both side by side."""
        marked = self._table.marked
        if not isinstance(entry := self._table.chosen, Entry):
            if entry is not None:
                self._show_message(_SWEEPS_COMPARED)
            return
        if marked is None or marked == entry.id:
            self._mark(entry.id if marked is None else None)
            return
        runs = (marked, entry.id)

        def merge() -> CompareRuns | tuple[ComparisonDocument, ComparisonDocument]:
            one, other = map(self.history.load, runs)
            try:
                return CompareRuns(merged(one, other, runs), runs)
            except GeluError as error:
                if error.info.kind != "too_many_variants":
                    raise
                return one, other

        def shown(result: CompareRuns | tuple[ComparisonDocument, ComparisonDocument]) -> None:
            if isinstance(result, CompareRuns):
                self._close(result)
            elif self.is_current:
                self._choose(*result, runs)

        self._in_thread(merge, shown, "document")

    def _choose(
        self, one: ComparisonDocument, other: ComparisonDocument, runs: tuple[int, int]
    ) -> None:
        """Two runs have more streams together than one comparison: let some be chosen."""
        from gelu_tui.tui.history.choose_streams import ChooseStreams

        def chosen(found: list[Choice] | None) -> None:
            if found is not None:
                self._in_thread(
                    lambda: CompareRuns(merged(one, other, runs, found), runs),
                    self._close,
                    "document",
                )

        self.app.push_screen(ChooseStreams(choices(one, other, runs)), chosen)

    def _mark(self, run: int | None) -> None:
        self._table.mark(run)
        self._show_message("")
        self._show_keys()

    def action_delete(self) -> None:
        """Ask, then delete."""
        if (entry := self._table.chosen) is None:
            return
        if isinstance(entry, SweepEntry):
            self._delete_sweep(entry)
            return
        run = entry.id

        def deleted(_: None) -> None:
            # A preview that is still being loaded would report that there is no such run.
            self.workers.cancel_group(self, "preview")
            self._report(f"Run {run} is deleted.")
            self._list()

        def confirmed() -> None:
            if run == self._table.marked:
                self._mark(None)
            self._in_thread(lambda: self.history.delete(run), deleted)

        question = f"Delete run {run}, {quoted(entry.prompt, 30)}? y: yes · any other key: no"
        self.query_one(Question).ask(question, confirmed)

    def _delete_sweep(self, entry: SweepEntry) -> None:
        def deleted(name: str) -> None:
            self._report(f"The sweep {name} is deleted.")
            self._list()

        question = f"Delete the sweep {entry.id} with all its runs? y: yes · any other key: no"
        self.query_one(Question).ask(
            question, lambda: self._in_thread(lambda: delete_sweep(entry.id), deleted)
        )

    def action_export(self) -> None:
        """Ask for a file name."""

        def ask(run: int, document: ComparisonDocument) -> None:
            self._show_message(f"Export run {run} to this file:")
            write = partial(export, document, formats=FORMATS)
            self.query_one(ExportField).ask(f"gelu-tui-run-{run}.md", write)

        self._with_document(ask)

    def action_search(self) -> None:
        self.query_one("#search").focus()

    def action_back(self) -> None:
        self._close(None)

    def action_step_back(self) -> None:
        """Discard the export, the search or the mark; if there is none, return."""
        field, search = self.query_one(ExportField), self.query_one("#search", Input)
        if field.display:
            field.close()
        elif self.focused is search:
            search.value = ""
        elif self._table.marked is not None:
            self._mark(None)
        else:
            self._close(None)
        self._table.focus()

    def _close(self, result: Result) -> None:
        if self.is_current:
            self.dismiss(result)

    @on(Input.Submitted, "#search")
    def _to_the_runs(self) -> None:
        self._table.focus()

    def on_key(self, event: events.Key) -> None:
        """From the search field down to the runs, as in every list with a search above it."""
        if event.key == "down" and self.focused is self.query_one("#search"):
            event.stop()
            self._table.focus()

    @on(ExportField.Closed)
    def _export_closed(self) -> None:
        self._table.focus()

    @on(events.DescendantFocus)
    def _show_keys(self) -> None:
        focused = self.focused.id if self.focused else None
        keys = _KEYS.get(focused or "", _NO_KEYS)
        if self._is_empty and focused != "path":
            keys = _NO_KEYS
        elif focused == "runs" and isinstance(self._table.chosen, SweepEntry):
            keys = _KEYS_SWEEP
        elif self._table.marked is not None and focused == "runs":
            keys = _KEYS_MARKED.format(run=self._table.marked)
        line = self.query_one(KeyHints)
        line.update(keys)
        line.display = focused != "question"

    def _in_thread(self, work: Callable[[], T], then: Callable[[T], None], group: str = "") -> None:
        run_in_thread(self, work, then, self._show_message, group)

    @on(Worker.StateChanged)
    def _show_notice(self) -> None:
        if (notice := self.history.pop_notice()) is not None:
            self._show_message(notice)

    def _report(self, message: str | ErrorInfo) -> None:
        """Show what was done, and go back to the runs."""
        self._show_message(message)
        self._table.focus()

    def _show_message(self, message: str | ErrorInfo) -> None:
        self.query_one(MessageLine).show_message(message)


def _began(entry: Entry | SweepEntry) -> str:
    """When it began, in a form that can be ordered: UTC."""
    try:
        return datetime.fromisoformat(entry.created).astimezone(UTC).isoformat()
    except ValueError:
        return ""
