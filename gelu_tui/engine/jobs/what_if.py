"""What if: a stream is given the reference's token at its fork and goes on under its own function.

All rows of the run decode once more, in batches of the same shapes, so that every number is the
one that the run itself would have computed: a prefill of the shared prefix would round otherwise.
The reference's row is fed its own tokens all the way; what it computes is what the others are
compared with.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import mlx.core as mx
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.checks import first_difference
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.engine.compute.activation_sites import rowwise
from gelu_tui.engine.compute.row_functions import RowFunctions
from gelu_tui.engine.compute.token_selection import Chooser
from gelu_tui.engine.failures import IsCancelled
from gelu_tui.engine.jobs.compare import Run, SelfChecks
from gelu_tui.engine.jobs.observer import Emit
from gelu_tui.engine.jobs.request import Request
from gelu_tui.engine.models.loading import LoadedModel

log = logging.getLogger(__name__)


def possible(forks: Sequence[p.ForkFound], reference: Sequence[int]) -> tuple[p.Given, ...]:
    """What to give at these forks; nothing at the last token of the reference's stream."""
    return tuple(
        p.Given(found.stream, (found.fork.step,))
        for found in forks
        if found.fork.step + 1 < len(reference)
    )


def check_given(started: p.Started, reference: Sequence[int], given: Sequence[p.Given]) -> None:
    """Raise `GeluError` unless there is a token of the reference to give at each of the steps."""
    others = set(range(len(started.variants))) - {started.reference}

    def is_there(each: p.Given) -> bool:
        ascends = bool(each.steps) and list(each.steps) == sorted(set(each.steps))
        return ascends and each.stream in others and each.steps[-1] + 1 < len(reference)

    if not given or not all(map(is_there, given)):
        message = "There is no token of the reference to give at these steps."
        raise GeluError("what_if", message)


@dataclass
class _Answer:
    """A stream from the last token on that it was given."""

    given: tuple[int, ...]
    tokens: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    finish_reason: p.FinishReason = "cancelled"
    fork: p.Fork | None = None
    error: ErrorInfo | None = None

    @property
    def first_step(self) -> int:
        return self.given[-1] + 1

    def counterfactual(self, reference: Sequence[int]) -> p.Counterfactual:
        equal = first_difference(self.tokens, reference[self.first_step :])
        step = None if equal is None else self.first_step + equal
        return p.Counterfactual(
            given=self.given,
            tokens=tuple(self.tokens),
            text="".join(self.texts),
            finish_reason=self.finish_reason,
            parts_again=step is not None,
            step=step,
            fork=self.fork,
            error=self.error,
        )


class _Giving(Chooser):
    """The rule of a run; rows get the tokens that are known instead of those they would choose."""

    def __init__(self, settings: RunSettings, known: Sequence[Sequence[int]]) -> None:
        """`known` has the tokens of each row of the batch, from step 0 on."""
        super().__init__(settings)
        self._known = known

    def __call__(self, logits: mx.array, step: int) -> mx.array:
        chosen = super().__call__(logits, step)
        is_known = [step < len(row) for row in self._known]
        if not any(is_known):
            return chosen
        tokens = [row[step] if step < len(row) else 0 for row in self._known]
        return mx.where(mx.array(is_known), mx.array(tokens, dtype=chosen.dtype), chosen)


class WhatIfs(Run):
    """Some streams of one run, each given the reference's tokens up to a fork. `answer` once."""

    def __init__(
        self,
        loaded: LoadedModel,
        request: Request,
        reference: Sequence[int],
        given: Sequence[p.Given],
        emit: Emit,
        cancelled: IsCancelled,
        *,
        noise: float | None = None,
        replays: bool = True,
        tells_steps: bool = True,
    ) -> None:
        """`reference` is the reference's stream, which has tokens after all that is given.

        `noise` is that of the run's self-check, None where that has to be done. New forks are
        judged if it `replays` them.
        """
        started = replace(
            request.started,
            settings=replace(request.started.settings, max_tokens=len(reference)),
        )
        first = min(each.steps[-1] for each in given) + 1
        streams = _earlier(started, tuple(reference[:first]), given)
        goes_on = p.Continue(started=started, model=loaded.info, streams=streams)
        super().__init__(
            loaded,
            Request(request.variants, started, goes_on),
            self._take,
            cancelled,
            load_s=0.0,
        )
        self._reference, self._tell, self._replays = list(reference), emit, replays
        self._noise, self._tells_steps = noise, tells_steps
        self._known = {started.reference: self._reference}
        self._known |= {each.stream: self._reference[: each.steps[-1] + 1] for each in given}
        self._answers = {each.stream: _Answer(each.steps) for each in given}

    def answer_command(self, self_checks: SelfChecks) -> None:
        """Answer a `WhatIf`. Raises what prevents it before there are any tokens."""
        with rowwise(self._model) as sites:
            failure = self.answer(sites, self_checks)
        if failure is not None and not any(its.tokens for its in self._answers.values()):
            raise failure
        self._tell(p.WhatIfEnded())

    def answer(self, sites: RowFunctions, self_checks: SelfChecks) -> Exception | None:
        """Decode, emit what was found, and return what stopped it; raises nothing."""
        self._self_checks = self_checks
        failure = None
        try:
            self._observer.take_up(self._earlier)
            self._cached = self._fill(sites)
            self._decode(sites)
            self._observer.drain()
            self._explain(sites)
            if self._replays:
                self._replay(sites)
        except Exception as error:
            failure = error
            log.info("what if: %s", error)
        self._cached = None
        if failure is None and self._settings.replay:  # where it is off, that is the reason
            self._replayer.give_up(
                self._observer.forks, "it was tried in a sweep, without a replay"
            )
        self._end(failure)
        for stream, found in self._answers.items():
            if found.tokens or (found.error is not None and failure is None):
                self._tell(p.WhatIfAnswered(stream, found.counterfactual(self._reference)))
        return failure

    def _chooser(self, batch: list[int]) -> Chooser:
        return _Giving(self._settings, [self._known.get(row, ()) for row in batch])

    def _take(self, event: p.Event) -> None:
        """Keep what the run's events say about the streams, and tell of it."""
        match event:
            case p.Step():
                self._take_step(event)
            case p.ForkFound() if (found := self._answers.get(event.stream)) is not None:
                found.fork = event.fork
            case p.ForkReplayed() if (found := self._answers.get(event.stream)) is not None:
                assert found.fork is not None
                found.fork = replace(
                    found.fork, verdict=event.verdict, reason=event.reason, replay=event.replay
                )
            case p.StreamFinished() if (found := self._answers.get(event.stream)) is not None:
                found.finish_reason, found.error = event.finish_reason, event.error
                found.texts.append(event.tail)
            case p.Progress() | p.SelfChecked():
                self._tell(event)

    def _take_step(self, event: p.Step) -> None:
        new = []
        for step in event.streams:
            found = self._answers.get(step.stream)
            if found is not None and event.step >= found.first_step:
                found.tokens.append(step.token)
                found.texts.append(step.text)
                new.append(step)
        total = len(self._reference)
        label = "the reference's token"
        self._tell(p.Progress("what_if", label, event.step + 1, total, "tokens"))
        if new and self._tells_steps:
            self._tell(p.WhatIfStep(event.step, tuple(new)))


def _earlier(
    started: p.Started, prefix: tuple[int, ...], given: Sequence[p.Given]
) -> tuple[p.EarlierStream, ...]:
    """All streams with the tokens of `prefix`; those that are not asked about have ended."""
    asked = {each.stream: each for each in given}

    def earlier(stream: int) -> p.EarlierStream:
        its = asked.get(stream)
        if its is None:
            return p.EarlierStream(prefix, ended=stream != started.reference)
        ends_here = its.steps[-1] + 1 == len(prefix)
        return p.EarlierStream(prefix, its.logprob if ends_here else None)

    return tuple(map(earlier, range(len(started.variants))))
