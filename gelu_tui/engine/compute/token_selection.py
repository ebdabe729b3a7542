"""Which token each row chooses: one rule for every row, both schedules and every device.

Greedy, it is mlx-lm's own (`generate_step`): the highest of logits − logsumexp(logits) in the
model's dtype, the lowest id among equals. The subtraction rounds, in bfloat16 often, so that
different logits may become equal.

With a temperature T, it is the highest of x + T·g (the Gumbel-max trick: a token is drawn with the
probability softmax(x/T)). x are the logits after mlx-lm's own transforms, in its own order, in
float32. The noise g has one number a token of the vocabulary, the same for all rows, and depends on
seed and step only: rows that agree draw alike, whatever their number, order and schedule.
"""

from __future__ import annotations

import math
import secrets

import mlx.core as mx
import msgspec
import numpy as np
from mlx_lm.sample_utils import apply_min_p, apply_top_k, apply_top_p

from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.engine import device

_GREEDY = RunSettings()


def seeded(settings: RunSettings) -> RunSettings:
    """The settings, with a random seed if tokens are drawn and there is no seed."""
    if not settings.temperature or settings.seed is not None:
        return settings
    return msgspec.structs.replace(settings, seed=secrets.randbelow(2**31))


class Chooser:
    """The rule of one comparison; without a seed the noise is that of seed 0."""

    def __init__(self, settings: RunSettings = _GREEDY) -> None:
        self._settings = settings
        # A temperature that is 0 in float32 draws nothing either.
        self._draws = settings.temperature >= np.finfo(np.float32).tiny

    def __call__(self, logits: mx.array, step: int) -> mx.array:
        """The token of each row: (rows, vocabulary) in the model's dtype to (rows,) ids.

        Lazy on a GPU; on a CPU it may wait for the logits.
        """
        if self._draws:
            return mx.argmax(self.scores(logits, step), axis=-1)
        if logits.dtype == mx.float32 and not device.on_gpu():
            return _most_probable_without_logsumexp(logits)
        return _most_probable(logits)

    def scores(self, logits: mx.array, step: int) -> mx.array:
        """What the tokens of `step` compete with: (rows, vocabulary) to float32 of that shape.

        At temperature 0 the logits themselves, else x + T·g, −inf where a transform excludes a
        token. A difference of two scores is in logits, that is in nats.
        """
        logits = logits.astype(mx.float32)
        if not self._draws:
            return logits
        # Standard Gumbel noise of shape (vocabulary,).
        seeds = np.random.SeedSequence(self._settings.seed or 0, spawn_key=(step,))
        noise = mx.random.gumbel(logits.shape[-1:], key=mx.array(seeds.generate_state(2)))
        return self._transformed(logits) + self._settings.temperature * noise

    def _transformed(self, logits: mx.array) -> mx.array:
        """As in `mlx_lm.sample_utils.make_sampler`, order and conditions included.

        Its transforms use differences and shares of the whole only, so that logits less their
        maximum serve as well as log-probabilities, and cost less.
        """
        top_p, top_k, min_p = self._settings.top_p, self._settings.top_k, self._settings.min_p
        x = logits - mx.max(logits, axis=-1, keepdims=True)
        if 0 < top_p < 1:
            x = apply_top_p(x, top_p)
        if min_p != 0:
            x = apply_min_p(x, min_p)
        if 0 < top_k < x.shape[-1]:
            x = apply_top_k(x, top_k)
        return x


def _most_probable(logits: mx.array) -> mx.array:
    """The greedy rule as it is defined."""
    return mx.argmax(logits - mx.logsumexp(logits, axis=-1, keepdims=True), axis=-1)


def _most_probable_without_logsumexp(logits: mx.array) -> mx.array:
    """The greedy rule for float32 on a CPU, where logsumexp would take a tenth of a decode step.

    Subtraction rounds but keeps the order, so the argmax of the logits wins unless another logit
    becomes equal to it. Only where one is near enough for that the rule itself is computed.

    How near: the highest log-probability v lies in [−ln(vocabulary), 0], give or take the error of
    logsumexp, which is far less than 1. Numbers that round to one v are no further apart than the
    spacing of floats there. That `values[token] - reach` is rounded itself does no harm: a float
    that is not below the exact difference is not below the rounded one.
    """
    mx.eval(logits)
    reach = np.spacing(np.float32(math.log(logits.shape[-1]) + 1))
    tokens = []
    for row, values in enumerate(np.array(logits, copy=False)):
        token = int(values.argmax())
        if np.count_nonzero(values >= values[token] - reach) > 1:
            token = int(np.array(_most_probable(logits[row : row + 1]))[0])
        tokens.append(token)
    return mx.array(tokens, dtype=mx.uint32)
