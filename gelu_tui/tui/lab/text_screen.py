"""A text in colour: each token by how much a function's prediction differs from the reference's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.reports.export import SCORE_FORMATS, export
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.keys.actions import HELP
from gelu_tui.tui.lab import text_words as say
from gelu_tui.tui.lab.coloured_text import ColouredText
from gelu_tui.tui.lab.score_choice import ScoreChoice
from gelu_tui.tui.lab.text_choice import Opened
from gelu_tui.tui.lab.text_pane import ScoredPane
from gelu_tui.tui.lab.text_scorer import TextScorer
from gelu_tui.tui.lab.text_scoring import ShownText
from gelu_tui.tui.widgets.background import is_open
from gelu_tui.tui.widgets.closes_once import ClosesOnce
from gelu_tui.tui.widgets.export_field import ExportField
from gelu_tui.tui.widgets.key_hints import KeyHints
from gelu_tui.tui.widgets.message_line import MessageLine
from gelu_tui.tui.widgets.question import Question
from gelu_tui.tui.widgets.tells_its_size import TellsItsSize

_FRAME_S = 0.2  # between two looks at what is new
_PARTS = ("text", "functions", "worst", "candidates")
_KEYS = (
    "q back · n function · c colour · s scale · Enter candidates · . worst · 3 list · "
    "2 table · o text · e export · F1 help"
)
_EXPORT_KEYS = "Enter writes · Esc does not · .html, .json or .csv"


class TextScreen(ClosesOnce, Screen[None]):
    """Shows the scorer's text, or asks for one.

    `choices` are the settings of the next run, `shown_run` is the run on the first screen.
    """

    CSS_PATH = "text_screen.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (150, "-wide")]  # columns # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-low"), (34, "-high")]  # rows # noqa: RUF012
    AUTO_FOCUS = ""
    BINDINGS: ClassVar = [
        *(
            Binding(str(place), f"part('{name}')", f"To the {name}")
            for place, name in enumerate(_PARTS, 1)
        ),
        Binding("n", "variant(1)", "Colour by the next function"),
        Binding("p", "variant(-1)", "Colour by the previous function"),
        Binding("c", "measure", "Colour by KL, Δp, or whether another token is the first"),
        Binding("s", "scale", "This function's own scale, or one for all functions"),
        Binding("full_stop", "worst_step(1)", "The next of the worst tokens"),
        Binding("comma", "worst_step(-1)", "The one before"),
        Binding("o", "other", "Another text"),
        Binding("e", "export", "Write a page, the data or a table into a file"),
        Binding("ctrl+g", "stop", "Stop the scoring; what is scored stays"),
        Binding("ctrl+r", "run", "The run that is shown", priority=True),
        Binding("q,escape,f10", "back", "Stop what runs, close the candidates, then back"),
        HELP,
    ]

    def __init__(
        self,
        scorer: TextScorer,
        choices: Callable[[], RunSettings],
        shown_run: Callable[[], ComparisonDocument | None],
        opened: Opened,
    ) -> None:
        super().__init__()
        self._scorer = scorer
        self._choice = ScoreChoice(choices, shown_run, opened)
        self._part = "text"
        self._body = ColouredText()
        self._said: object = None  # the end of which scoring was told
        self._has_begun = False  # to show anything

    def compose(self) -> ComposeResult:
        yield Static(Content.styled("Text in colour", "bold"), id="title", markup=False)
        yield Static(id="progress", markup=False)
        yield self._choice
        yield self._body
        yield MessageLine(id="message")
        yield ExportField(id="path")
        yield Question(id="question", markup=False)
        yield KeyHints(id="keys", markup=False)

    def on_mount(self) -> None:
        # What is nested twice may come after this event.
        if not self.query("#lists"):
            self.call_after_refresh(self.on_mount)
            return
        self._has_begun = True
        self._scorer.on_change = self._changed
        self.query_one("#candidates").display = False
        if self._scorer.shown is None:
            self.action_other()
        else:
            self._show_text()
        self.set_interval(_FRAME_S, self._look)

    def on_unmount(self) -> None:
        self._scorer.on_change = lambda: None

    @property
    def _shown(self) -> ShownText | None:
        return self._scorer.shown

    @property
    def _is_choosing(self) -> bool:
        return self._choice.display

    # --- choosing a text --------------------------------------------------------------------------

    def action_other(self) -> None:
        """Ask for another text; the one that is shown stays until there is one."""
        self._show(choosing=True)
        self._choice.show()
        self._show_keys()

    def _show(self, *, choosing: bool) -> None:
        self._choice.display = choosing
        self._body.display = not choosing

    def action_run(self) -> None:
        if self._is_choosing:
            self._choice.choose_run()
        else:
            self.action_other()

    @on(ScoreChoice.Chosen)
    async def _begin(self, message: ScoreChoice.Chosen) -> None:
        message.stop()
        assert isinstance(message.found, ShownText)
        try:
            await self._scorer.begin(message.found)
        except GeluError as error:
            self._message(error.info)
            return
        self._message("")
        self._show_text()

    @on(ScoreChoice.Told)
    def _tell(self, message: ScoreChoice.Told) -> None:
        message.stop()
        self._message(message.words)

    def _show_text(self) -> None:
        self._show(choosing=False)
        self.query_one("#candidates").display = False
        self._body.begin()
        self.action_part("text")
        self._look()

    # --- following the scoring --------------------------------------------------------------------

    def _changed(self) -> None:
        """Draw the candidates at once; the rest has its own pace."""
        if is_open(self) and self._shown is not None:
            self._body.show_candidates()

    def _look(self) -> None:
        """Show what is new; cheap while nothing is."""
        shown = self._shown
        if shown is None or not is_open(self):
            return
        self.query_one("#title", Static).update(say.title(shown))
        self.query_one("#progress", Static).update(say.progress(shown))
        if not self._is_choosing:
            self._body.show(shown)
            self._tell_end(shown)

    def _tell_end(self, shown: ShownText) -> None:
        if shown.is_live or self._said is shown:
            return
        self._said = shown
        self._show_keys()
        if (error := shown.error or shown.failure) is not None:
            self._message(error)
        elif self._stopping is shown:
            self._message("")

    # --- what is drawn ----------------------------------------------------------------------------

    @on(events.Resize)
    @on(TellsItsSize.Resized)
    def _redraw(self) -> None:
        if not self._has_begun:
            return
        if self._shown is not None and not self._is_choosing:
            self._look()
            self._body.redraw()
        self._show_keys()

    # --- keys -------------------------------------------------------------------------------------

    def action_part(self, name: str) -> None:
        """Put the focus on a part, which where room is short is the one that is shown."""
        if self._is_choosing or self._shown is None:
            return
        if name == "candidates":
            self.query_one("#candidates").display = True
        self._part = name
        self.set_class(name == "worst", "-worst")
        self.set_class(name == "candidates", "-candidates")
        self.query_one(f"#{name}").focus()
        self._show_keys()

    @on(events.DescendantFocus)
    def _focused(self) -> None:
        self._show_keys()

    def action_variant(self, by: int) -> None:
        self._body.turn_variant(by)

    def action_measure(self) -> None:
        self._body.turn_measure()

    def action_scale(self) -> None:
        self._body.turn_scale()

    def action_worst_step(self, by: int) -> None:
        self._body.step_worst(by)

    @on(ScoredPane.Chosen)
    async def _pane_chosen(self) -> None:
        await self.action_candidates()

    async def action_candidates(self) -> None:
        """Ask for what could have stood at the token under the cursor."""
        token = self._body.cursor
        if token is None:
            self._message("Put the cursor on a token (← →), or take one of the worst (.).")
            return
        try:
            await self._scorer.ask(token, self._body.variant)
        except GeluError as error:
            self._message(error.info)
            return
        self._message("")
        part = self.query_one("#candidates")
        part.display = True
        self.set_class(True, "-candidates")
        self.set_class(False, "-worst")
        self.call_after_refresh(self._body.show_candidates)

    async def action_stop(self) -> None:
        await self._scorer.stop()

    async def action_back(self) -> None:
        """Out of a field, stop what runs, or leave."""
        if self.query_one(ExportField).display:
            self.query_one(ExportField).close()
        elif self._is_choosing and self._shown is not None:
            self._message("")
            self._show(choosing=False)
            self.action_part("text")
            self._redraw()
        elif self._closes_candidates:
            self.query_one("#candidates").display = False
            self.action_part("text" if self._part == "candidates" else self._part)
        elif self._scorer.is_live:
            self._message("Stopping; what is scored stays. Once more goes back.")
            await self._scorer.stop()
            if self._stopping is self._shown:
                self.dismiss()
            self._stopping = self._shown
        else:
            self.dismiss()

    @property
    def _closes_candidates(self) -> bool:
        """Whether going back leaves the candidates alone; while a scoring runs, it stops that."""
        return not self._scorer.is_live and bool(self.query_one("#candidates").display)

    _stopping: ShownText | None = None

    # --- files ------------------------------------------------------------------------------------

    def action_export(self) -> None:
        """Ask for the name of a file; its suffix is the format."""
        shown = self._shown
        if self._is_choosing or shown is None or not shown.tokens:
            self._message("No token is scored yet.")
            return
        document = shown.document(tokens=True)
        assert document is not None

        def write(path: Path, *, overwrite: bool) -> None:
            export(document, path, SCORE_FORMATS, overwrite=overwrite)

        self._message("Export the text with all its numbers to this file:")
        self.query_one(ExportField).ask("gelu-tui-score.html", write)
        self._show_keys()

    @on(ExportField.Closed)
    def _export_closed(self) -> None:
        self.action_part(self._part)

    def _message(self, message: str | ErrorInfo) -> None:
        self.query_one(MessageLine).show_message(message)

    def _show_keys(self) -> None:
        line = self.query_one("#keys", KeyHints)
        line.display = not isinstance(self.focused, Question)
        if isinstance(self.focused, ExportField):
            line.update(_EXPORT_KEYS)
        elif self._is_choosing:
            line.update(self._choice.keys)
        else:
            is_live = self._scorer.is_live
            line.update(_KEYS.replace("q back", "q stop") if is_live else _KEYS)
