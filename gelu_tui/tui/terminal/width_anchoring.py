"""Text whose width terminals do not agree on, written so that what follows stands in its place.

A heart with a variation selector, a thumb with a skin tone or a Devanagari vowel is one cell more
or less in tmux than in kitty, and the rest of the line would be shifted by it, through all panes.
So such text is written over blanks of its own, and the cursor is then put where the layout has it.
"""

from __future__ import annotations

import re

from rich.cells import split_graphemes
from textual.driver import Driver

_SAVE, _RESTORE = "\x1b7", "\x1b8"

# Scripts that compose their syllables. A word of them must not be cut where the layout has its end,
# so it may go on over the blanks that fill its row.
_COMPOSED = "\u0700-\u1dff\ua4d0-\uabff\U00011000-\U00011fff"
# Those, joiners, variation selectors, and emoji. Not in it is what every terminal has measured
# alike for long: alphabets with their accents, lines and blocks, Chinese, Japanese, Korean.
_DISPUTED = (
    f"{_COMPOSED}\u200d\u20d0-\u20ff\u3164\ud7b0-\uf8ff\ufe00-\ufe2f\uffa0"
    "\U00010000-\U0001ffff\U000e0000-\U0010ffff"
)
_is_composed = re.compile(f"[{_COMPOSED}]").search
_is_disputed = re.compile(f"[{_DISPUTED}]").search
# Sequences to the terminal, which stay as they are; or a run of text, with the colours and blanks
# that follow.
_PARTS = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]|\x1b[\\]P^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?|\x1b[^\\[\\]P^_]"
    "|([^\x00-\x1f\x7f]+)(?:((?:\x1b\\[[0-9;]*m)+)( +))?"
)


def anchored(data: str) -> str:
    """What is sent to the terminal, with every disputed character held in its cells."""
    if data.isascii() or not _is_disputed(data):
        return data
    return _PARTS.sub(_part, data)


def _part(match: re.Match[str]) -> str:
    text, colours, blanks = match.groups("")
    if not _is_disputed(text):
        return match[0]
    done: list[str] = []
    for first, last, cells in split_graphemes(text)[0]:
        cluster = text[first:last]
        if _is_composed(cluster):
            rest = text[first:]
            cells = sum(width for _, _, width in split_graphemes(rest)[0])
            return "".join([*done, _held(rest, cells, colours, blanks)])
        done.append(_held(cluster, cells) if _is_disputed(cluster) else cluster)
    return "".join([*done, colours, blanks])


def _held(text: str, cells: int, colours: str = "", blanks: str = "") -> str:
    """`text` in so many cells, then blanks, over which it may go on.

    The cursor is saved twice: some terminals forget the place when they have gone back to it.
    """
    cells_blank = f"{_SAVE}{' ' * cells}{colours}{blanks}{_RESTORE}"
    behind = cells + len(blanks)
    on = f"\x1b[{behind}C" if behind else ""
    return f"{cells_blank}{_SAVE}{text}{_RESTORE}{on}{colours}"


def anchoring(driver: type[Driver]) -> type[Driver]:
    """A driver that writes to the same terminal, anchored."""

    class Anchoring(driver):  # type: ignore[misc, valid-type]
        def write(self, data: str) -> None:
            super().write(anchored(data))

    return Anchoring
