"""A comparison as CSV: a row for each token of each stream."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.safe_text import visible_line

TOKEN_COLUMNS = (
    "function", "step", "token", "text", "logprob", "margin", "kl", "decode_s", "diverges",
)  # fmt: skip
TokenRow = tuple[str, int, int, str, float | None, float | None, float | None, float | None, int]


def tokens_csv(document: ComparisonDocument) -> str:
    """The tokens of a document, with a header; a value that there is not is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(TOKEN_COLUMNS)
    writer.writerows(token_rows(document))
    return file.getvalue()


def token_rows(document: ComparisonDocument) -> Iterator[TokenRow]:
    """A row of `TOKEN_COLUMNS` for each token.

    `diverges` is 1 at the first divergent token and 0 elsewhere. Text is on one line, with a glyph
    for every character that could act on a terminal; the token's id is exact.
    """
    for variant in document.variants:
        name = visible_line(variant.name)
        for number, (token, step) in enumerate(zip(variant.tokens, variant.steps, strict=False)):
            figures = (step.logprob, step.margin, step.kl, step.decode_s)
            diverges = int(number == variant.first_divergent_token)
            yield (name, number, token, visible_line(step.text), *figures, diverges)
