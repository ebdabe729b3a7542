"""What the compare screen tells of single tokens, and searching them."""

from __future__ import annotations

from textual import on
from textual.content import Content
from textual.screen import Screen

from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.compare import labels
from gelu_tui.tui.compare.board import Board
from gelu_tui.tui.compare.info_line import InfoLine
from gelu_tui.tui.compare.notice import Notice
from gelu_tui.tui.text_view.pane import TokenPane


class TellingScreen(Screen[None]):
    """A board of panes, a line that tells of the token pointed at, and a place for a sentence."""

    def __init__(self, board: Board) -> None:
        super().__init__()
        self.board = board

    def say(self, sentence: str | Content) -> None:
        """Show one plain sentence."""
        self.query_one(Notice).say(sentence)

    @on(Board.Told)
    def _tell(self, message: Board.Told) -> None:
        self.say(message.sentence)

    @on(Board.SearchWanted)
    def _ask_what_to_search(self) -> None:
        self.query_one(InfoLine).ask(self.board.query_text)

    @on(InfoLine.Searched)
    def _search(self, message: InfoLine.Searched) -> None:
        found = self.board.search(message.text)
        info = self.query_one(InfoLine)
        if not message.done:
            info.count(found)
            return
        if message.text and found:
            self.board.action_match_step(1)
            self.say(f"{found} found. N and Shift+N go through them, Escape ends the search.")
        elif message.text:
            self.say(f"‘{visible_line(message.text)}’ is nowhere in the panes.")
        if self.board.chosen_pane is not None:
            self.board.chosen_pane.tokens.focus()

    @on(TokenPane.Pointed)
    def _tell_of_token(self, message: TokenPane.Pointed) -> None:
        info = self.query_one(InfoLine)
        at: TokenPane | None = message.pane
        token = message.token
        if token is None:  # of the mouse: then the cursor counts again
            at = next((x.tokens for x in self.board.panes if x.tokens.cursor is not None), None)
            token = at.cursor if at is not None else None
        pane = next((x for x in self.board.panes if x.tokens is at), None)
        seen = self.board.perspective
        if pane is None or token is None or seen is None:
            info.tell(None)
            return
        comparison = seen.comparison
        stream = comparison.streams[pane.index]
        if token < len(stream.steps):  # a new run may have begun since
            run = comparison.reference.name
            info.tell(labels.token(stream, token, run))
