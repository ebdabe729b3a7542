"""A saved scoring as the state that it was saved from."""

from __future__ import annotations

from itertools import groupby

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.scoring.document import ScoreDocument
from gelu_tui.core.scoring.statistics import Scoring
from gelu_tui.core.scoring.tokens import ScoredTokens


def restored(document: ScoreDocument) -> Scoring:
    """The tokens of a saved scoring with their numbers; its statistics are the document's.

    A function that failed has none. Raises `GeluError` if the scoring was saved without tokens.
    """
    if (text := document.text) is None:
        hint = "Score the text again with --tokens, or export it from the app as JSON."
        raise GeluError("no_tokens", "This scoring was saved without its tokens.", hint)
    variants = tuple(
        p.VariantInfo(v.name, v.formula, v.precision, v.native, v.control)
        for v in document.variants
    )
    reference = [variant.name for variant in variants].index(document.reference)
    started = p.ScoreStarted(
        variants,
        reference,
        document.tokens,
        document.windows,
        document.positions,
        document.settings.context,
        document.documents,
        tuple(text.bos),
    )
    scoring = Scoring(started)
    try:
        for index, variant in enumerate(document.variants):
            if variant.error is not None or not text.variants[index].logprob:
                scoring.apply(p.ScoreFailed(index, variant.error or _NO_NUMBERS))
        for window, places in groupby(range(len(text.ids)), text.windows.__getitem__):
            scoring.apply(_chunk(text, window, list(places), scoring))
    except (p.ProtocolError, TypeError):
        message = "The tokens of this scoring have not the numbers that they should."
        raise GeluError("not_a_document", message, "Score the text again.") from None
    return scoring


_NO_NUMBERS = GeluError("no_numbers", "Its numbers were not saved.").info


def _chunk(text: ScoredTokens, window: int, places: list[int], scoring: Scoring) -> p.ScoreChunk:
    reference = scoring.started.reference
    of_reference = text.variants[reference].logprob
    known = [at for at in places if at < len(of_reference) and of_reference[at] is not None]
    rows = []
    for index, row in enumerate(scoring.rows):
        if row.error is None and index != reference:
            own = text.variants[index]
            columns = (own.logprob, own.kl, own.same_top_1)
            numbers = (tuple(column[at] for at in known) for column in columns)
            rows.append(p.ScoredRow(index, *numbers))  # type: ignore[arg-type]
    return p.ScoreChunk(
        tuple(of_reference[at] for at in known),  # type: ignore[misc]
        (0.0,) * len(known),
        tuple(rows),
        cluster=window,
        window=window,
        tokens=tuple(text.ids[at] for at in places),
        texts=tuple(text.texts[at] for at in places),
    )
