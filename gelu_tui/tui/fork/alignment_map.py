"""Two streams after their fork: what they share, where they agree again, as styled text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from string import ascii_lowercase, ascii_uppercase

from rich.cells import cell_len
from textual.content import Content

from gelu_tui.core.comparison.standing import count_tokens
from gelu_tui.core.comparison.state import Stream
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.fork.alignment import REJOIN_LENGTH, SHORTEST_STRETCH, Alignment, Stretch
from gelu_tui.tui.text_view.pieces import FORK_MARK

_SHARED, _DIFFERS = "─", "·"
_STYLES = {_SHARED: "dim", _DIFFERS: "dim", FORK_MARK: "bold $text-warning"}
_LISTED = 8

Labelled = list[tuple[str, Stretch]]


def rejoin_sentence(alignment: Alignment, reference: Stream, stream: Stream, fork: int) -> str:
    """Whether and where the streams agree again, in plain words."""
    after = min(len(reference.tokens), len(stream.tokens)) - fork - 1
    if after <= 0:
        return "Nothing to align: one of the streams has no token after the fork."
    if (rejoin := alignment.rejoin) is not None:
        one, other = visible_line(reference.name), visible_line(stream.name)
        return (
            f"After the fork they rejoin: from token {rejoin.reference} of {one} and token "
            f"{rejoin.variant} of {other} on, {count_tokens(rejoin.length)} in a row agree again."
        )
    they = "So far they" if None in (reference.finish_reason, stream.finish_reason) else "They"
    return f"{they} do not rejoin: after the fork, no {REJOIN_LENGTH} tokens in a row agree again."


def labelled(alignment: Alignment) -> Labelled:
    """Each stretch with a letter: a capital where the streams agree for long."""
    long, short = cycle(ascii_uppercase), cycle(ascii_lowercase)
    return [(next(long if s.is_long else short), s) for s in alignment.stretches]


def alignment_map(
    alignment: Alignment, reference: Stream, stream: Stream, fork: int, width: int
) -> Content:
    """Both streams as strips to one scale, a letter for each aligned stretch, and a legend."""
    names = [visible_line(side.name) for side in (reference, stream)]
    name_cells = min(max(map(cell_len, names)), max(4, width // 4))
    cells = max(1, width - name_cells - 2)
    longest = max(len(reference.tokens), len(stream.tokens), 1)
    scale = -(-longest // cells)
    letters = labelled(alignment)
    strips = (
        _strip(len(reference.tokens), fork, [(k, s.reference, s.length) for k, s in letters]),
        _strip(len(stream.tokens), fork, [(k, s.variant, s.length) for k, s in letters]),
    )
    lines = [
        Content.assemble(
            Content(name).truncate(name_cells, ellipsis=True, pad=True),
            "  ",
            *((mark, _STYLES.get(mark) or _style(mark)) for mark in _scaled(strip, scale)),
        )
        for name, strip in zip(names, strips, strict=True)
    ]
    return Content("\n").join([*lines, _legend(letters, scale)])


def _style(mark: str) -> str:
    return "bold $text-accent" if mark.isupper() else ""


def _legend(letters: Labelled, scale: int) -> Content:
    parts = [f"{_SHARED} shared", f"{FORK_MARK} fork", f"{_DIFFERS} differs"]
    if any(stretch.is_long for _, stretch in letters):
        parts.append(f"A B C… aligned for {REJOIN_LENGTH} tokens or more")
    if any(not stretch.is_long for _, stretch in letters):
        parts.append(f"a b c… for {SHORTEST_STRETCH} to {REJOIN_LENGTH - 1} tokens")
    if scale > 1:
        parts.append(f"1 cell = {scale} tokens")
    return Content.styled("  ".join(parts), "dim")


def _strip(length: int, fork: int, stretches: Sequence[tuple[str, int, int]]) -> list[str]:
    """A mark for each token of a stream."""
    marks = [_SHARED] * min(fork, length) + [_DIFFERS] * max(0, length - fork)
    for letter, start, count in stretches:
        marks[start : start + count] = letter * count
    if fork < length:
        marks[fork] = FORK_MARK
    return marks


def _scaled(marks: list[str], scale: int) -> list[str]:
    """A mark for each cell of `scale` tokens: the fork, else the longest stretch."""

    def weight(mark: str) -> tuple[bool, bool, bool]:
        return mark == FORK_MARK, mark.isupper(), mark.islower()

    return [max(marks[i : i + scale], key=weight) for i in range(0, len(marks), scale)]


def stretch_list(alignment: Alignment, stream: Stream, width: int) -> Content:
    """The long stretches with their text; the longest short ones where there are no others."""
    letters = labelled(alignment)
    chosen = [(letter, stretch) for letter, stretch in letters if stretch.is_long]
    if not chosen:
        by_length = sorted(letters, key=lambda pair: -pair[1].length)[:3]
        chosen = [pair for pair in letters if pair in by_length]
    lines = []
    for letter, stretch in chosen[:_LISTED]:
        text = "".join(stream.segments[stretch.variant : stretch.variant + stretch.length])
        line = Content.assemble(
            (f"{letter} ", _style(letter)),
            f"{f'{stretch.reference} ↔ {stretch.variant}':<13} ",
            (f"{count_tokens(stretch.length):>10}  ", "dim"),
            visible_line(text),
        )
        lines.append(line.truncate(width, ellipsis=True))
    if len(chosen) > _LISTED:
        lines.append(Content.styled(f"   and {len(chosen) - _LISTED} more", "dim"))
    return Content("\n").join(lines)
