"""The numbers above a stream, in one to three rows."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from gelu_tui.core.comparison.fork_sentences import explain_verdict
from gelu_tui.core.comparison.forks import fork_seen_from
from gelu_tui.core.comparison.state import Comparison, Perspective, Stream
from gelu_tui.tui.compare import labels
from gelu_tui.tui.compare.plain_rows import Part, PlainRows
from gelu_tui.tui.text_view.pieces import FORK_MARK

_STYLES = {"fork": "forked", "reference": "reference"}


@dataclass(frozen=True)
class Numbers:
    """What is told of a stream; `kind` is `fork`, `reference` or empty, `why` explains a fork."""

    state: str = ""
    counts: str = ""
    rates: str = ""
    kl: str = ""
    kind: str = ""
    why: str = ""


class PaneHead(PlainRows):
    """State and counts, rates, KL: as many rows as the pane's height allows."""

    DEFAULT_CSS = """
    PaneHead { height: 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._rows = 1
        self._shown: tuple[Perspective, int, bool] | None = None
        self._written: tuple[object, ...] = ()

    def set_rows(self, rows: int) -> None:
        """Take one to three rows."""
        if rows != self._rows:
            self._rows = rows
            self.styles.height = rows
            self._write()

    def show(self, perspective: Perspective, index: int, *, running: bool) -> None:
        """Tell of one stream of a comparison as it stands; cheap if nothing has changed."""
        self._shown = (perspective, index, running)
        self._write()

    def on_resize(self) -> None:
        """Another width has room for other words."""
        self._write()

    def _write(self) -> None:
        width, rows = self.size.width, self._rows
        if self._shown is None or not width:
            return
        perspective, index, running = self._shown
        n = numbers(perspective, index, width, rows, running=running)
        if (n, width, rows) == self._written:
            return
        self._written = (n, width, rows)
        state = (n.state, n.kind)
        match rows:
            case 1:
                lines = [self._row(state, n.rates or n.counts)]
            case 2:
                lines = [self._row(state, n.counts), self._row((n.kl, ""), n.rates)]
            case _:
                lines = [
                    self._row(state, n.counts),
                    self._row((n.rates, ""), ""),
                    self._row((n.kl, ""), ""),
                ]
        self.tooltip = Content(n.why) if n.why else None
        self.write(lines)

    def _row(self, left: Part, right: str) -> list[Part]:
        text, kind = left
        room = self.size.width - 1
        if right and cell_len(text) + len(right) + 2 > room:
            text = text.partition(" (")[0]  # a number of tokens is in the counts, too
        # What stands on the left matters more: the right gives way word by word.
        while right and cell_len(text) + len(right) + 2 > room:
            right = right.rpartition(" ")[0]
        if cell_len(text) > room:
            text = text.replace("diverges at", "at")
        while cell_len(text) > room and " · " in text:
            text = text.rpartition(" · ")[0]
        if cell_len(text) > room:
            text = set_cell_size(text, max(0, room - 1)) + "…"
        gap = " " * max(0, room - cell_len(text) - len(right))
        return [(text, _STYLES.get(kind, "")), (gap, ""), (right, "shared")]


def numbers(
    perspective: Perspective, index: int, width: int, rows: int, *, running: bool
) -> Numbers:
    """What is told of one stream of a comparison, for a head of `width` cells and `rows` rows."""
    comparison: Comparison = perspective.comparison
    stream, reference = comparison.streams[index], comparison.streams[perspective.reference]
    fork = fork_seen_from(comparison, perspective.reference, index)
    standing = perspective.standing(index, fork)
    diverged = standing.relation == "diverged"
    measured = stream is not comparison.reference
    room = width - 1
    rates = _rates(stream, room, rows, beside_kl=measured, running=running)
    if rows == 2:  # the KL stands beside them
        room -= len(rates) + 2
    kind = "reference" if stream is reference else ""
    return Numbers(
        state=f"{FORK_MARK} {standing.long}" if diverged else standing.long,
        counts=labels.counts(stream, comparison.settings.max_tokens, running=running),
        rates=rates,
        kl=labels.divergence_numbers(stream, comparison, room, reference),
        kind="fork" if diverged else kind,
        why="" if fork is None else explain_verdict(fork, reference.name, stream.name),
    )


def _rates(stream: Stream, room: int, rows: int, *, beside_kl: bool, running: bool) -> str:
    wordings = labels.rates(stream, running=running)
    if not wordings or rows == 1:  # beside the state, which has no end of words
        return wordings[-1] if wordings else ""
    if rows == 2 and beside_kl:
        room -= labels.KL_ROOM + 2
    return next((words for words in wordings if len(words) <= room), wordings[-1])
