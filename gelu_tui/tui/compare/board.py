"""The panes of a comparison, and moving among their tokens and forks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

from textual import on
from textual.binding import Binding
from textual.content import Content
from textual.message import Message

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison, Perspective
from gelu_tui.core.safe_text import visible, visible_line
from gelu_tui.tui.compare.layout import LAYOUTS
from gelu_tui.tui.compare.legend import STATISTICS
from gelu_tui.tui.compare.pane_grid import PaneGrid
from gelu_tui.tui.compare.stream_pane import StreamPane
from gelu_tui.tui.keys.actions import NEXT_FORK, PANE_ACTIONS
from gelu_tui.tui.text_view.levels import TOKEN_STYLES, TokenStyle
from gelu_tui.tui.text_view.pane import TokenPane
from gelu_tui.tui.text_view.pointing import PointedRows

Scroll = Literal["together", "free"]
_Choice = TypeVar("_Choice")
_FIRST_HINT = "Type a prompt above, Enter runs it. F3 has ready ones, F2 other functions, F1 help."


class Board(PaneGrid):
    """Shows a comparison from a perspective: any stream may be the reference of the others."""

    BINDINGS: ClassVar = [
        *(action.binding() for action in PANE_ACTIONS if action is not NEXT_FORK),
        *(Binding(str(n), f"choose({n - 1})", show=False) for n in range(1, 9)),
    ]

    @dataclass
    class Feedback(Message):
        """A sentence about what a key has done; it goes when what it is `about` has changed."""

        sentence: str | Content
        about: str = ""

    @dataclass
    class ReferenceChosen(Message):
        """The user compares with another stream."""

        name: str

    class Reordered(Message):
        """The panes are in another order."""

    class Coloured(Message):
        """The tokens have the colours of another statistic."""

    class SearchEnded(Message):
        """Nothing is searched for any more."""

    class SearchWanted(Message):
        """The user wants to type what to search for."""

    def __init__(self, scroll: Scroll = "together", statistic: TokenStyle = "plain") -> None:
        super().__init__()
        self.scroll: Scroll = scroll
        self.statistic: TokenStyle = statistic
        self.query_text = ""
        self.spared = False  # cursor and search, from the next Escape
        self._running = False
        # The screen announces choices and the app begins runs: one of them at a time changes panes.
        self._in_turn = asyncio.Lock()

    async def announce(self, variants: list[p.VariantInfo]) -> None:
        """Show functions that have no streams yet, unless a comparison has begun meanwhile."""
        async with self._in_turn:
            if self.perspective is not None:
                return
            await self.set_count(len(variants))
            # Not strict: the app may be closing, and then the panes are gone.
            for index, (pane, variant) in enumerate(zip(self.panes, variants, strict=False)):
                pane.begin(index, variant, "" if index else _FIRST_HINT)
            self.show_tabs()

    async def begin(self, comparison: Comparison) -> None:
        """Show a comparison, from its own reference."""
        async with self._in_turn:
            # A frame may be drawn while panes come and go; they are still those of other streams.
            self.perspective = None
            await self.set_count(len(comparison.streams))
            self.perspective = Perspective(comparison)
            streams = zip(self.panes, comparison.streams, strict=False)
            for index, (pane, stream) in enumerate(streams):
                pane.begin(index, stream.variant)
                pane.tokens.statistic = self.statistic
                pane.tokens.search(self.query_text)
            self.show_tabs()

    def show(self, *, running: bool, numbers: bool = True) -> None:
        """Draw what is new; without `numbers` the tokens only."""
        if self.perspective is None:
            return
        self._running = running
        for pane in self.panes:
            if pane.display:
                pane.show(self.perspective)
                if numbers:
                    pane.head.show(self.perspective, pane.index, running=running)
        if numbers:
            self.show_tabs()

    def _show_chosen(self) -> None:
        super()._show_chosen()
        if self._arrangement.tabs:
            self.show(running=self._running)  # the chosen pane was not drawn while it was hidden

    # --- pointing and scrolling together ------------------------------------------------------

    def _others(self, pane: PointedRows) -> list[TokenPane]:
        return [other.tokens for other in self.panes if other.tokens is not pane]

    @on(TokenPane.Pointed)
    def _pointed(self, message: TokenPane.Pointed) -> None:
        if message.hover:
            return
        for other in self._others(message.pane):
            other.set_echo(message.token if self.scroll == "together" else None)
            if other.cursor is not None:
                other.draw_tokens(other.cursor)
                other.cursor = None

    @on(TokenPane.Scrolled)
    def _scrolled(self, message: TokenPane.Scrolled) -> None:
        message.stop()
        if self.scroll == "together":
            for other in self._others(message.pane):
                other.align(message.token)

    def point(self, place: int, token: int) -> None:
        """Put the cursor on a token of the pane at a place."""
        self.action_choose(place)
        self.panes[place].tokens.point(token)

    def _feedback(self, sentence: str | Content, about: str = "") -> None:
        self.post_message(self.Feedback(sentence, about))

    # --- keys ---------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape does nothing where there is nothing to clear."""
        if action == "clear":
            return not self.spared and (
                bool(self.query_text) or any(p.tokens.cursor is not None for p in self.panes)
            )
        return True

    def action_clear(self) -> None:
        """Remove the cursor and the search."""
        self.search("")
        self.post_message(self.SearchEnded())
        for pane in self.panes:
            if pane.tokens.cursor is not None:
                pane.tokens.point(None)

    def _forks(self) -> list[tuple[int, int]]:
        """Step and place of every fork, in reading order."""
        seen = self.perspective
        if seen is None:
            return []
        steps = [seen.first_divergent_token(pane.index) for pane in self.panes]
        return sorted((step, place) for place, step in enumerate(steps) if step is not None)

    def action_to_fork(self) -> None:
        """Point at the first divergent token of the chosen pane."""
        here = [step for step, place in self._forks() if place == self.chosen]
        seen, pane = self.perspective, self.chosen_pane
        if here:
            self.point(self.chosen, here[0])
        elif seen is not None and pane is not None and pane.index == seen.reference:
            self._feedback("This is the reference: the others fork from it.", "forks")
        else:
            self._feedback("This stream does not differ from the reference.", "forks")

    @on(StreamPane.HeadClicked)
    def _head_clicked(self, message: StreamPane.HeadClicked) -> None:
        """Choose the pane, and point at its fork if it has one."""
        place = self.panes.index(message.pane)
        self.action_choose(place)
        if any(place == other for _, other in self._forks()):
            self.action_to_fork()

    def forks_out_of_view(self) -> int:
        """The number of forks that cannot be seen without scrolling or choosing another tab."""
        panes = [self.panes[place] for _, place in self._forks()]
        return sum(not (pane.display and pane.tokens.fork_in_view) for pane in panes)

    def fork_step(self, by: int) -> None:
        """Point at the next or the previous fork of all panes."""
        forks = self._forks()
        pane = self.chosen_pane
        if not forks or pane is None:
            self._feedback("No stream differs from the reference.", "forks")
            return
        cursor = pane.tokens.cursor
        if cursor is None:
            step, place = forks[0 if by > 0 else -1]
        else:
            step, place = _beside(forks, (cursor, self.chosen), by)
        self.point(place, step)

    def action_search(self) -> None:
        self.post_message(self.SearchWanted())

    def search(self, query: str) -> int:
        """Mark every place of a text in all panes; return how many there are."""
        self.query_text = query
        self._catch_up()
        for pane in self.panes:
            pane.tokens.search(query)
        return sum(1 for pane in self.panes for _ in pane.tokens.finder)

    def _catch_up(self) -> None:
        """Pass the new tokens to the panes behind tabs, too, which are not drawn as they come."""
        if self.perspective is not None:
            for pane in self.panes:
                pane.show(self.perspective)

    def action_match_step(self, by: int) -> None:
        """Point at the next or the previous place found."""
        self._catch_up()
        found = [
            (place, token)
            for place, pane in enumerate(self.panes)
            for start, _ in pane.tokens.finder
            if (token := pane.tokens.buffer.token_at(start)) < pane.tokens.tokens
        ]
        pane = self.chosen_pane
        if not found or pane is None:
            text = f"‘{visible_line(self.query_text)}’ is not found." if self.query_text else ""
            self._feedback(text or "Nothing is searched for: / begins a search.", "search")
            return
        cursor = pane.tokens.cursor
        self.point(*_beside(found, (self.chosen, -1 if cursor is None else cursor), by))

    def action_reference(self) -> None:
        """Compare with the chosen pane, without a new run."""
        pane = self.chosen_pane
        if pane is None:
            return
        if self.perspective is not None:
            self.perspective = Perspective(self.perspective.comparison, pane.index)
            self.show(running=self._running)
        self.post_message(self.ReferenceChosen(pane.variant_name))

    def action_zoom(self) -> None:
        """Maximise the chosen pane, or restore all."""
        if self.screen.maximized is not None:
            self.screen.minimize()
        elif (pane := self.chosen_pane) is not None:
            self.screen.maximize(pane)

    def will_do(self, action: str) -> str:
        """What an action that depends on the present state would do now; else an empty text."""
        match action:
            case "zoom":
                return "Restore all panes" if self.screen.maximized else "Maximise this pane"
            case "layout":
                return f"Change the layout to {_after(LAYOUTS, self.layout_wanted)}"
            case "together":
                free = self.scroll == "together"
                return "Scroll each pane by itself" if free else "Scroll all panes together"
            case "colours":
                name = STATISTICS[_after(TOKEN_STYLES, self.statistic)]
                return f"Colour the tokens: {name.partition(' ')[0]}"
        return ""

    def action_move_pane(self, by: int) -> None:
        if self.move(by):
            self.post_message(self.Reordered())

    def action_layout(self) -> None:
        """Switch to the next layout."""
        self.layout_wanted = _after(LAYOUTS, self.layout_wanted)
        self.on_resize()
        self._feedback(f"Layout: {self.layout_wanted}.")

    def action_together(self) -> None:
        """Scroll together or free."""
        self.scroll = "free" if self.scroll == "together" else "together"
        for pane in self.panes:
            pane.tokens.set_echo(None)
        how = "together, token by token" if self.scroll == "together" else "each by itself"
        self._feedback(f"The panes scroll {how}.")

    def action_colours(self) -> None:
        """Colour the tokens by the next statistic."""
        self.statistic = _after(TOKEN_STYLES, self.statistic)
        for pane in self.panes:
            pane.tokens.set_statistic(self.statistic)
        self.post_message(self.Coloured())

    def action_copy_stream(self) -> None:
        """Copy the text of the chosen pane."""
        pane = self.chosen_pane
        if pane is not None and self.perspective is not None:
            text = self.perspective.comparison.streams[pane.index].text
            if text:
                self.app.copy_to_clipboard(visible(text))


def _after(choices: tuple[_Choice, ...], choice: _Choice) -> _Choice:
    return choices[(choices.index(choice) + 1) % len(choices)]


def _beside(places: list[tuple[int, int]], here: tuple[int, int], by: int) -> tuple[int, int]:
    """The place after `here`, or before it where `by` is negative; round the ends."""
    if by > 0:
        return next((place for place in places if place > here), places[0])
    return next((place for place in reversed(places) if place < here), places[-1])
