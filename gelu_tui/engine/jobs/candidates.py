"""What could have stood at one place of a scored text, under the reference and one variant."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.activation_sites import rowwise
from gelu_tui.engine.compute.decode import vocabulary_of
from gelu_tui.engine.compute.functions import function_of
from gelu_tui.engine.compute.statistics import Distribution, Logits, NotANumber
from gelu_tui.engine.failures import IsCancelled, stop_if
from gelu_tui.engine.jobs.prompt import check_tokens
from gelu_tui.engine.jobs.request import resolve_variants
from gelu_tui.engine.jobs.score import Position, positions_at_once
from gelu_tui.engine.models.loading import LoadedModel


def find_candidates(
    loaded: LoadedModel, command: p.Candidates, cancelled: IsCancelled
) -> p.CandidatesFound:
    """The most probable tokens of both functions, with the numbers of the scoring to the bit.

    For that the window is fed in the same chunks as when it was scored, the tokens behind the place
    in the last of them included: kernels of another shape may round otherwise. Raises `GeluError`
    and `Interrupted`.
    """
    variants, _, reference = resolve_variants(loaded, command.settings, room=False)
    tokens, place, other = list(command.tokens), command.place, command.variant
    if not (0 <= other < len(variants) and 0 < place < len(tokens)):
        raise GeluError("place", "There is nothing to predict at this place.", "Choose another.")
    if len(tokens) - 1 > loaded.context_length:
        message = f"The window has more tokens than this model's context ({loaded.context_length})."
        raise GeluError("context", message, "Score the text with this model.")
    check_tokens(loaded, tokens)
    precision = command.settings.activation_precision
    found: list[Logits] = []
    with rowwise(loaded.model) as sites:
        for row in (reference, other):
            with sites.use(function_of(variants[row], precision)):
                try:
                    found.append(_logits(loaded, tokens, place, cancelled))
                except NotANumber:
                    name = visible_line(variants[row].name)
                    message = f"The logits of {name} are not numbers at this place."
                    raise GeluError("not_finite", message, "Score the text again.") from None
    mx.clear_cache()
    token, (r, v) = tokens[place], map(Distribution.of, found)
    logprob, kl, same = Position(found[0], token).against(found[1])

    def top(side: Distribution) -> tuple[p.Candidate, ...]:
        ids = side.top(max(1, min(command.count, 100)))
        return tuple(p.Candidate(t, loaded.tokenizer.piece(t), side.probability(t)) for t in ids)

    return p.CandidatesFound(
        variant=other,
        token=token,
        reference_top=top(r),
        variant_top=top(v),
        reference=p.TokenChance(r.logprob(token), r.rank(token)),
        other=p.TokenChance(logprob, v.rank(token)),
        kl=kl,
        same_top=same,
    )


def _logits(loaded: LoadedModel, tokens: list[int], place: int, cancelled: IsCancelled) -> Logits:
    """Logits of shape (vocabulary,) for the token at `place`.

    Raises `NotANumber` and `Interrupted`.
    """
    model: Any = loaded.model
    chunk = positions_at_once(vocabulary_of(model), loaded.info.dtype)
    cache = make_prompt_cache(model)
    for start in range(0, place, chunk):
        stop_if(cancelled())
        inputs = tokens[start : min(start + chunk, len(tokens) - 1)]
        logits = model(mx.array([inputs]), cache=cache)[0]
        if start + chunk < place:
            mx.eval(caches.arrays(cache))  # and not the output head
    row = np.array(logits.astype(mx.float32), copy=False)[place - 1 - start].copy()
    if not np.isfinite(row.max()):
        raise NotANumber
    return row
