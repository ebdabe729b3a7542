"""The text of a scoring, each token coloured by how much a function's prediction of it differs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding
from textual.style import Style

from gelu_tui.tui.text_view.pointing import PointedRows
from gelu_tui.tui.text_view.token_buffer import TokenBuffer

_FEED = "↵"


class ScoredPane(PointedRows):
    """Shows tokens with levels: `level_of` a token is 0 to 4, negative for a negative value.

    A line feed has a glyph before it, which carries the token's colour and is not copied.
    """

    BINDINGS: ClassVar = [
        Binding("enter", "choose", "The candidates of the token under the cursor")
    ]

    signed = False  # whether the levels are of a value that may be below 0

    def __init__(self, id: str) -> None:  # noqa: A002
        super().__init__()
        self.id = id
        self._level_of: Callable[[int], int] = lambda token: 0
        self._key: tuple[object, ...] = ()  # what the levels depend on besides the token
        self._grows = False
        self._mixed: tuple[Style, str, dict[str, Style]] | None = None

    @property
    def is_growing(self) -> bool:
        return self._grows

    def restart(self) -> None:
        """Clear the pane."""
        self.tokens = 0
        self._set_buffer(TokenBuffer(), self.finder.query)
        self.view.follows = False
        self.view.to_start()

    def add(self, texts: list[str], *, grows: bool) -> None:
        """Append tokens. The beginning stays in view: one reads while more arrive."""
        self._grows = grows
        if not texts:
            return
        at = self.buffer.length
        for text in texts:
            self.buffer.append(text, _FEED)
        self.tokens += len(texts)
        self.view.follows = False
        if self.size:
            self.draw_from(max(0, at - 1))

    def colour(self, level_of: Callable[[int], int], key: tuple[object, ...]) -> None:
        """Colour by other levels; `key` differs where they do."""
        if key != self._key:
            self._level_of, self._key = level_of, key
            self.refresh()

    def token_style(self, token: int) -> Style:
        """By level; a line feed of level 0 is dim, as it is no text."""
        if found := self._level_of(token):
            return self._style(style_name(found, self.signed))
        first, marks = self.buffer.starts[token], self.buffer.marks
        place = bisect_left(marks, first)
        is_feed = place < len(marks) and marks[place] == first
        return self._style("shared" if is_feed else "")

    def _style(self, name: str) -> Style:
        """A style on top of the pane's own, which a row asks for many times."""
        base = self.visual_style
        if self._mixed is None or self._mixed[:2] != (base, self.app.theme):
            self._mixed = base, self.app.theme, {}
        found = self._mixed[2].get(name)
        if found is None:
            found = self._mixed[2][name] = base + self.style_of(name) if name else base
        return found

    def token_state(self, start: int, end: int) -> tuple[object, ...]:
        """What the levels depend on."""
        return self._key


def style_name(level: int, signed: bool) -> str:
    """The style of a level: of a signed value what is lost is in the colour of differences."""
    return f"gain{level}" if signed and level > 0 else f"level{abs(level)}"
