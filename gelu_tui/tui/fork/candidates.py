"""The candidates of one side of a fork: a list of tokens with bars, as styled text."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from textual.content import Content

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.fork_sentences import percent, visible_token
from gelu_tui.core.comparison.forks import mirrored
from gelu_tui.core.reports.share_bar import bar
from gelu_tui.core.safe_text import visible_line

TAKEN_MARK = "●"
OTHERS_MARK = "○"
LEGEND = f"{TAKEN_MARK} taken here  {OTHERS_MARK} by the other  #n its place there"

_FIXED_CELLS = 19  # place, mark, percent and place in the other list, with the blanks between
_TOKEN_CELLS = (10, 22)
_BAR_CELLS = 60
_ORDINALS = ("first", "second", "third", "fourth", "fifth")


@dataclass(frozen=True)
class CandidateList:
    """One side of a fork, with this side as the fork's reference.

    `scale` is the probability of a full bar, the same on both sides.
    """

    name: str
    fork: p.Fork
    scale: float

    def summaries(self) -> tuple[str, str]:
        """How far the other side's token is behind: in a sentence, and in a short line."""
        rank, margin = self.fork.ranks.get("b_in_reference"), self.fork.margins.get("reference")
        where = f"not among the first {len(self.fork.reference_top)}"
        if rank is not None:
            where = _ORDINALS[rank] if 0 <= rank < len(_ORDINALS) else f"number {rank + 1:,}"
        if margin is None:
            return f"the other's token is {where}", f"other: {where}"
        ahead = f"{abs(margin):.3g} logits {'ahead' if margin >= 0 else 'behind'}"
        return f"{ahead}; the other's token is {where}", f"{ahead}; other: {where}"


def both_lists(fork: p.Fork, reference: str, variant: str) -> tuple[CandidateList, CandidateList]:
    """The reference's side and the variant's."""
    chances = [candidate.probability for candidate in (*fork.reference_top, *fork.variant_top)]
    scale = max(chances, default=1.0) or 1.0
    return CandidateList(reference, fork, scale), CandidateList(variant, mirrored(fork), scale)


def candidates(side: CandidateList, width: int, rows: int) -> Content:
    """The list in `rows` rows, then its summary; the two tokens taken are always in it.

    A token that is not among the side's best follows them, in an extra row if they all fit.
    """
    lines = [Content.styled(visible_line(side.name), "bold").truncate(width, ellipsis=True)]
    fork, top = side.fork, side.fork.reference_top
    chance, rank = fork.probabilities.get, fork.ranks.get
    own = p.Candidate(fork.reference_token, fork.reference_text, chance("reference_a") or 0.0)
    other = p.Candidate(fork.variant_token, fork.variant_text, chance("reference_b") or 0.0)
    place_of = {candidate.id: place for place, candidate in enumerate(top)}
    taken = ((own, rank("a_in_reference")), (other, rank("b_in_reference")))
    listed = {place_of[token.id] for token, _ in taken if token.id in place_of}
    below = [(token, rank) for token, rank in taken if token.id not in place_of]
    room = rows if rows >= len(top) else max(1, rows - len(below))
    first = [place for place in range(len(top)) if place not in listed]
    places = sorted((*listed, *first[: max(0, room - len(listed))]))
    shown = [*((top[place], place) for place in places), *below]
    lines += [_row(side, place, token, width) for token, place in shown]
    full, short = side.summaries()
    summary = full if cell_len(full) <= width else short
    lines.append(Content.styled(summary, "dim").truncate(width, ellipsis=True))
    return Content("\n").join(lines)


def _row(side: CandidateList, place: int | None, candidate: p.Candidate, width: int) -> Content:
    fork = side.fork
    taken, others = candidate.id == fork.reference_token, candidate.id == fork.variant_token
    known = not others or "reference_b" in fork.probabilities
    style = "bold $text-warning" if taken else "$text-warning" if others else ""
    bar_style = "$text-warning" if taken or others else "dim"
    room = max(0, width - _FIXED_CELLS)
    token_cells = min(max(room * 3 // 5, _TOKEN_CELLS[0]), _TOKEN_CELLS[1], room)
    bar_cells = min(room - token_cells, _BAR_CELLS)
    number = "?" if place is None else str(place + 1) if place < 999 else "…"
    places = (rank for rank, listed in enumerate(fork.variant_top) if listed.id == candidate.id)
    there = next(places, None)
    token = Content.styled(visible_token(candidate.text, candidate.id), style)
    return Content.assemble(
        (f"{number:>3} ", "dim"),
        (f"{TAKEN_MARK if taken else OTHERS_MARK if others else ' '} ", style),
        token.truncate(token_cells, ellipsis=True, pad=True),
        (f"{percent(candidate.probability) if known else '?':>8}", style),
        (f"{'–' if there is None else f'#{there + 1}':>4} ", "dim"),
        (bar(candidate.probability / side.scale if known else 0.0, bar_cells), bar_style),
    ).truncate(width)
