"""The fork of any two streams of a comparison, as far as the run kept what it takes."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison, Stream
from gelu_tui.core.safe_text import visible_line

_OTHER_SIDE = {"reference": "variant", "variant": "reference", "a": "b", "b": "a"}


def fork_seen_from(
    comparison: Comparison, reference_index: int, stream_index: int
) -> p.Fork | None:
    """The fork of a stream seen from another one, which takes the reference's place in it.

    `margins`, `probabilities` and `ranks` lack the keys of what the run did not keep. None where it
    kept no candidates of this pair; `why_no_fork` says why.
    """
    of_run = comparison.reference_index
    reference, stream = comparison.streams[reference_index], comparison.streams[stream_index]
    if reference is stream:
        return None
    if reference_index == of_run:
        return stream.fork
    if stream_index == of_run:
        return mirrored(reference.fork) if reference.fork else None
    if reference.fork is None or stream.fork is None:
        return None
    # Both still had the run's reference's tokens before this step, hence the same context.
    same_step = reference.fork.step == stream.fork.step
    if not same_step or reference.fork.variant_token == stream.fork.variant_token:
        return None
    return _between(reference, reference.fork, stream, stream.fork)


def mirrored(fork: p.Fork) -> p.Fork:
    """The same fork with the sides exchanged."""
    fields = {name: getattr(fork, name) for name in p.Fork.__struct_fields__}
    swapped = p.Fork(**_exchanged(fields))
    if fork.replay is None:
        return swapped
    replay = p.ForkReplay(**_exchanged(msgspec.structs.asdict(fork.replay)))
    return msgspec.structs.replace(swapped, replay=replay)


def _exchanged(values: dict[str, Any]) -> dict[str, Any]:
    """The sides exchanged in all names: `reference_a` becomes `variant_b`, and so on."""
    return {
        "_".join(_OTHER_SIDE.get(word, word) for word in name.split("_")): (
            _exchanged(value) if isinstance(value, dict) else value
        )
        for name, value in values.items()
    }


def replayed(fork: p.Fork) -> p.Fork | None:
    """The fork with the numbers of its replay in place of the run's; None without a replay."""
    if fork.replay is None:
        return None
    again = fork.replay
    return msgspec.structs.replace(
        fork,
        reference_top=again.reference_top,
        variant_top=again.variant_top,
        margins=again.margins,
        probabilities=again.probabilities,
        ranks=again.ranks,
    )


def _between(reference: Stream, of_reference: p.Fork, stream: Stream, of_stream: p.Fork) -> p.Fork:
    """Two forks from one context, put side by side: what is not in a top list is not known."""
    a, b = of_reference.variant_token, of_stream.variant_token
    reference_top, variant_top = of_reference.variant_top, of_stream.variant_top
    reference_a = of_reference.probabilities.get("variant_b")
    variant_b = of_stream.probabilities.get("variant_b")
    reference_b, b_in_reference = _found(reference_top, b)
    variant_a, a_in_variant = _found(variant_top, a)
    ranks = {"b_in_reference": b_in_reference, "a_in_variant": a_in_variant}
    again = f"run again with {visible_line(reference.name)} as the reference"
    return p.Fork(
        step=of_stream.step,
        reference_token=a,
        variant_token=b,
        reference_text=of_reference.variant_text,
        variant_text=of_stream.variant_text,
        reference_top=reference_top,
        variant_top=variant_top,
        margins=_known(
            reference=logit_margin(reference_a, reference_b),
            variant=logit_margin(variant_b, variant_a),
        ),
        probabilities=_known(
            reference_a=reference_a,
            reference_b=reference_b,
            variant_a=variant_a,
            variant_b=variant_b,
        ),
        ranks={key: rank for key, rank in ranks.items() if rank is not None},
        reason=f"this pair was not compared in the run itself; {again}",
    )


def _known(**values: float | None) -> dict[str, float]:
    return {key: value for key, value in values.items() if value is not None}


def _found(top: tuple[p.Candidate, ...], token: int) -> tuple[float | None, int | None]:
    """Probability and rank of a token in a top list."""
    for rank, candidate in enumerate(top):
        if candidate.id == token:
            return candidate.probability, rank
    return None, None


def logit_margin(own: float | None, other: float | None) -> float | None:
    """Logits between two tokens of one distribution, from their probabilities."""
    if not own or not other:
        return None
    return math.log(own) - math.log(other)


def kl_at_fork(comparison: Comparison, reference_index: int, stream_index: int) -> float | None:
    """KL in nats from the run's own reference at the fork of a pair; None for any other pair."""
    of_run = comparison.reference_index
    if of_run not in (reference_index, stream_index):
        return None
    stream = comparison.streams[stream_index if reference_index == of_run else reference_index]
    if stream.fork is None or stream.fork.step >= len(stream.steps):
        return None
    return stream.steps[stream.fork.step].kl
