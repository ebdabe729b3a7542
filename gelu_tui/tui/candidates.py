"""What a stream might have taken at a fork: a list of tokens with bars, as styled text."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content

from gelu_tui.core import protocol as p
from gelu_tui.core.explanation import percent, visible_token
from gelu_tui.core.forks import mirrored
from gelu_tui.core.safe_text import visible_line

TAKEN_MARK = "●"
OTHERS_MARK = "○"
LEGEND = f"{TAKEN_MARK} taken here  {OTHERS_MARK} by the other  #n its place there"

_EIGHTHS = " ▏▎▍▌▋▊▉"

# Place, mark, percent and place in the other list, with the blanks between them.
_FIXED_CELLS = 19
_TOKEN_CELLS = (10, 22)
_BAR_CELLS = 60


@dataclass(frozen=True)
class CandidateList:
    """One side of a fork. `other_*` is about the token that the other side took.

    Probabilities and ranks that are not known are None; ranks count from 0.
    """

    name: str
    top: tuple[p.Candidate, ...]
    own: p.Candidate
    own_rank: int | None
    other: p.Candidate
    other_known: bool
    other_rank: int | None
    margin: float | None
    others_places: dict[int, int]  # token to its rank in the other side's list
    scale: float  # the probability of a full bar, the same on both sides

    @property
    def summary(self) -> str:
        """How far the other's token is behind, in one short line."""
        where = "" if self.other_rank is None else f"other's #{self.other_rank + 1:,}"
        if self.margin is None:
            return where or f"other's: not among the {len(self.top)}"
        margin = f"margin {self.margin:.3g} logits".replace("-", "−")
        return f"{margin}, {where}" if where else margin


def both_lists(fork: p.Fork, reference: str, variant: str) -> tuple[CandidateList, CandidateList]:
    """The reference's side and the variant's."""
    chances = [candidate.probability for candidate in (*fork.reference_top, *fork.variant_top)]
    scale = max(chances, default=1.0) or 1.0
    return _reference_side(fork, reference, scale), _reference_side(mirrored(fork), variant, scale)


def _reference_side(fork: p.Fork, name: str, scale: float) -> CandidateList:
    p_a, p_b = (fork.probabilities.get(key) for key in ("reference_a", "reference_b"))
    return CandidateList(
        name,
        fork.reference_top,
        p.Candidate(fork.reference_token, fork.reference_text, p_a or 0.0),
        fork.ranks.get("a_in_reference"),
        p.Candidate(fork.variant_token, fork.variant_text, p_b or 0.0),
        p_b is not None,
        fork.ranks.get("b_in_reference"),
        fork.margins.get("reference"),
        {candidate.id: rank for rank, candidate in enumerate(fork.variant_top)},
        scale,
    )


def candidates(side: CandidateList, width: int, rows: int) -> Content:
    """The list in `rows` rows, then its summary; the two tokens taken are always in it.

    Where there is room for all of the list, a token that is not in it stands below, in a row more.
    """
    lines = [Content.styled(visible_line(side.name), "bold").truncate(width, ellipsis=True)]
    place_of = {candidate.id: place for place, candidate in enumerate(side.top)}
    taken = ((side.own, side.own_rank), (side.other, side.other_rank))
    listed = {place_of[token.id] for token, _ in taken if token.id in place_of}
    below = [(token, rank) for token, rank in taken if token.id not in place_of]
    room = rows if rows >= len(side.top) else max(1, rows - len(below))
    first = [place for place in range(len(side.top)) if place not in listed]
    places = sorted((*listed, *first[: max(0, room - len(listed))]))
    lines += [_row(side, place, side.top[place], width) for place in places]
    lines += [_row(side, rank, token, width) for token, rank in below]
    lines.append(Content.styled(side.summary, "dim").truncate(width, ellipsis=True))
    return Content("\n").join(lines)


def _row(side: CandidateList, place: int | None, candidate: p.Candidate, width: int) -> Content:
    taken, others = candidate.id == side.own.id, candidate.id == side.other.id
    known = side.other_known or not others
    style = "bold $text-warning" if taken else "$text-warning" if others else ""
    bar_style = "$text-warning" if taken or others else "dim"
    room = max(0, width - _FIXED_CELLS)
    token_cells = min(max(room * 3 // 5, _TOKEN_CELLS[0]), _TOKEN_CELLS[1], room)
    bar_cells = min(room - token_cells, _BAR_CELLS)
    number = "?" if place is None else str(place + 1) if place < 999 else "…"
    there = side.others_places.get(candidate.id)
    return Content.assemble(
        (f"{number:>3} ", "dim"),
        (f"{TAKEN_MARK if taken else OTHERS_MARK if others else ' '} ", style),
        Content.styled(visible_token(candidate.text, candidate.id), style).truncate(
            token_cells, ellipsis=True, pad=True
        ),
        (f"{percent(candidate.probability) if known else '?':>8}", style),
        (f"{'–' if there is None else f'#{there + 1}':>4} ", "dim"),
        (_bar(candidate.probability / side.scale if known else 0.0, bar_cells), bar_style),
    ).truncate(width)


def _bar(share: float, cells: int) -> str:
    """A bar in eighths of a cell; what is not 0 is seen."""
    eighths = round(min(1.0, max(0.0, share)) * cells * 8)
    if share > 0 and cells:
        eighths = max(1, eighths)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")
