"""Replays of forks in float32, which show what caused them.

The shared prefix goes once through the reference and once through each forked variant, alone at
batch 1, with hidden states and activations in float32. The output head runs at forks only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache

from gelu_tui.core import protocol as p
from gelu_tui.core.functions.variants import Variant
from gelu_tui.engine import device
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.float32 import in_float32
from gelu_tui.engine.compute.limited_functions import functions_of
from gelu_tui.engine.compute.row_functions import RowFunctions
from gelu_tui.engine.compute.statistics import Distribution, Logits, NotANumber
from gelu_tui.engine.compute.token_selection import Chooser
from gelu_tui.engine.compute.verdict import verdict
from gelu_tui.engine.failures import Interrupted, IsCancelled, error_info, stop_if
from gelu_tui.engine.jobs.observer import Emit, fork_numbers, margin
from gelu_tui.engine.models.loading import LoadedModel

# Tokens of a replay on a CPU between two looks at whether it was cancelled: well under a second.
_CHUNK = 32

# Why forks have no verdict after a run that ended like this.
WHY_NOT: dict[p.Status, str] = {
    "completed": "the replay was switched off",
    "cancelled": "the run was stopped before its replay was done",
    "failed": "the run failed before its replay was done",
}


class Replayer:
    """Replays the forks of one run, each once."""

    def __init__(
        self,
        loaded: LoadedModel,
        variants: Sequence[Variant],
        started: p.Started,
        choose: Chooser,
        emit: Emit,
        cancelled: IsCancelled,
        judged: Iterable[int] = (),
    ) -> None:
        """`judged` are streams whose forks need no replay."""
        self._model, self._tokenizer = loaded.model, loaded.tokenizer
        self._functions = functions_of(variants, started.reference, "float32")
        self._prompt, self._reference = started.prompt_tokens, started.reference
        self._choose, self._emit, self._cancelled = choose, emit, cancelled
        self._chunk = device.prefill_chunk() if device.on_gpu() else _CHUNK
        self._judged = set(judged)
        self._done = self._total = 0  # tokens

    def replay(
        self,
        sites: RowFunctions,
        forks: Sequence[p.ForkFound],
        reference_tokens: Sequence[int],
        noise: float,
    ) -> None:
        """Replay those forks that have no verdict yet and emit it; raises nothing.

        `sites` belong to an installed row-wise model, `reference_tokens` is the reference's stream,
        and `noise` is that of `verdict`, in nats.
        """
        forks = self._open(forks)
        if not forks:
            return
        tokens = [*self._prompt, *reference_tokens]
        steps = sorted({found.fork.step for found in forks})
        lengths = (steps[-1], *(found.fork.step for found in forks))
        self._done, self._total = 0, sum(len(self._prompt) + length for length in lengths)
        try:
            with in_float32(self._model):
                own = self._logits_at(sites, self._reference, tokens, steps)
                for found in forks:
                    step = found.fork.step
                    theirs = self._logits_at(sites, found.stream, tokens, [step])
                    try:
                        self._report(self._judge(found, own[step], theirs[step], noise))
                    except NotANumber:
                        self.give_up([found], "the logits of its replay are not numbers")
        except Interrupted:
            self.give_up(forks, WHY_NOT["cancelled"])
        except Exception as failure:
            self.give_up(forks, f"the replay failed: {error_info(failure).message.rstrip('.')}")

    def give_up(self, forks: Sequence[p.ForkFound], reason: str) -> None:
        """Report those that have no verdict yet as unverified, with the reason."""
        for fork in self._open(forks):
            self._report(p.ForkReplayed(fork.stream, "unverified", reason))

    def _open(self, forks: Sequence[p.ForkFound]) -> list[p.ForkFound]:
        return [fork for fork in forks if fork.stream not in self._judged]

    def _report(self, replayed: p.ForkReplayed) -> None:
        self._judged.add(replayed.stream)
        self._emit(replayed)

    def _judge(self, found: p.ForkFound, r: Logits, v: Logits, noise: float) -> p.ForkReplayed:
        fork = found.fork
        a, b = fork.reference_token, fork.variant_token
        numbers = fork_numbers(self._tokenizer, Distribution.of(r), Distribution.of(v), a, b)
        scores = np.array(self._choose.scores(mx.array(np.stack((r, v))), fork.step))
        reference, variant = margin(scores[0], a, b), margin(scores[1], b, a)
        margins = {"reference": reference, "variant": variant}
        finite = {side: m if math.isfinite(m) else None for side, m in margins.items()}
        replay = p.ForkReplay(score_margins=finite, **numbers)
        judged = verdict(reference, variant, noise)
        return p.ForkReplayed(found.stream, judged, replay=replay)

    def _logits_at(
        self, sites: RowFunctions, stream: int, tokens: list[int], steps: Sequence[int]
    ) -> dict[int, Logits]:
        """The logits, of shape (vocabulary,), from which a stream's function chooses at `steps`."""
        cache, found, at = make_prompt_cache(self._model), {}, 0
        with sites.use(self._functions[stream]):
            for step in steps:
                last = len(self._prompt) - 1 + step
                for start in range(at, last, self._chunk):
                    stop_if(self._cancelled())
                    part = tokens[start : min(start + self._chunk, last)]
                    # Only the cache is evaluated, so that the output head does not run.
                    self._model(mx.array([part]), cache=cache)
                    mx.eval(caches.arrays(cache))
                    mx.clear_cache()
                    self._progress(len(part))
                stop_if(self._cancelled())
                logits = self._model(mx.array([tokens[last : last + 1]]), cache=cache)
                found[step] = np.array(logits[0, -1].astype(mx.float32))
                self._progress(1)
                at = last + 1
        return found

    def _progress(self, tokens: int) -> None:
        self._done += tokens
        self._emit(p.Progress("replay", "forks in float32", self._done, self._total, "tokens"))
