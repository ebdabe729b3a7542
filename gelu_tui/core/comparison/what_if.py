"""What came of giving a stream the reference's token at its fork, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.fork_sentences import is_close
from gelu_tui.core.comparison.standing import count_tokens
from gelu_tui.core.safe_text import visible_line

_LISTED = 4  # steps


def agreed(what_if: p.Counterfactual) -> int:
    """How many tokens after the last one given the stream goes on as the reference does."""
    first = what_if.given[-1] + 1
    return len(what_if.tokens) if what_if.step is None else what_if.step - first


def is_whole(what_if: p.Counterfactual, reference_tokens: int) -> bool:
    """Return whether the stream parts again, or is as long as the reference's.

    `reference_tokens` is the length of the reference's stream. False where it was cut short.
    """
    if what_if.finish_reason in ("cancelled", "failed"):
        return False
    return what_if.parts_again or what_if.given[-1] + 1 + len(what_if.tokens) >= reference_tokens


def nothing_to_give(
    fork: p.Fork, reference: str, reference_tokens: int, finish_reason: p.FinishReason | None
) -> str | None:
    """Return why a fork cannot be tried, in a sentence; None if it can.

    `reference_tokens` is the length of the reference's stream, `finish_reason` why it ended.
    """
    if fork.step + 1 < reference_tokens:
        return None
    one = visible_line(reference)
    if finish_reason == "stop":
        return f"At token {fork.step} {one} ended: there is no token of it to go on from."
    return f"Token {fork.step} is {one}'s last one: nothing follows to compare with."


def explain_what_if(
    fork: p.Fork, reference: str, variant: str, reference_tokens: int | None = None
) -> str:
    """Return what came of giving the variant the reference's token, in a sentence.

    `fork` has a `what_if`; `reference_tokens` is the length of the reference's stream now.
    """
    what_if = fork.what_if
    assert what_if is not None
    one, other = visible_line(reference), visible_line(variant)
    head, count = f"Given {_given(what_if, one)}, {other}", agreed(what_if)
    as_one = f"goes on as {one} does for {count_tokens(count)}"
    if what_if.step is not None:
        parts = f"parts again at token {what_if.step}"
        return f"{head} {as_one} and {parts}." if count else f"{head} {parts}, the very next one."
    if what_if.error is not None:
        return f"{head} {as_one}; then {_lowered(visible_line(what_if.error.message))}"
    if what_if.finish_reason == "cancelled":
        return f"{head} {as_one}, where it was stopped."
    if reference_tokens is not None and not is_whole(what_if, reference_tokens):
        return f"{head} {as_one}, which is how far it was tried."
    end = "the text" if what_if.finish_reason == "stop" else "its stream"
    return f"{head} {as_one}, to the end of {end}: {_conclusion(fork, what_if)}."


def _given(what_if: p.Counterfactual, one: str) -> str:
    steps = list(map(str, what_if.given))
    if len(steps) == 1:
        return f"{one}'s token"
    if len(steps) > _LISTED:
        return f"{one}'s tokens at {len(steps)} forks from {steps[0]} to {steps[-1]}"
    return f"{one}'s tokens at {', '.join(steps[:-1])} and {steps[-1]}"


def _conclusion(fork: p.Fork, what_if: p.Counterfactual) -> str:
    if len(what_if.given) > 1:
        return f"these {len(what_if.given)} forks are all that there is between them"
    return f"the fork was a single {'close call' if is_close(fork) else 'one'}"


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def next_steps(fork: p.Fork, reference_tokens: int) -> tuple[int, ...]:
    """Return the steps at which to give the reference's token next; empty if there is no more.

    The fork's first; where that was tried and the stream parted again, that step too.
    """
    what_if = fork.what_if
    if what_if is None:
        steps: Sequence[int] = (fork.step,)
    elif what_if.step is not None:
        steps = (*what_if.given, what_if.step)
    elif is_whole(what_if, reference_tokens):
        return ()
    else:
        steps = what_if.given
    return tuple(steps) if steps[-1] + 1 < reference_tokens else ()
