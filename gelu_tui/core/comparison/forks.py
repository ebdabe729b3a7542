"""The fork of any two streams of a comparison, from the candidates that the run kept."""

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
    """Return the fork of a stream with another stream as its reference.

    `margins`, `probabilities` and `ranks` lack the keys of what the run did not keep. None where it
    kept no candidates of this pair; `why_no_fork` returns the reason.
    """
    of_run = comparison.reference_index
    reference, stream = comparison.streams[reference_index], comparison.streams[stream_index]
    if of_run in (reference_index, stream_index):
        if reference_index == of_run:
            return stream.fork if reference is not stream else None
        return mirrored(reference.fork) if reference.fork else None
    one, other = reference.fork, stream.fork
    # At one step both contexts are the tokens of the run's reference, so they are equal.
    if one and other and one.step == other.step and one.variant_token != other.variant_token:
        return _between(one, other, run_again(reference))
    return None


def run_again(reference: Stream) -> str:
    """Return what shows all of a pair that the run did not compare."""
    if reference.variant.limits is not None:
        return "a function with limits cannot be a run's reference"
    return f"run again with {visible_line(reference.name)} as the reference"


def mirrored(fork: p.Fork) -> p.Fork:
    """Return the same fork with the sides exchanged."""
    # A document's fork has more fields.
    fields = {name: getattr(fork, name) for name in p.Fork.__struct_fields__}
    del fields["what_if"]  # it is of one side
    swapped = p.Fork(**_exchanged(fields))
    if fork.replay is None:
        return swapped
    replay = p.ForkReplay(**_exchanged(msgspec.structs.asdict(fork.replay)))
    return msgspec.structs.replace(swapped, replay=replay)


def _exchanged(values: dict[str, Any]) -> dict[str, Any]:
    """Exchange the sides in all names: `reference_a` becomes `variant_b`, and so on."""
    return {
        "_".join(_OTHER_SIDE.get(word, word) for word in name.split("_")): (
            _exchanged(value) if isinstance(value, dict) else value
        )
        for name, value in values.items()
    }


def replayed(fork: p.Fork) -> p.Fork | None:
    """Return the fork with the numbers of its replay instead of the run's; None without one."""
    if fork.replay is None:
        return None
    numbers = msgspec.structs.asdict(fork.replay)
    del numbers["score_margins"]
    return msgspec.structs.replace(fork, **numbers)


def _between(of_reference: p.Fork, of_stream: p.Fork, again: str) -> p.Fork:
    """Join the forks of two streams from one context; what no top list has is unknown.

    `again` says what would show it.
    """
    a, b = of_reference.variant_token, of_stream.variant_token
    reference_top, variant_top = of_reference.variant_top, of_stream.variant_top
    reference_a = of_reference.probabilities.get("variant_b")
    variant_b = of_stream.probabilities.get("variant_b")
    reference_b, b_in_reference = _found(reference_top, b)
    variant_a, a_in_variant = _found(variant_top, a)
    ranks = {"b_in_reference": b_in_reference, "a_in_variant": a_in_variant}
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
    """Return probability and rank of a token in a top list."""
    found = (
        (candidate.probability, rank) for rank, candidate in enumerate(top) if candidate.id == token
    )
    return next(found, (None, None))


def logit_margin(own: float | None, other: float | None) -> float | None:
    """Return the logit difference of two tokens of one distribution from their probabilities."""
    return math.log(own) - math.log(other) if own and other else None


def kl_at_fork(comparison: Comparison, reference_index: int, stream_index: int) -> float | None:
    """Return the KL in nats at a fork with the run's own reference; None for any other pair."""
    of_run = comparison.reference_index
    if of_run not in (reference_index, stream_index):
        return None
    stream = comparison.streams[stream_index if reference_index == of_run else reference_index]
    if stream.fork is None or stream.fork.step >= len(stream.steps):
        return None
    return stream.steps[stream.fork.step].kl
