"""The choices of a prompt: how probable each is as its continuation, teacher forced."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.engine import device
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.decode import vocabulary_of
from gelu_tui.engine.compute.row_functions import RowFunction, RowFunctions
from gelu_tui.engine.compute.statistics import Distribution, NotANumber
from gelu_tui.engine.failures import IsCancelled, stop_if
from gelu_tui.engine.jobs.prompt import check_tokens
from gelu_tui.engine.models.loading import LoadedModel

# Of float32 logits that are held at once, and of rows of one batch.
_HELD_BYTES = 256 * 1024 * 1024
_ROWS = 16

_SHOWN = 40  # characters of a choice in a sentence


class Continuations(NamedTuple):
    """Token ids: the context that all choices follow, and what each choice adds to it."""

    context: list[int]
    choices: list[list[int]]


def continuations(loaded: LoadedModel, started: p.Started) -> Continuations | None:
    """Encode the choices as lm-eval does; None without choices. Raises `GeluError`.

    Context and choice are encoded together and cut where the context's own tokens end. Of a raw
    prompt, white space at its end belongs to the choice, and where neither side has any, a space
    stands between them. A choice after a chat template is appended to what it rendered.
    """
    if not started.choices:
        return None
    choices, tokenizer = started.choices, loaded.tokenizer
    context, encode = started.prompt_text, tokenizer.encode_rendered
    if not started.settings.chat:
        prompt, encode = started.prompt, tokenizer.encode
        context = prompt.rstrip()
        if not encode(context):  # without a BOS, white space alone is a context too
            context = prompt
        between, spaced = prompt[len(context) :], prompt[-1:].isspace()
        choices = tuple(
            between + choice if spaced or choice[:1].isspace() else f" {choice}"
            for choice in choices
        )
    before = encode(context)
    encoded = [encode(context + choice)[len(before) :] for choice in choices]
    for choice, tokens in zip(started.choices, encoded, strict=True):
        shown = choice if len(choice) <= _SHOWN else f"{choice[:_SHOWN]}…"
        _check(loaded, visible_line(shown), len(before), tokens)
    return Continuations(before, encoded)


def _check(loaded: LoadedModel, choice: str, context: int, tokens: list[int]) -> None:
    if not choice or not tokens:
        message = f"The choice '{choice}' adds no tokens to the prompt."
        raise GeluError("empty_choice", message, "Give each choice some text.")
    check_tokens(loaded, tokens)
    if context + len(tokens) > loaded.context_length:
        message = (
            f"The prompt has {context} tokens and the choice '{choice}' has {len(tokens)}; this "
            f"model's context holds {loaded.context_length}."
        )
        raise GeluError("prompt_too_long", message, "Shorten the prompt.")


def score_choices(
    model: Any,
    sites: RowFunctions,
    function: RowFunction,
    cache: list[Any],
    wanted: Continuations,
    cancelled: IsCancelled,
) -> tuple[p.ChoiceScore, ...]:
    """Score every choice with a function; empty if its logits are not numbers.

    `cache` holds the context without its last token, at batch size 1, and stays as it is. Choices
    are rows of one batch, padded on the right. Raises `Interrupted`.
    """
    last, scores = wanted.context[-1], []
    try:
        for at in range(0, len(wanted.choices), _ROWS):
            part = wanted.choices[at : at + _ROWS]
            with sites.use(*[function] * len(part)):
                scores += _scores(model, caches.join([cache] * len(part)), last, part, cancelled)
    except NotANumber:
        return ()
    return tuple(scores)


def _scores(
    model: Any, cache: list[Any], last: int, choices: Sequence[list[int]], cancelled: IsCancelled
) -> list[p.ChoiceScore]:
    longest = max(map(len, choices))
    fit = _HELD_BYTES // (4 * len(choices) * vocabulary_of(model, len(choices)))
    count = max(1, min(fit, device.prefill_chunk()))
    fed = mx.array([[last, *choice, *[0] * (longest - len(choice))] for choice in choices])
    sums = [0.0] * len(choices)
    for at in range(0, longest, count):
        stop_if(cancelled())
        logits = model(fed[:, at : min(at + count, longest)], cache=cache).astype(mx.float32)
        mx.eval(logits)
        values = np.array(logits, copy=False)
        for row, choice in enumerate(choices):
            for step, token in enumerate(choice[at : at + count]):
                sums[row] += Distribution.of(values[row, step]).logprob(token)
    if not all(map(math.isfinite, sums)):
        raise NotANumber
    return [p.ChoiceScore(total, len(choice)) for total, choice in zip(sums, choices, strict=True)]
