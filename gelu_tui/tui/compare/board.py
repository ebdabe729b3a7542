"""The panes of a comparison, and moving among their tokens and forks."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Literal

from textual import on
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.style import Style

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison, Perspective
from gelu_tui.core.safe_text import visible, visible_line
from gelu_tui.tui.compare.pane_grid import PaneGrid
from gelu_tui.tui.compare.stream_pane import StreamPane
from gelu_tui.tui.keys.actions import PANE_ACTIONS
from gelu_tui.tui.text_view.levels import TOKEN_STYLES, TokenStyle, legend
from gelu_tui.tui.text_view.pane import TokenPane
from gelu_tui.tui.text_view.pieces import FORK_MARK
from gelu_tui.tui.text_view.styles import token_styles

Scroll = Literal["together", "free"]
_STYLE_NAMES: dict[TokenStyle, str] = {
    "plain": "plain",
    "kl": "KL against the run's reference",
    "logprob": "probability of the token",
    "margin": "margin to the second token",
}


_FIRST_HINT = "Type a prompt above, Enter runs it. F3 has ready ones, F2 other functions, F1 help."


class Board(PaneGrid):
    """Shows a comparison from a perspective: any stream may be what the others are seen from."""

    BINDINGS: ClassVar = [
        *(action.binding() for action in PANE_ACTIONS),
        *(Binding(str(n), f"choose({n - 1})", show=False) for n in range(1, 9)),
    ]

    class Told(Message):
        """Something to say about what a key has done."""

        def __init__(self, sentence: str | Content) -> None:
            super().__init__()
            self.sentence = sentence

    class ReferenceChosen(Message):
        """The user compares with another stream."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    class Reordered(Message):
        """The panes stand in another order."""

        def __init__(self, names: list[str]) -> None:
            super().__init__()
            self.names = names

    class SearchWanted(Message):
        """The user wants to type what to search for."""

    def __init__(self, scroll: Scroll = "together", statistic: TokenStyle = "plain") -> None:
        super().__init__()
        self.scroll: Scroll = scroll
        self.statistic: TokenStyle = statistic
        self.query_text = ""
        self.perspective: Perspective | None = None
        self._running = False
        # The screen announces choices and the app begins runs: panes come and go for one at a time.
        self._in_turn = asyncio.Lock()

    # --- what is shown ------------------------------------------------------------------------

    async def announce(self, variants: list[p.VariantInfo]) -> None:
        """Show functions that have no streams yet, unless a comparison has begun meanwhile."""
        async with self._in_turn:
            if self.perspective is not None:
                return
            await self.set_count(len(variants))
            # Not strict: the app may be closing, and then the panes are gone.
            for index, (pane, variant) in enumerate(zip(self.panes, variants, strict=False)):
                pane.announce(index, variant, "" if index else _FIRST_HINT)
            self.show_tabs()

    async def begin(self, comparison: Comparison) -> None:
        """Show a comparison, from its own reference."""
        async with self._in_turn:
            # A frame may be drawn while panes come and go; they are still those of other streams.
            self.perspective = None
            await self.set_count(len(comparison.streams))
            self.perspective = Perspective(comparison)
            streams = enumerate(zip(self.panes, comparison.streams, strict=False))
            for index, (pane, stream) in streams:
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
                    pane.show_numbers(self.perspective, running=running)
        if numbers:
            self.show_tabs()

    def tab_titles(self) -> list[str]:
        """Names, with the first divergent token, or R for the reference."""
        titles = []
        for pane in self.panes:
            mark = ""
            if self.perspective is not None:
                standing = self.perspective.standing(pane.index)
                diverged = f" {FORK_MARK}{standing.short}"
                mark = {"reference": " R", "diverged": diverged}.get(standing.relation, "")
            titles.append(visible_line(pane.variant_name) + mark)
        return titles

    def see_from(self, index: int) -> None:
        """Compare with another stream, without a new run."""
        if self.perspective is not None:
            self.perspective = Perspective(self.perspective.comparison, index)
            self.show(running=self._running)

    def _show_chosen(self) -> None:
        super()._show_chosen()
        pane = self.chosen_pane
        if self._arrangement.tabs and pane is not None and self.perspective is not None:
            pane.show(self.perspective)  # it was not drawn while it was hidden
            pane.show_numbers(self.perspective, running=self._running)

    # --- pointing and scrolling together ------------------------------------------------------

    def _others(self, pane: TokenPane) -> list[TokenPane]:
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
        self.choose(place)
        self.panes[place].tokens.point(token)

    # --- keys ---------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape goes on to the screen where there is nothing here to take away."""
        if action == "clear":
            return bool(self.query_text) or any(p.tokens.cursor is not None for p in self.panes)
        return True

    def action_choose(self, place: int) -> None:
        """Go to the pane of a number."""
        self.choose(place)

    def action_clear(self) -> None:
        """Take cursor and search away."""
        self.search("")
        for pane in self.panes:
            if pane.tokens.cursor is not None:
                pane.tokens.point(None)

    def _forks(self) -> list[tuple[int, int]]:
        """Step and place of every fork, in reading order."""
        seen = self.perspective
        if seen is None:
            return []
        found = [
            (first, place)
            for place, pane in enumerate(self.panes)
            if (first := seen.first_divergent_token(pane.index)) is not None
        ]
        return sorted(found)

    def action_to_fork(self) -> None:
        """Point at the first divergent token of the chosen pane."""
        here = [step for step, place in self._forks() if place == self.chosen]
        seen, pane = self.perspective, self.chosen_pane
        if here:
            self.point(self.chosen, here[0])
        elif seen is not None and pane is not None and pane.index == seen.reference:
            self.post_message(self.Told("This is the reference: the others fork from it."))
        else:
            self.post_message(self.Told("This stream does not differ from the reference."))

    def action_fork_step(self, by: int) -> None:
        """Point at the next or the previous fork of all panes."""
        forks = self._forks()
        pane = self.chosen_pane
        if not forks or pane is None:
            self.post_message(self.Told("No stream differs from the reference so far."))
            return
        cursor = pane.tokens.cursor
        if cursor is None:
            step, place = forks[0 if by > 0 else -1]
        elif by > 0:
            step, place = next((f for f in forks if f > (cursor, self.chosen)), forks[0])
        else:
            before = [f for f in forks if f < (cursor, self.chosen)]
            step, place = before[-1] if before else forks[-1]
        self.point(place, step)

    def action_search(self) -> None:
        """Ask for the text to search for."""
        self.post_message(self.SearchWanted())

    def search(self, query: str) -> int:
        """Mark every place of a text in all panes; how many there are."""
        self.query_text = query
        self._catch_up()
        for pane in self.panes:
            pane.tokens.search(query)
        return sum(1 for pane in self.panes for _ in pane.tokens.finder)

    def _catch_up(self) -> None:
        """Have the tokens of panes behind tabs, too, which are not drawn as they come."""
        if self.perspective is not None:
            for pane in self.panes:
                pane.show(self.perspective)

    def action_match_step(self, by: int) -> None:
        """Point at the next or the previous place found."""
        self._catch_up()
        found = [
            (place, pane.tokens.buffer.token_at(start))
            for place, pane in enumerate(self.panes)
            for start, _ in pane.tokens.finder
        ]
        found = [match for match in found if match[1] < self.panes[match[0]].tokens.tokens]
        pane = self.chosen_pane
        if not found or pane is None:
            said = f"‘{visible_line(self.query_text)}’ is not found." if self.query_text else ""
            self.post_message(self.Told(said or "Nothing is searched for: / begins a search."))
            return
        here = (self.chosen, -1 if pane.tokens.cursor is None else pane.tokens.cursor)
        if by > 0:
            match = next((m for m in found if m > here), found[0])
        else:
            before = [m for m in found if m < here]
            match = before[-1] if before else found[-1]
        self.point(*match)

    def action_reference(self) -> None:
        """Compare with the chosen pane."""
        pane = self.chosen_pane
        if pane is not None:
            self.see_from(pane.index)
            self.post_message(self.ReferenceChosen(pane.variant_name))

    def action_zoom(self) -> None:
        """Maximise the chosen pane, or restore all."""
        if self.screen.maximized is not None:
            self.screen.minimize()
        elif (pane := self.chosen_pane) is not None:
            self.screen.maximize(pane)

    def action_move_pane(self, by: int) -> None:
        """Move the chosen pane."""
        if self.move(by):
            self.post_message(self.Reordered([pane.variant_name for pane in self.panes]))

    def action_layout(self) -> None:
        """The next layout."""
        layout = self.next_layout()
        self.post_message(self.Told(f"Layout: {layout}."))

    def action_together(self) -> None:
        """Scroll together or free."""
        self.scroll = "free" if self.scroll == "together" else "together"
        for pane in self.panes:
            pane.tokens.set_echo(None)
        how = "together, token by token" if self.scroll == "together" else "each by itself"
        self.post_message(self.Told(f"The panes scroll {how}."))

    def action_colours(self) -> None:
        """The next statistic that tokens are coloured by."""
        after = (TOKEN_STYLES.index(self.statistic) + 1) % len(TOKEN_STYLES)
        self.statistic = TOKEN_STYLES[after]
        for pane in self.panes:
            pane.tokens.set_statistic(self.statistic)
        styles = token_styles(self.app)
        parts: list[Content | tuple[str, Style]] = []
        for step, meaning in enumerate(legend(self.statistic)):
            style = styles[f"level{step}"] if step else Style()
            parts += [Content("  "), (f" {meaning} ", style)]
        name = Content(f"Colours: {_STYLE_NAMES[self.statistic]}")
        self.post_message(self.Told(Content.assemble(name, *parts)))

    def action_copy_stream(self) -> None:
        """Copy the text of the chosen pane."""
        pane: StreamPane | None = self.chosen_pane
        if pane is not None and self.perspective is not None:
            text = self.perspective.comparison.streams[pane.index].text
            if text:
                self.app.copy_to_clipboard(visible(text))
