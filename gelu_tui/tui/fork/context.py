"""The text before a fork and how each side continues, as styled text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from textual.content import Content

from gelu_tui.core.comparison.fork_sentences import token_text, visible_token
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.fork.candidates import TAKEN_MARK

_LOOK_AHEAD = 100  # tokens; more do not fit into a row


class Side(NamedTuple):
    """How one side goes on from a fork: the token that it took and the text after it."""

    name: str
    token: str
    rest: str


def fork_context(comparison: Comparison, sides: tuple[int, int], step: int, width: int) -> Content:
    """One row of the shared text before the fork, then a row for each side from the fork on."""
    segments = comparison.streams[sides[0]].segments
    before = "".join(segments[max(0, step - _LOOK_AHEAD) : step])
    if step < _LOOK_AHEAD:
        before = comparison.prompt_text[-4 * width :] + before
    found = []
    for index in sides:
        stream = comparison.streams[index]
        token, rest = "(ended)", ""
        if step < len(stream.tokens):
            token = visible_token(token_text(comparison, index, step), stream.tokens[step])
            rest = "".join(stream.segments[step + 1 : step + 1 + _LOOK_AHEAD])
        found.append(Side(stream.name, token, rest))
    return continuations(before, found, width)


def continuations(before: str, sides: Sequence[Side], width: int) -> Content:
    """The end of the text before, in a row, and a row for each side; tokens are visible already."""
    names = [visible_line(side.name) for side in sides]
    name_cells = min(max(map(cell_len, names)), max(4, width // 4))
    lines = [Content.styled(tail(visible_line(before[-4 * width :]), width), "dim")]
    for side, name in zip(sides, names, strict=True):
        line = Content.assemble(
            "  ",
            Content(name).truncate(name_cells, ellipsis=True, pad=True),
            "  ",
            (f"{TAKEN_MARK} {side.token}", "bold $text-warning"),
            visible_line(side.rest[: 4 * width]),
        )
        lines.append(line.truncate(width, ellipsis=True))
    return Content("\n").join(lines)


def tail(text: str, width: int) -> str:
    """The end of a text in at most `width` cells, with … in front where it is cut."""
    if cell_len(text) <= width:
        return text
    kept = text[-width:]
    while kept and cell_len(kept) >= width:
        kept = kept[1:]
    return f"…{kept}"
