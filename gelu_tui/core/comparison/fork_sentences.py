"""Forks in sentences, for the fork view, the matrix, text reports and documents."""

from __future__ import annotations

import math

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.forks import fork_seen_from, logit_margin, mirrored, run_again
from gelu_tui.core.comparison.standing import count_tokens, standing
from gelu_tui.core.comparison.state import Agreement, Comparison
from gelu_tui.core.safe_text import quoted, visible_line

# Logits between the two tokens: e^0.5 is 1.6 times as likely, e^2 is 7.4 times.
_CLOSE, _CLEAR = 0.5, 2.0

_ORDINALS = ("first", "second", "third", "fourth", "fifth")


def visible_token(text: str, token: int | None = None) -> str:
    """Return a token on one line, with blanks at its ends as ␣; without a text, its id."""
    if not text:
        return "" if token is None else f"token {token}"
    shown = visible_line(text)
    ends = shown.lstrip(" ").rjust(len(shown), "␣")
    return ends.rstrip(" ").ljust(len(shown), "␣")


def percent(probability: float | None) -> str:
    """Return a probability in per cent; a small one is never 0."""
    if probability is None:
        return "?"
    return "<0.1 %" if 0 < probability < 0.001 else f"{probability * 100:.1f} %"


def explain_pair(comparison: Comparison, reference_index: int, stream_index: int) -> str:
    """Return how two streams compare: their fork, or why there is none."""
    fork = fork_seen_from(comparison, reference_index, stream_index)
    if fork is None:
        return why_no_fork(comparison, reference_index, stream_index)
    names = (comparison.streams[index].name for index in (reference_index, stream_index))
    return explain_fork(fork, *names)


def explain_fork(fork: p.Fork, reference: str, variant: str) -> str:
    """Return what happened at a fork, in two sentences; the names are those of the two sides."""
    one, other = visible_line(reference), visible_line(variant)
    took_a = _token(
        fork.reference_text, fork.reference_token, fork.probabilities.get("reference_a")
    )
    took_b = _token(fork.variant_text, fork.variant_token, fork.probabilities.get("variant_b"))
    took = f"At token {fork.step} {one} took {took_a} and {other} took {took_b}."
    call, ranks = _call(fork, one, other), _ranks(fork, one, other)
    return f"{took} {call}: {ranks}." if call and ranks else took


def _token(text: str, token: int, probability: float | None = None) -> str:
    """A token in quotes, with its probability in parentheses if it is known."""
    shown = quoted(visible_token(text, token), 24)
    return shown if probability is None else f"{shown} ({percent(probability)})"


def _ranks(fork: p.Fork, one: str, other: str) -> str:
    """Where each side had the other's token in its list."""
    ranks = [fork.ranks.get(key) for key in ("b_in_reference", "a_in_variant")]
    margins = [fork.margins.get(key) for key in ("reference", "variant")]
    far = [_number(margin) for margin in margins if margin is not None and margin >= 0]
    if ranks == [1, 1] and len(far) == 2:
        return f"each had the other's token second, {' and '.join(far)} logits behind its own"
    tops = (fork.reference_top, fork.variant_top)
    parts = []
    for name, rank, margin, top in zip((one, other), ranks, margins, tops, strict=True):
        if rank is not None:
            place = _ORDINALS[rank] if 0 <= rank < len(_ORDINALS) else f"at place {rank + 1:,}"
            side = "ahead" if margin is not None and margin < 0 else "behind"
            behind = "" if margin is None else f" ({_logits(margin)} {side})"
            parts.append(f"{name} had the other's token {place}{behind}")
        elif top:
            parts.append(f"{name} had the other's token not among its first {len(top)}")
    return ", ".join(parts)


def _call(fork: p.Fork, one: str, other: str) -> str:
    """How close the decision was on both sides; empty where that is not known."""
    margins = [fork.margins.get(key) for key in ("reference", "variant")]
    if any(margin is not None and margin < 0 for margin in margins):
        return "The draw decided"  # the most probable token was not taken
    first, second = _least_margin(fork), _least_margin(mirrored(fork))
    if first is None or second is None:
        return ""
    near, far = sorted((first, second))
    if near >= _CLEAR:
        return "A clear difference"
    if None in margins:
        return "Not a close call"
    # "Tie" is a verdict's word.
    call = "A dead heat" if near == 0 else "A close call"
    if far < _CLOSE:
        return call
    one_sided = near == 0 or (near < _CLOSE and far >= _CLEAR)
    nearer = one if first < second else other
    return f"{call} for {nearer} only" if one_sided else "Not a close call"


def is_close(fork: p.Fork) -> bool:
    """Whether both sides had the two tokens near each other, or which one it was is not known."""
    margins = [_least_margin(fork), _least_margin(mirrored(fork))]
    return all(margin is None or abs(margin) < _CLEAR for margin in margins)


def _least_margin(fork: p.Fork) -> float | None:
    """The reference's margin, or a lower bound: an unlisted token comes after the last listed."""
    if (margin := fork.margins.get("reference")) is not None:
        return margin
    last = fork.reference_top[-1].probability if fork.reference_top else None
    return logit_margin(fork.probabilities.get("reference_a"), last)


def _number(margin: float) -> str:
    """The size of a margin with two significant digits or two decimals."""
    size = abs(margin)
    if 0 < size < 1e-4:
        return "<0.0001"
    return "0" if size == 0 else f"{size:.2f}" if size >= 0.01 else f"{size:.4f}"


def _logits(margin: float) -> str:
    return f"{_number(margin)} logits"


def explain_verdict(fork: p.Fork, reference: str, variant: str) -> str:
    """Return what made the fork, formula or rounding, in one sentence."""
    one, other = visible_line(reference), visible_line(variant)
    a = _token(fork.reference_text, fork.reference_token)
    b = _token(fork.variant_text, fork.variant_token)
    margins = fork.replay.score_margins if fork.replay else {}
    m_r, m_v = margins.get("reference"), margins.get("variant")
    by_r, by_v = ("" if m is None else f" (by {_logits(m)})" for m in (m_r, m_v))
    # Under sampling no side prefers the token that it took: it drew it.
    drawn = fork.replay is not None and fork.replay.score_margins != fork.replay.margins
    again = "replayed in float32 with the same draw" if drawn else "replayed in float32"
    prefer = "draw" if drawn else "prefer"
    match fork.verdict:
        case "formula":
            one_still = f"{one} draws {a} again" if drawn else f"{one} still prefers {a}"
            still = f"{one_still}{by_r} and {other} {'' if drawn else 'still '}{b}{by_v}"
            return f"The formula made this fork: {again}, {still}."
        case "rounding":
            keeps_a = m_r > 0 if m_r is not None else (m_v or 0) <= 0
            return (
                f"Rounding made this fork, not the formula: {again}, both {prefer} "
                f"{a if keeps_a else b}, {one}{by_r} and {other}{by_v}."
            )
        case "tie" if m_r is not None and m_v is not None and max(m_r, m_v) <= 0 and m_r + m_v < 0:
            return (
                f"A tie: {again}, each {prefer}s the token that the other took, so it was nothing "
                "but chance."
            )
        case "tie":
            sides = [(m, name) for name, m in ((one, m_r), (other, m_v)) if m is not None]
            margin, near = min(sides, key=lambda side: side[0], default=(None, one))
            if margin == 0:
                return f"A tie: {again}, both tokens are equal to {near}, to the last bit."
            little = "too little to count" if margin is None else f"only {_logits(margin)}"
            return (
                f"A tie: {again}, the two still {prefer} different tokens, but {near} by {little}: "
                "anything would have flipped it."
            )
        case "unverified":
            reason = visible_line(fork.reason) or "there was no replay"
            return f"Not checked: {reason}."


def why_no_fork(comparison: Comparison, reference_index: int, stream_index: int) -> str:
    """Return why a pair has no fork with candidates."""
    pair = (reference_index, stream_index)
    reference, stream = (comparison.streams[index] for index in pair)
    one, other = visible_line(reference.name), visible_line(stream.name)
    if reference is stream:
        return f"This is {other} itself: there is nothing to compare."
    agreement = Agreement(reference, stream)
    agreement.update()
    step = agreement.first_divergent_token
    if step is None:
        if agreement.agreed:
            return f"{one} and {other}: {standing(reference, stream, None).long}."
        return f"{other if reference.tokens else one} has no tokens to compare."
    ends = {len(reference.tokens): (one, other), len(stream.tokens): (other, one)}
    if step in ends:
        return f"{ends[step][0]} ended after {count_tokens(step)}, where {ends[step][1]} went on."
    a, b = (_taken(comparison, index, step) for index in pair)
    took = f"At token {step} {one} took {a} and {other} took {b}."
    if comparison.reference_index in pair:
        return f"{took} The run kept no candidates of this fork."
    to_see = "" if reference.variant.limits else " to see them"
    return f"{took} No candidates were kept for this pair; {run_again(reference)}{to_see}."


def _taken(comparison: Comparison, index: int, step: int) -> str:
    """A stream's token, with the probability under that stream."""
    stream = comparison.streams[index]
    logprob = stream.steps[step].logprob
    probability = None if logprob is None else math.exp(min(0.0, logprob))
    return _token(token_text(comparison, index, step), stream.tokens[step], probability)


def token_text(comparison: Comparison, index: int, step: int) -> str:
    """Return the text of one token of a stream; empty beyond the end.

    Forks come first: a stream has no text for a token that completes no character.
    """
    stream = comparison.streams[index]
    if step >= len(stream.tokens):
        return ""
    token = stream.tokens[step]
    for fork in (other.fork for other in comparison.streams):
        if fork is not None and fork.step == step:
            if fork.reference_token == token:
                return fork.reference_text
            if fork.variant_token == token:
                return fork.variant_text
    return stream.segments[step]
