"""What one finished prompt adds to the statistics of a sweep."""

from __future__ import annotations

from typing import Literal

import msgspec

from gelu_tui.core import protocol as p

Outcome = Literal["same", "formula", "rounding", "tie", "unverified"]


class WhatIfOutcome(msgspec.Struct, frozen=True, array_like=True):
    """How a stream went on that was given the reference's token at its fork.

    It took `tokens` as the reference's did, and then parted again, or both `ended` by an end token;
    else it was followed to the end of the reference's stream.
    """

    parts_again: bool
    tokens: int
    ended: bool = False


class StreamOutcome(msgspec.Struct, frozen=True, array_like=True):
    """One stream of one prompt, against the reference's; for the reference, against itself.

    `compared` is the number of equal leading tokens: the first divergent token, else where the
    comparison was censored (the limit, or where it was stopped). `identical`: both ended by an end
    token after the same tokens, so that they can never diverge. `kl` are sums in nats over `_steps`
    positions: of the shared prefix up to and including the fork, and teacher forced over the
    reference's whole stream, where that was asked for. `close_calls` are steps whose margin is
    under the measured noise. `correct` (and by length-normalised probability) where the prompt has
    an answer. `wwb` are who-what-bench's FDT, FDT norm, SDT and SDT norm on token ids.
    """

    tokens: int
    finish_reason: p.FinishReason
    outcome: Outcome
    first_divergent_token: int | None
    compared: int
    identical: bool
    kl: float = 0.0
    kl_steps: int = 0
    full_kl: float = 0.0
    full_kl_steps: int = 0
    close_calls: int = 0
    correct: bool | None = None
    correct_norm: bool | None = None
    wwb: tuple[int, float, int, float] = (0, 1.0, 0, 0.0)
    what_if: WhatIfOutcome | None = None  # where the fork was tried


class PromptOutcome(msgspec.Struct, frozen=True, array_like=True):
    """One finished prompt on one model: an outcome for each function, in the order of the sweep.

    Of each yardstick it is what the reference function does in the changed model, or why it cannot
    be measured there.
    """

    number: int
    id: str
    category: str
    model: int
    streams: tuple[StreamOutcome, ...]
    yardsticks: tuple[StreamOutcome | str, ...] = ()


class FailedPrompt(msgspec.Struct, frozen=True):
    """A prompt that could not be run, and why."""

    id: str
    error: str
    number: int = 0
    model: str = ""
