"""Replaying forks in float32, to tell what made them.

The shared prefix goes once through the reference and once through each forked variant, alone at
batch 1, with hidden states and activations in float32. The output head runs at forks only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache

from gelu_tui.core import protocol as p
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.activation_sites import RowFunctions
from gelu_tui.engine.compute.float32 import in_float32
from gelu_tui.engine.compute.functions import Function
from gelu_tui.engine.compute.statistics import Distribution, Logits
from gelu_tui.engine.compute.token_selection import Chooser
from gelu_tui.engine.compute.verdict import verdict
from gelu_tui.engine.failures import Interrupted, explain
from gelu_tui.engine.jobs.fork_numbers import candidates, fork_numbers, margin
from gelu_tui.engine.jobs.observer import Emit
from gelu_tui.engine.models.tokenizer import Tokenizer

# Why forks are still open when a run has ended like this.
WHY_NOT: dict[p.Status, str] = {
    "completed": "the replay was switched off",
    "cancelled": "the run was stopped before its replay was done",
    "failed": "the run failed before its replay was done",
}


@dataclass
class Replayer:
    """Replays the forks of one run, each once.

    `functions` are those of the streams, evaluated in float32, and `sites` belong to an installed
    row-wise model. `chunk` is in tokens.
    """

    model: Any
    sites: RowFunctions
    functions: Sequence[Function]
    reference: int
    prompt: Sequence[int]
    tokenizer: Tokenizer
    chunk: int
    emit: Emit
    cancelled: Callable[[], bool]
    choose: Chooser
    _told: set[int] = field(default_factory=set)

    def replay(
        self, forks: Sequence[p.ForkFound], reference_tokens: Sequence[int], noise: float
    ) -> None:
        """Replay those forks that have no verdict yet, and tell it; raises nothing.

        `reference_tokens` is the reference's stream, `noise` what `core.verdict` takes, in nats.
        """
        forks = self._open(forks)
        try:
            for fork, r, v in self._replayed(forks, [*self.prompt, *reference_tokens]):
                self._tell(self._judged(fork, r, v, noise))
        except Interrupted:
            self.give_up(forks, WHY_NOT["cancelled"])
        except Exception as failure:
            self.give_up(forks, f"the replay failed: {explain(failure).message.rstrip('.')}")

    def give_up(self, forks: Sequence[p.ForkFound], reason: str) -> None:
        """Tell why those that have no verdict yet get none."""
        for fork in self._open(forks):
            self._tell(p.ForkReplayed(fork.stream, "unverified", reason))

    def _open(self, forks: Sequence[p.ForkFound]) -> list[p.ForkFound]:
        return [fork for fork in forks if fork.stream not in self._told]

    def _tell(self, replayed: p.ForkReplayed) -> None:
        self._told.add(replayed.stream)
        self.emit(replayed)

    def _replayed(
        self, forks: Sequence[p.ForkFound], tokens: list[int]
    ) -> Iterator[tuple[p.ForkFound, Logits, Logits]]:
        """Each fork with the logits of the reference and of its variant."""
        if not forks:
            return
        steps = sorted({found.fork.step for found in forks})
        lengths = (steps[-1], *(found.fork.step for found in forks))
        progress = _Progress(self.emit, sum(len(self.prompt) + length for length in lengths))
        with in_float32(self.model):
            own = self._logits_at(self.reference, tokens, steps, progress)
            for found in forks:
                step = found.fork.step
                theirs = self._logits_at(found.stream, tokens, [step], progress)
                yield found, own[step], theirs[step]

    def _judged(self, found: p.ForkFound, r: Logits, v: Logits, noise: float) -> p.ForkReplayed:
        fork = found.fork
        a, b = fork.reference_token, fork.variant_token
        sides = Distribution.of(r), Distribution.of(v)
        margins, probabilities, ranks = fork_numbers(*sides, a, b)
        scores = np.array(self.choose.scores(mx.array(np.stack((r, v))), fork.step))
        of_reference, of_variant = margin(scores[0], a, b), margin(scores[1], b, a)
        replay = p.ForkReplay(
            margins,
            {"reference": _finite(of_reference), "variant": _finite(of_variant)},
            probabilities,
            ranks,
            *(candidates(self.tokenizer, side) for side in sides),
        )
        return p.ForkReplayed(found.stream, verdict(of_reference, of_variant, noise), replay=replay)

    def _logits_at(
        self, stream: int, tokens: list[int], steps: Sequence[int], progress: _Progress
    ) -> dict[int, Logits]:
        """The logits, of shape (vocabulary,), from which a stream's function takes these steps."""
        cache, found, at = make_prompt_cache(self.model), {}, 0
        with self.sites.use(self.functions[stream]):
            for step in steps:
                last = len(self.prompt) - 1 + step
                for start in range(at, last, self.chunk):
                    if self.cancelled():
                        raise Interrupted
                    part = tokens[start : min(start + self.chunk, last)]
                    # Only the cache is evaluated, so that the output head does not run.
                    self.model(mx.array([part]), cache=cache)
                    mx.eval(caches.arrays(cache))
                    mx.clear_cache()
                    progress.advance(len(part))
                if self.cancelled():
                    raise Interrupted
                logits = self.model(mx.array([tokens[last : last + 1]]), cache=cache)
                found[step] = np.array(logits[0, -1].astype(mx.float32))
                progress.advance(1)
                at = last + 1
        return found


def _finite(margin: float) -> float | None:
    return margin if math.isfinite(margin) else None


class _Progress:
    def __init__(self, emit: Emit, total: int) -> None:
        self._emit, self._done, self._total = emit, 0, total

    def advance(self, tokens: int) -> None:
        self._done += tokens
        self._emit(p.Progress("replay", "forks in float32", self._done, self._total, "tokens"))
