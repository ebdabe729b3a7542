"""The numbers above a stream, in one to three rows."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from gelu_tui.core.comparison.fork_sentences import explain_verdict
from gelu_tui.core.comparison.forks import fork_seen_from
from gelu_tui.core.comparison.state import Perspective, Stream
from gelu_tui.tui.compare import labels
from gelu_tui.tui.compare.plain_rows import Part, PlainRows
from gelu_tui.tui.text_view.pieces import FORK_MARK

_STYLES = {"diverged": "forked", "reference": "reference"}


@dataclass(frozen=True)
class Numbers:
    """The texts about a stream; `relation` is its standing's, `why` explains a fork."""

    state: str
    counts: str
    rates: str
    kl: str
    relation: str
    why: str


class PaneHead(PlainRows):
    """State and counts, rates, KL: as many rows as the pane's height allows."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[Perspective, int, bool] | None = None
        self._written: tuple[object, ...] = ()

    def show(self, perspective: Perspective, index: int, *, running: bool) -> None:
        """Draw the present state of one stream; cheap if nothing has changed."""
        self._shown = (perspective, index, running)
        self.on_resize()

    def on_resize(self) -> None:
        width, rows = self.size
        if self._shown is None or not width or not rows:
            return
        perspective, index, running = self._shown
        n = numbers(perspective, index, width, rows, running=running)
        if (n, width, rows) == self._written:
            return
        self._written = (n, width, rows)
        self.tooltip = Content(n.why) if n.why else None
        texts = {
            1: [(n.state, n.rates or n.counts)],
            2: [(n.state, n.counts), (n.kl, n.rates)],
            3: [(n.state, n.counts), (n.rates, ""), (n.kl, "")],
        }[rows]
        styles = (_STYLES.get(n.relation, ""), "", "")
        self.write(
            [head_row(*row, style, width - 1) for row, style in zip(texts, styles, strict=False)]
        )


def head_row(left: str, right: str, style: str, room: int) -> list[Part]:
    """Return the parts of a row of `room` cells; `style` is that of the left text."""
    if right and cell_len(left) + len(right) + 2 > room:
        left = re.sub(r" \(.*?\)", "", left)  # a number of tokens is in the counts, too
    # The left text matters more: the right one is shortened word by word.
    while right and cell_len(left) + len(right) + 2 > room:
        right = right.rpartition(" ")[0]
    if cell_len(left) > room:
        left = left.replace("diverges at", "at").replace("from token", "from")
    while cell_len(left) > room and " · " in left:
        left = left.rpartition(" · ")[0]
    if cell_len(left) > room:
        left = set_cell_size(left, max(0, room - 1)) + "…"
    gap = " " * max(0, room - cell_len(left) - len(right))
    return [(left, style), (gap, ""), (right, "shared")]


def numbers(
    perspective: Perspective, index: int, width: int, rows: int, *, running: bool
) -> Numbers:
    """Return the texts about one stream, for a head of `width` cells and `rows` rows."""
    comparison = perspective.comparison
    stream, reference = comparison.streams[index], comparison.streams[perspective.reference]
    fork = fork_seen_from(comparison, perspective.reference, index)
    standing = perspective.standing(index, fork)
    diverged = standing.relation == "diverged"
    room = width - 1
    beside_kl = stream is not comparison.reference
    rates = _rates(stream, room, rows, beside_kl=beside_kl, running=running)
    if rows == 2:  # the KL is beside them
        room -= len(rates) + 2
    state = f"{FORK_MARK} {standing.long}" if diverged else standing.long
    if stream.repeats is not None:
        state += f" · {stream.repeats.words}"
    return Numbers(
        state=state,
        counts=labels.counts(stream, comparison.settings.max_tokens, running=running),
        rates=rates,
        kl=labels.divergence_numbers(stream, comparison, room, reference),
        relation=standing.relation,
        why="" if fork is None else explain_verdict(fork, reference.name, stream.name),
    )


def _rates(stream: Stream, room: int, rows: int, *, beside_kl: bool, running: bool) -> str:
    wordings = labels.rates(stream, running=running)
    if not wordings or rows == 1:  # beside the state, which may be long
        return wordings[-1] if wordings else ""
    if rows == 2 and beside_kl:
        room -= labels.KL_ROOM + 2
    return next((words for words in wordings if len(words) <= room), wordings[-1])
