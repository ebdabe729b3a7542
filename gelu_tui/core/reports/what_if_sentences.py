"""What came of the reference's token at the forks of a run, in sentences."""

from __future__ import annotations

from gelu_tui.core.comparison.what_if import explain_what_if, nothing_to_give
from gelu_tui.core.runs.document import ComparisonDocument, VariantDocument


def what_if_sentence(document: ComparisonDocument, variant: VariantDocument) -> str:
    """Return how a stream went on that was given the reference's token at its fork.

    Where that was asked for and there was no such token, why; empty where it was not asked for.
    """
    fork, reference = variant.fork, document.reference_variant
    if fork is None:
        return ""
    if fork.what_if is not None:
        return explain_what_if(fork, reference.name, variant.name, len(reference.tokens))
    if not document.settings.what_if:
        return ""
    ended = (len(reference.tokens), reference.finish_reason)
    return nothing_to_give(fork, reference.name, *ended) or "What if was not tried here."
