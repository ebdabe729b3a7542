"""Searching in the panes, the line of a token, the legend of the colours."""

from __future__ import annotations

from textual import on
from textual.screen import Screen

from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.compare import labels
from gelu_tui.tui.compare.board import Board
from gelu_tui.tui.compare.info_line import InfoLine
from gelu_tui.tui.compare.legend import Legend
from gelu_tui.tui.compare.notice import Notice
from gelu_tui.tui.compare.stream_pane import StreamPane
from gelu_tui.tui.engine_link.shown_run import ShownRun
from gelu_tui.tui.text_view.pane import TokenPane


class PanesScreen(Screen[None]):
    """The panes of a run and the lines that tell of them; what it runs is the subclass's."""

    def __init__(self, board: Board) -> None:
        super().__init__()
        self.shown: ShownRun | None = None
        self.board, self.notice = board, Notice()
        self._info, self._legend = InfoLine(), Legend()

    @property
    def comparison(self) -> Comparison | None:
        """The comparison in the panes."""
        return self.shown.comparison if self.shown is not None else None

    @property
    def live(self) -> bool:
        """Whether the comparison on the screen still grows."""
        return self.shown is not None and self.shown.live

    @on(Board.Feedback)
    def _show_feedback(self, message: Board.Feedback) -> None:
        self.notice.show_message(message.sentence, message.about)

    @on(Board.Coloured)
    def _show_legend(self) -> None:
        run = self.comparison
        against = "the run's reference" if run is None else run.reference.name
        self._legend.show(self.board.statistic, against)

    @on(Board.SearchEnded)
    def _search_ended(self) -> None:
        self.notice.end("search")

    @on(Board.SearchWanted)
    def _ask_what_to_search(self) -> None:
        self.notice.end("search")
        self._info.open_search(self.board.query_text)

    @on(InfoLine.Searched)
    def _search(self, message: InfoLine.Searched) -> None:
        found = self.board.search(message.text)
        if not message.done:
            self._info.show_count(found)
            return
        if message.text and found:
            self.board.action_match_step(1)
            keys = "N and Shift+N go through them, Escape ends the search."
            self.notice.show_message(f"{found} found. {keys}", "search")
        elif message.text:
            so_far = " so far" if self.live else ""
            sentence = f"‘{visible_line(message.text)}’ is nowhere in the panes{so_far}."
            self.notice.show_message(sentence, "search")
        if self.board.chosen_pane is not None:
            self.board.chosen_pane.tokens.focus()

    @on(TokenPane.Pointed)
    def _show_pointed(self, message: TokenPane.Pointed) -> None:
        pane = next((x for x in self.board.panes if x.tokens is message.pane), None)
        if message.token is None or pane is None:  # the mouse has left
            self._show_cursor()
        else:
            self._show_token(pane, message.token)

    def _show_cursor(self) -> None:
        """Show the token of the cursor, if there is one."""
        for pane in self.board.panes:
            if pane.tokens.cursor is not None:
                self._show_token(pane, pane.tokens.cursor)
                return
        self._info.show_token(None)

    def _show_token(self, pane: StreamPane, token: int) -> None:
        seen = self.board.perspective
        if seen is None:
            self._info.show_token(None)
            return
        stream = seen.comparison.streams[pane.index]
        if token < len(stream.steps):  # a new run may have begun since
            reference = seen.comparison.reference.name
            known = labels.token(stream, token, reference, of_run=seen.of_run)
            self._info.show_token(known)
