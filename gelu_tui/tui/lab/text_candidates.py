"""What could have stood at one place of the text: both functions' lists, as styled text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.fork_sentences import percent, visible_token
from gelu_tui.core.reports.share_bar import bar
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.lab.text_scoring import Candidates, ShownText

_MARK = "●"
_FIXED = 4 + 2 + 9 + 5  # place, mark, per cent and the place in the other list
_GUTTER = 2
_SIDE_BY_SIDE = 56  # columns
_ROWS = 10
_LEGEND = f"{_MARK} the text's own token  #n its place in the other list"


class CandidatesPart(VerticalScroll):
    """The candidates of the token that was asked for, or why there are none yet."""

    def compose(self) -> ComposeResult:
        yield Static(id="lists", markup=False)

    def show(self, shown: ShownText) -> None:
        """Show those of a scoring, if any were asked for."""
        scoring, asked = shown.state, shown.candidates
        if scoring is None or asked is None:
            return
        names = scoring.started.variants
        pair = (names[scoring.started.reference].name, names[asked.variant].name)
        room = self.scrollable_content_region.width or self.screen.size.width - 3
        width = max(20, room - 1)
        lists = waiting(shown, asked)
        if asked.found is not None:
            found = candidate_lists(asked.found, pair, width, _ROWS)
            lists = Content.assemble(found, "\n", (_LEGEND, "dim"))
        title = candidates_title(shown, asked, width)
        self.query_one("#lists", Static).update(Content.assemble(title, "\n", lists))


def candidate_lists(
    found: p.CandidatesFound, names: tuple[str, str], width: int, rows: int
) -> Content:
    """Both lists, side by side where there is room; the text's own token is marked."""
    beside = width >= _SIDE_BY_SIDE
    each = (width - _GUTTER) // 2 if beside else width
    chances = [candidate.probability for candidate in (*found.reference_top, *found.variant_top)]
    scale = max(chances, default=1.0) or 1.0
    tops, own = (found.reference_top, found.variant_top), (found.reference, found.other)
    made = []
    for side in (0, 1):
        lines = [Content.styled(visible_line(names[side]), "bold")]
        shown = tops[side][:rows]
        if found.token not in (candidate.id for candidate in shown):
            lines.append(_own(own[side]))
        for place, candidate in enumerate(shown):
            lines.append(_row(place, candidate, found.token, tops[1 - side], scale, each))
        made.append([line.truncate(each, ellipsis=True) for line in lines])
    if not beside:
        return Content("\n").join([*made[0], Content(), *made[1]])
    height = max(map(len, made))
    for lines in made:
        lines += [Content()] * (height - len(lines))
    gap = " " * _GUTTER
    return Content("\n").join(
        Content.assemble(left.truncate(each, pad=True), gap, right)
        for left, right in zip(*made, strict=True)
    )


def _row(
    place: int,
    candidate: p.Candidate,
    token: int,
    others: Sequence[p.Candidate],
    scale: float,
    width: int,
) -> Content:
    is_own = candidate.id == token
    style = "bold $text-warning" if is_own else ""
    there = next((at for at, other in enumerate(others) if other.id == candidate.id), None)
    room = max(0, width - _FIXED)
    token_cells = min(room, max(10, min(20, room * 3 // 5)))
    text = Content.styled(visible_token(candidate.text, candidate.id), style)
    return Content.assemble(
        (f"{place + 1:>3} ", "dim"),
        (f"{_MARK if is_own else ' '} ", style),
        text.truncate(token_cells, ellipsis=True, pad=True),
        (f"{percent(candidate.probability):>9}", style),
        (f"{'–' if there is None else f'#{there + 1}':>4} ", "dim"),
        (bar(candidate.probability / scale, room - token_cells), style or "dim"),
    )


def _own(chance: p.TokenChance) -> Content:
    """The text's own token where it is not among those that are listed."""
    probability = percent(math.exp(min(0.0, chance.logprob)))
    said = f"the text's: number {chance.rank + 1:,}, {probability}"
    return Content.assemble((f"    {_MARK} ", "bold $text-warning"), (said, "$text-warning"))


def candidates_title(shown: ShownText, asked: Candidates, width: int) -> Content:
    """The place that candidates are of, with the text before it."""
    assert shown.state is not None
    text = shown.state.text
    before = visible_line("".join(text.texts[max(0, asked.token - 40) : asked.token]))
    piece = visible_token(text.texts[asked.token], text.ids[asked.token])
    head = f"{asked.token:,} "
    room = max(0, width - cell_len(head) - cell_len(piece) - 2)
    while before and cell_len(before) > room:
        before = before[max(1, (cell_len(before) - room) // 2) :]
    return Content.assemble((head, "bold"), (before, "dim"), (f"►{piece}◄", "bold"))


def waiting(shown: ShownText, asked: Candidates) -> Content:
    """Why there are no candidates yet."""
    if asked.error is not None:
        error = (f"✗ {visible_line(asked.error.message)}", "bold $text-error")
        return Content.assemble(error, f" {visible_line(asked.error.hint)}")
    if shown.is_live:
        return Content("The engine answers when the scoring has ended, or is stopped (^g).")
    return Content("The engine computes them; without a model, it loads it first.")
