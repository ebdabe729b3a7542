"""Text whose width terminals do not agree on, written so that what follows is in its place.

A heart with a variation selector, a thumb with a skin tone or a Devanagari vowel is one cell more
or less in tmux than in kitty, and would shift the rest of the line, through all panes. So such text
is written over blanks, and the cursor is then put where the layout has it.
"""

from __future__ import annotations

import re

from rich.cells import split_graphemes
from textual.driver import Driver

_SAVE, _RESTORE = "\x1b7", "\x1b8"

# Scripts that compose their syllables. A word of them must not be cut where the layout ends it, so
# it may extend over the blanks that fill its row.
_COMPOSED = "\u0700-\u1dff\ua4d0-\uabff\U00011000-\U00011fff"
# Those, joiners, variation selectors, and emoji. Without what all terminals measure alike:
# alphabets with their accents, lines and blocks, Chinese, Japanese, Korean.
_DISPUTED = (
    f"{_COMPOSED}\u200d\u20d0-\u20ff\u3164\ud7b0-\uf8ff\ufe00-\ufe2f\uffa0"
    "\U00010000-\U0001ffff\U000e0000-\U0010ffff"
)
_is_composed = re.compile(f"[{_COMPOSED}]").search
_is_disputed = re.compile(f"[{_DISPUTED}]").search
# A control sequence, which is kept; or a run of text, with the colours and blanks that follow.
_PARTS = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]|\x1b[\\]P^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?|\x1b[^\\[\\]P^_]"
    "|([^\x00-\x1f\x7f]+)(?:((?:\x1b\\[[0-9;]*m)+)( +))?"
)


def anchored(data: str) -> str:
    """Return `data` for the terminal, with every disputed character held in its cells."""
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
    """Return `text` held in `cells` cells, then blanks, over which it may extend."""
    width = cells + len(blanks)
    forward = f"\x1b[{width}C" if width else ""
    blank = f"{_SAVE}{' ' * cells}{colours}{blanks}{_RESTORE}"
    # Saved again: some terminals forget the place once they have restored it.
    return f"{blank}{_SAVE}{text}{_RESTORE}{forward}{colours}"


def anchoring(driver: type[Driver]) -> type[Driver]:
    """Return a driver that writes anchored text to the same terminal."""

    class Anchoring(driver):  # type: ignore[misc, valid-type]
        def write(self, data: str) -> None:
            super().write(anchored(data))

    return Anchoring
