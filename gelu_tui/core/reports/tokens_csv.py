"""A comparison as CSV: a row for each token of each stream."""

from __future__ import annotations

import csv
import io

from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.safe_text import visible_line

_COLUMNS = ("function", "step", "token", "text", "logprob", "margin", "kl", "decode_s", "diverges")


def tokens_csv(document: ComparisonDocument) -> str:
    """The tokens of a document, with a header; a value that there is not is empty.

    Of a row, `diverges` is 1 at the first divergent token and 0 elsewhere. Text is on one line,
    with a glyph for every character that could act on a terminal; the token's id is exact.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for variant in document.variants:
        for number, (token, step) in enumerate(zip(variant.tokens, variant.steps, strict=False)):
            figures = (step.logprob, step.margin, step.kl, step.decode_s)
            diverges = int(number == variant.first_divergent_token)
            name, text = visible_line(variant.name), visible_line(step.text)
            writer.writerow((name, number, token, text, *figures, diverges))
    return file.getvalue()
