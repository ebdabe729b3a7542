"""Forks in plain sentences: for the fork view, the matrix, text reports and documents."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.forks import fork_seen_from, logit_margin, mirrored
from gelu_tui.core.comparison.standing import count_tokens, standing
from gelu_tui.core.comparison.state import Agreement, Comparison
from gelu_tui.core.safe_text import quoted, visible_line

# Logits between the two tokens: e^0.5 is 1.6 times as likely, e^2 is 7.4 times.
_CLOSE, _CLEAR = 0.5, 2.0

_ORDINALS = ("first", "second", "third", "fourth", "fifth")


def visible_token(text: str, token: int | None = None) -> str:
    """A token on one line, with blanks at its ends as ␣; without a text, its id."""
    if not text:
        return "" if token is None else f"token {token}"
    shown = visible_line(text)
    inner = shown.strip(" ")
    left = len(shown) - len(shown.lstrip(" "))
    right = len(shown) - left - len(inner)
    return "␣" * left + inner + "␣" * right


def percent(probability: float | None) -> str:
    """A probability as people write it; a small one never as 0."""
    if probability is None:
        return "?"
    if 0 < probability < 0.001:
        return "<0.1 %"
    return f"{probability * 100:.1f} %"


def explain_pair(comparison: Comparison, reference_index: int, stream_index: int) -> str:
    """How two streams stand to each other: their fork, or why there is none."""
    fork = fork_seen_from(comparison, reference_index, stream_index)
    if fork is None:
        return why_no_fork(comparison, reference_index, stream_index)
    names = (comparison.streams[index].name for index in (reference_index, stream_index))
    return explain(fork, *names)


def explain(fork: p.Fork, reference: str, variant: str) -> str:
    """What happened at a fork, in two plain sentences; the names are those of the two sides."""
    one, other = visible_line(reference), visible_line(variant)
    a = _quoted(fork.reference_text, fork.reference_token)
    b = _quoted(fork.variant_text, fork.variant_token)
    p_a, p_b = (fork.probabilities.get(key) for key in ("reference_a", "variant_b"))
    took = f"At token {fork.step} {one} took {a}{_bracketed(p_a)} and {other} took {b}"
    return f"{took}{_bracketed(p_b)}.{_how_close(fork, one, other)}"


def _bracketed(probability: float | None) -> str:
    return "" if probability is None else f" ({percent(probability)})"


def _quoted(text: str, token: int) -> str:
    return quoted(visible_token(text, token), 24)


def _how_close(fork: p.Fork, one: str, other: str) -> str:
    sides = _Side(one, fork), _Side(other, mirrored(fork))
    call, said = _call(sides), _said(sides)
    return f" {call}: {said}." if call and said else ""


@dataclass(frozen=True)
class _Side:
    """One side of a fork, which is seen from this side; a rank or margin of None is unknown."""

    name: str
    fork: p.Fork

    @property
    def rank(self) -> int | None:
        return self.fork.ranks.get("b_in_reference")

    @property
    def margin(self) -> float | None:
        return self.fork.margins.get("reference")

    @property
    def at_least(self) -> float | None:
        """A lower bound of the margin: what is not listed comes after the last that is."""
        if self.margin is not None:
            return abs(self.margin)
        top = self.fork.reference_top
        last = top[-1].probability if top else None
        return logit_margin(self.fork.probabilities.get("reference_a"), last)

    def said(self) -> str:
        """Where the other's token stood."""
        if self.rank is None:
            listed = len(self.fork.reference_top)
            return (
                f"{self.name} had the other's token not among its first {listed}" if listed else ""
            )
        behind = "" if self.margin is None else f" ({_behind(self.margin)})"
        return f"{self.name} had the other's token {_ordinal(self.rank)}{behind}"


def _said(sides: tuple[_Side, _Side]) -> str:
    first, second = sides
    margins = [side.margin for side in sides if side.margin is not None and side.margin >= 0]
    if first.rank == second.rank == 1 and len(margins) == 2:
        far = f"{_number(margins[0])} and {_number(margins[1])} logits"
        return f"each had the other's token second, {far} behind its own"
    return ", ".join(said for side in sides if (said := side.said()))


def _call(sides: tuple[_Side, _Side]) -> str:
    """How sure the two sides were, in the words of a referee; empty where that is not known."""
    if any(side.margin is not None and side.margin < 0 for side in sides):
        return "The draw decided"  # the most probable token was not taken
    first, second = (side.at_least for side in sides)
    if first is None or second is None:
        return ""
    near, far = sorted((first, second))
    nearer = sides[0 if first < second else 1].name
    if near >= _CLEAR:
        return "A clear difference"
    if any(side.margin is None for side in sides):
        return "Not a close call"
    # "Tie" is a verdict's word.
    call = "A dead heat" if near == 0 else "A close call"
    if far < _CLOSE:
        return call
    one_sided = near == 0 or (near < _CLOSE and far >= _CLEAR)
    return f"{call} for {nearer} only" if one_sided else "Not a close call"


def _ordinal(rank: int) -> str:
    return _ORDINALS[rank] if 0 <= rank < len(_ORDINALS) else f"at place {rank + 1:,}"


def _behind(margin: float) -> str:
    return f"{_number(abs(margin))} logits {'behind' if margin >= 0 else 'ahead'}"


def _number(margin: float) -> str:
    """A margin with as many digits as mean something."""
    if margin == 0:
        return "0"
    return f"{margin:.2f}" if margin >= 0.01 else f"{margin:.4f}" if margin >= 1e-4 else "<0.0001"


def explain_verdict(fork: p.Fork, reference: str, variant: str) -> str:
    """What made the fork, formula or rounding, in one plain sentence; names as in `explain`."""
    one, other = visible_line(reference), visible_line(variant)
    a = _quoted(fork.reference_text, fork.reference_token)
    b = _quoted(fork.variant_text, fork.variant_token)
    replay = fork.replay
    margins = replay.score_margins if replay is not None else {}
    m_r, m_v = margins.get("reference"), margins.get("variant")
    # Under sampling no side prefers what it took: it drew it.
    drawn = replay is not None and replay.score_margins != replay.margins
    again = "replayed in float32 with the same draw" if drawn else "replayed in float32"
    match fork.verdict:
        case "formula":
            one_still = f"{one} draws {a} again" if drawn else f"{one} still prefers {a}"
            still = f"{one_still}{_by(m_r)} and {other} {'' if drawn else 'still '}{b}{_by(m_v)}"
            return f"The formula made this fork: {again}, {still}."
        case "rounding":
            keeps_a = m_r > 0 if m_r is not None else (m_v or 0) <= 0
            return (
                f"Rounding made this fork, not the formula: {again}, both "
                f"{'draw' if drawn else 'prefer'} {a if keeps_a else b}, "
                f"{one}{_by(m_r)} and {other}{_by(m_v)}."
            )
        case "tie" if m_r is not None and m_v is not None and max(m_r, m_v) <= 0 and m_r + m_v < 0:
            return (
                f"A tie: {again}, each {'draws' if drawn else 'prefers'} the token that the other "
                "took, so it was nothing but chance."
            )
        case "tie":
            near, margin = min(((one, m_r), (other, m_v)), key=_nearness)
            if margin == 0:
                return f"A tie: {again}, both tokens are equal to {near}, to the last bit."
            little = "too little to count" if margin is None else f"only {_logits(margin)}"
            return (
                f"A tie: {again}, the two still {'draw' if drawn else 'prefer'} different tokens, "
                f"but {near} by {little}: anything would have flipped it."
            )
        case "unverified":
            reason = visible_line(fork.reason) or "there was no replay"
            return f"Formula or mere rounding? That is open: {reason}."


def _by(margin: float | None) -> str:
    """` (by 0.21 logits)`; empty where it is not known."""
    return "" if margin is None else f" (by {_logits(margin)})"


def _logits(margin: float) -> str:
    return f"{_number(abs(margin))} logits"


def _nearness(side: tuple[str, float | None]) -> float:
    return math.inf if side[1] is None else side[1]


# --- where there is no fork -----------------------------------------------------------------------


def why_no_fork(comparison: Comparison, reference_index: int, stream_index: int) -> str:
    """Why a pair has no fork with candidates, in plain sentences."""
    reference, stream = comparison.streams[reference_index], comparison.streams[stream_index]
    one, other = visible_line(reference.name), visible_line(stream.name)
    if reference is stream:
        return f"This is {other} itself: there is nothing to compare."
    agreement = Agreement(reference, stream)
    agreement.update()
    step = agreement.first_divergent_token
    if step is None and agreement.agreed:
        return f"{one} and {other}: {standing(reference, stream, None).long}."
    if step is None:
        waited_for = other if reference.tokens else one
        return f"{waited_for} has no tokens to compare."
    shorter, longer = sorted((reference, stream), key=lambda side: len(side.tokens))
    if step >= len(shorter.tokens):
        ended, on = visible_line(shorter.name), visible_line(longer.name)
        return f"{ended} ended after {count_tokens(step)}, where {on} went on."
    a, b = (_taken(comparison, index, step) for index in (reference_index, stream_index))
    took = f"At token {step} {one} took {a} and {other} took {b}."
    if comparison.reference_index in (reference_index, stream_index):
        return f"{took} The run kept no candidates of this fork."
    return (
        f"{took} No candidates were kept for this pair; "
        f"run again with {one} as the reference to see them."
    )


def _taken(comparison: Comparison, index: int, step: int) -> str:
    """A stream's token, with the probability that the stream gave it."""
    stream = comparison.streams[index]
    logprob = stream.steps[step].logprob
    probability = None if logprob is None else math.exp(min(0.0, logprob))
    text = token_text(comparison, index, step)
    return _quoted(text, stream.tokens[step]) + _bracketed(probability)


def token_text(comparison: Comparison, index: int, step: int) -> str:
    """The text of one token of a stream, as the forks name it if they do.

    A stream's own text has nothing for a token that completes no character. Empty beyond the end.
    """
    stream = comparison.streams[index]
    if step >= len(stream.tokens):
        return ""
    token = stream.tokens[step]
    for other in comparison.streams:
        fork = other.fork
        if fork is not None and fork.step == step:
            if fork.reference_token == token:
                return fork.reference_text
            if fork.variant_token == token:
                return fork.variant_text
    return stream.segments[step]
