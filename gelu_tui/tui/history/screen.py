"""Saved runs: find, look at, open, compare, run again, export, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import DataTable, Input, Static
from textual.worker import Worker

from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.reports.export import export
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.history import Entry, History
from gelu_tui.core.runs.merge import merged
from gelu_tui.core.safe_text import quoted, visible_line
from gelu_tui.tui.engine_link.shown_run import RunSaved
from gelu_tui.tui.history.preview import preview
from gelu_tui.tui.history.run_table import RunTable
from gelu_tui.tui.history.words import keys, why_empty
from gelu_tui.tui.keys.actions import HELP
from gelu_tui.tui.widgets.key_hints import KeyHints
from gelu_tui.tui.widgets.keys_in_turn import KeysInTurn
from gelu_tui.tui.widgets.question import Question

LIMIT = 200  # the table is written anew for every letter of a search
_LOW_BELOW = 18  # rows


@dataclass(frozen=True)
class Reopen:
    """Show this saved comparison; no model is needed."""

    document: ComparisonDocument
    run: int


@dataclass(frozen=True)
class Rerun:
    """Run the same comparison again."""

    document: ComparisonDocument


@dataclass(frozen=True)
class CompareRuns:
    """Show these two runs side by side, as one comparison; the reference is the first's."""

    document: ComparisonDocument
    runs: tuple[int, int]


Result = Reopen | Rerun | CompareRuns | None


class HistoryField(Input, KeysInTurn):
    """A text field of the screen."""


class HistoryScreen(Screen[Result]):
    """The saved runs of `history`; dismissed with what to do with one of them, or None."""

    CSS_PATH = "history.tcss"
    BINDINGS: ClassVar = [
        Binding("q", "back", "Back"),
        Binding("escape,f10,f6", "step_back", "Out of a field, or back"),
        HELP,
    ]

    @dataclass
    class Listed(Message):
        """The runs that a search found."""

        entries: list[Entry]
        search: str

    @dataclass
    class Loaded(Message):
        """A run's document, and what it was wanted for."""

        run: int
        document: ComparisonDocument
        then: Callable[[int, ComparisonDocument], None]

    @dataclass
    class Told(Message):
        """Something went well, or did not."""

        said: str | ErrorInfo
        changed: bool = False

    def __init__(self, history: History) -> None:
        super().__init__()
        self.history = history
        self._entries: list[Entry] = []
        self._search = ""
        self._seen: tuple[int, ComparisonDocument] | None = None
        self._exported: tuple[int, ComparisonDocument] | None = None
        self._marked: int | None = None  # the run to compare another one with

    def compose(self) -> ComposeResult:
        """Title, search, runs, the chosen one, what is said, keys."""
        yield Static("History", id="title", markup=False)
        yield HistoryField(placeholder="Search prompts, models, functions", id="search")
        with Container(id="body"):
            yield RunTable(id="runs")
            yield Static(id="empty", markup=False)
            yield Static(id="preview", markup=False)
        yield Static(id="said", markup=False)
        yield HistoryField(id="path")
        yield Question(id="question", markup=False)
        yield KeyHints(id="keys", markup=False)

    def on_mount(self) -> None:
        """Show the newest runs."""
        self._table.focus()
        self._list()

    def on_resize(self, event: events.Resize) -> None:
        """A low terminal has no room for the preview."""
        self.set_class(event.size.height < _LOW_BELOW, "-low")

    @property
    def _table(self) -> RunTable:
        return self.query_one(RunTable)

    @property
    def _chosen(self) -> Entry | None:
        row = self._table.cursor_row
        return self._entries[row] if 0 <= row < len(self._entries) else None

    @property
    def _is_empty(self) -> bool:
        return not self._entries and not self._search.strip()

    # --- the list -----------------------------------------------------------------------------

    @on(RunSaved)
    @on(Input.Changed, "#search")
    def _list(self) -> None:
        search = self.query_one("#search", Input).value

        def read() -> Message:
            return self.Listed(self.history.entries(search, LIMIT), search)

        self._in_a_thread(read, "list")

    @on(Listed)
    def _show_list(self, message: Listed) -> None:
        chosen = self._chosen.id if self._chosen else None
        self._entries, self._search = message.entries, message.search
        row = self._table.cursor_row
        for index, entry in enumerate(self._entries):
            if entry.id == chosen:
                row = index
        self._table.fill(self._entries, min(row, len(self._entries) - 1))
        found = "1 run" if len(self._entries) == 1 else f"{len(self._entries)} runs"
        if len(self._entries) == LIMIT:
            found = f"the newest {LIMIT} runs; search to find older ones"
        self.query_one("#title", Static).update(f"History · {found}")
        self.query_one("#empty", Static).update(why_empty(self._search))
        self.set_class(not self._entries, "-empty")
        # Where there is nothing to search, q must not land in the field.
        self.query_one("#search").disabled = self._is_empty
        if self._entries and self.focused is None:
            self._table.focus()
        self._say_keys()
        self._look()

    # --- the chosen run -----------------------------------------------------------------------

    @on(DataTable.RowHighlighted)
    def _look(self) -> None:
        entry = self._chosen
        if entry is None:
            self.query_one("#preview", Static).update("")
        elif self._seen is None or self._seen[0] != entry.id:
            self._with_document(entry.id, self._preview, "preview")

    def _preview(self, run: int, document: ComparisonDocument) -> None:
        if self._chosen is None or self._chosen.id != run:
            return
        self._seen = (run, document)
        box = self.query_one("#preview", Static)
        box.update(preview(run, document, max(20, box.content_size.width)))

    def _with_document(
        self, run: int, then: Callable[[int, ComparisonDocument], None], group: str = "document"
    ) -> None:
        if self._seen is not None and self._seen[0] == run:
            then(*self._seen)
            return
        self._in_a_thread(lambda: self.Loaded(run, self.history.load(run), then), group)

    @on(Loaded)
    def _take_document(self, message: Loaded) -> None:
        message.then(message.run, message.document)

    # --- what the keys do ---------------------------------------------------------------------

    def action_open(self) -> None:
        """Show the chosen run, without the model."""
        self._choose(lambda run, document: self._close(Reopen(document, run)))

    def action_rerun(self) -> None:
        """Run the chosen comparison again."""
        self._choose(lambda _, document: self._close(Rerun(document)))

    def action_compare(self) -> None:
        """Mark the chosen run, or take its mark away; of another run, show both side by side."""
        if (entry := self._chosen) is None:
            return
        if self._marked in (None, entry.id):
            self._mark(entry.id if self._marked is None else None)
            return
        runs = (self._marked, entry.id)

        def close(_: int, document: ComparisonDocument) -> None:
            self._close(CompareRuns(document, runs))

        def merge() -> Message:
            one, other = map(self.history.load, runs)
            return self.Loaded(runs[0], merged(one, other, runs), close)

        self._in_a_thread(merge, "document")

    def _mark(self, run: int | None) -> None:
        self._marked = run
        self._table.mark(run)
        self._say("")
        self._say_keys()

    def action_delete(self) -> None:
        """Ask, then delete."""
        if (entry := self._chosen) is not None:
            run = entry.id

            def delete() -> Message:
                self.history.delete(run)
                return self.Told(f"Run {run} is deleted.", changed=True)

            def confirmed() -> None:
                if run == self._marked:
                    self._mark(None)
                self._in_a_thread(delete, "write")

            question = f"Delete run {run}, {quoted(entry.prompt, 30)}? y: yes · any other key: no"
            self.query_one(Question).ask(question, confirmed)

    def action_export(self) -> None:
        """Ask for a file name."""

        def ask(run: int, document: ComparisonDocument) -> None:
            self._exported = (run, document)
            self._say(f"Export run {run} to this file:")
            path = self.query_one("#path", Input)
            path.value = f"gelu-tui-run-{run}.md"
            path.display = True
            path.focus()

        self._choose(ask)

    def action_search(self) -> None:
        """To the search field."""
        self.query_one("#search").focus()

    def action_back(self) -> None:
        """Return with nothing chosen."""
        self._close(None)

    def action_step_back(self) -> None:
        """Out of the export, the search or a mark, all of it thrown away; then back."""
        path, search = self.query_one("#path", Input), self.query_one("#search", Input)
        if path.display:
            path.display = False
            self._say("")
        elif self.focused is search:
            search.value = ""
        elif self._marked is not None:
            self._mark(None)
        else:
            self._close(None)
        self._table.focus()

    def _choose(self, then: Callable[[int, ComparisonDocument], None]) -> None:
        if (entry := self._chosen) is not None:
            self._with_document(entry.id, then)

    def _close(self, result: Result) -> None:
        if self.is_current:
            self.dismiss(result)

    # --- fields and questions -----------------------------------------------------------------

    @on(Input.Submitted, "#search")
    def _to_the_runs(self) -> None:
        self._table.focus()

    def on_key(self, event: events.Key) -> None:
        """From the search field down to the runs, as in every list with a search above it."""
        if event.key == "down" and self.focused is self.query_one("#search"):
            event.stop()
            self._table.focus()

    @on(Input.Submitted, "#path")
    def _export(self, event: Input.Submitted) -> None:
        if self._exported is not None and event.value.strip():
            self._write(self._exported[1], Path(event.value.strip()).expanduser())

    def _write(self, document: ComparisonDocument, path: Path, *, overwrite: bool = False) -> None:
        def write() -> Message:
            try:
                export(document, path, overwrite=overwrite)
            except GeluError as error:
                if error.info.kind != "file_exists":
                    raise
                return self.Exists(document, path)
            return self.Told(f"Written: {path.absolute()}")

        self._in_a_thread(write, "write")

    @dataclass
    class Exists(Message):
        """An export would overwrite a file."""

        document: ComparisonDocument
        path: Path

    @on(Exists)
    def _ask_to_overwrite(self, message: Exists) -> None:
        self.query_one(Question).ask(
            f"{message.path} exists. Overwrite it? y: yes · any other key: no",
            lambda: self._write(message.document, message.path, overwrite=True),
        )

    @on(Question.Answered)
    def _answered(self, message: Question.Answered) -> None:
        if self.focused is None or isinstance(self.focused, Question):
            (self.query_one("#path") if self.query_one("#path").display else self._table).focus()
        if message.then is not None:
            message.then()

    @on(events.DescendantFocus)
    def _say_keys(self) -> None:
        focused = self.focused.id if self.focused else None
        said = keys(focused, self._marked, empty=self._is_empty)
        self.query_one("#keys", Static).update(said)
        self.query_one("#keys").display = focused != "question"

    # --- threads and what they tell -----------------------------------------------------------

    def _in_a_thread(self, work: Callable[[], Message], group: str) -> None:
        """Do something slow; its message, or its error, arrives here. A newer one replaces it."""

        async def run() -> None:
            try:
                self.post_message(await asyncio.to_thread(work))
            except GeluError as error:
                self.post_message(self.Told(error.info))
            if (notice := self.history.pop_notice()) is not None:
                self.post_message(self.Told(notice))

        # As a function: a coroutine that is replaced before it starts would be complained about.
        _: Worker[None] = self.run_worker(run, group=group, exclusive=group != "write")

    @on(Told)
    def _tell(self, message: Told) -> None:
        self._say(message.said)
        if isinstance(message.said, str):
            self.query_one("#path").display = False
            self._table.focus()
        if message.changed:
            self._list()

    def _say(self, said: str | ErrorInfo) -> None:
        if isinstance(said, ErrorInfo):
            parts = [(f"✗ {visible_line(said.message)}", "bold $text-error")]
            content = Content.assemble(*parts, f" {visible_line(said.hint)}")
        else:
            content = Content(visible_line(said))
        box = self.query_one("#said", Static)
        box.update(content)
        box.display = bool(said)
