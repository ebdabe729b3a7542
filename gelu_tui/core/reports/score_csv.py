"""A scoring as CSV: a row for each token and function."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator

from gelu_tui.core.errors import GeluError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.scoring.document import ScoreDocument
from gelu_tui.core.scoring.tokens import Figures

SCORE_COLUMNS = (
    "token", "window", "id", "text", "function", "logprob", "probability", "kl", "delta_p",
    "same_top_1",
)  # fmt: skip
ScoreRow = tuple[int, int, int, str, str, float | None, float | None, float | None, float | None,
                 int | None]  # fmt: skip


def score_csv(document: ScoreDocument) -> str:
    """The tokens of a scoring with a header; a value that there is not is empty.

    Raises `GeluError` if it was saved without them.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(SCORE_COLUMNS)
    writer.writerows(score_rows(document))
    return file.getvalue()


def score_rows(document: ScoreDocument) -> Iterator[ScoreRow]:
    """A row of `SCORE_COLUMNS` for each token, and in it for each function.

    Text is on one line, with a glyph for every character that could act on a terminal; the token's
    id is exact. `delta_p` is in percentage points. Raises `GeluError`.
    """
    if (text := document.text) is None:
        hint = "Score the text again, with --tokens or --format csv."
        raise GeluError("no_tokens", "This scoring was saved without its tokens.", hint)
    names = [variant.name for variant in document.variants]
    reference = names.index(document.reference)
    for number, (token, piece) in enumerate(zip(text.ids, text.texts, strict=True)):
        where = (number, text.windows[number], token, visible_line(piece))
        for index, name in enumerate(names):
            found = text.figures(number, index, reference)
            yield (*where, visible_line(name), *_cells(found))


def _cells(
    found: Figures,
) -> tuple[float | None, float | None, float | None, float | None, int | None]:
    chance = None if found.logprob is None else math.exp(min(0.0, found.logprob))
    same = None if found.same_top_1 is None else int(found.same_top_1)
    return found.logprob, chance, found.kl, found.delta_p, same
