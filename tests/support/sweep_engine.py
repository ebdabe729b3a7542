"""A stand-in for an engine that runs several comparisons at once: real protocol, made-up tokens.

What a prompt's streams are follows from its text, so that a sweep that was disturbed can be
compared with one that was not. Words in a prompt make it behave: `dies` ends the engine each time,
`fails` cannot be run. As a child process,

    python tests/support/sweep_engine.py --step-s 0.01
"""

from __future__ import annotations

import argparse
import asyncio
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.functions.controls import with_control
from gelu_tui.core.functions.variants import parse_variants, resolve_reference
from tests.support.fake_engine import FakeEngine, resolved
from tests.support.in_memory import InMemory
from tests.support.made_up import fork_between, told
from tests.support.stand_in import CancelSeen, Died, serve_in_process

AT_ONCE = 3  # prompts
NATIVE = "gelu_approx"
CONTEXT = 10_000


def number(*words: object) -> int:
    """A number that follows from some words."""
    return zlib.crc32(" ".join(map(str, words)).encode())


def tokens_of(prompt: str, name: str, reference: str, limit: int) -> tuple[list[int], bool]:
    """The tokens of a stream, and whether an end token is among them."""
    length = 3 + number(prompt, "length") % 12
    own = [number(prompt, step) % 1000 for step in range(length)]
    at = number(prompt, name) % 20
    if name not in (reference, "control") and at < length:
        own[at:] = [1000 + token for token in own[at:]]
    return own[:limit], length <= limit


class SweepEngine(FakeEngine):
    """`dies_after` so many events, None: never; the prompts of `hangs` run until the cancel."""

    def __init__(
        self, step_s: float = 0.0, dies_after: int | None = None, hangs: Collection[str] = ()
    ) -> None:
        super().__init__("five", step_s)
        self._hangs = hangs
        self._left = dies_after
        self.compared: list[p.Compare] = []

    def emit(self, event: p.Event) -> None:
        super().emit(event)
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                raise Died("killed by the test")

    async def serve(self, write: Callable[[bytes], object]) -> None:
        self.write = write
        self.emit(p.Hello(p.PROTOCOL_VERSION, {"fake": "1"}, 1, "engine.log"))
        while True:
            command = await self.commands.get()
            self.cancelled.clear()
            self.answered = command.id
            match command:
                case p.Load() if command.model.endswith("missing"):
                    error = ErrorInfo("model_not_found", "There is no such model.", "Look again.")
                    self.emit(p.Failed(error, "load"))
                case p.Load():
                    await self.load(command)
                case p.Compare():
                    await self._batch(command)
                case p.Score():
                    self._score(command)
                case _:
                    self.emit(p.Failed(ErrorInfo("usage", "The fake engine cannot do this."), ""))

    async def _batch(self, first: p.Compare) -> None:
        """Run comparisons side by side; others enter as some end."""
        running: dict[int, Iterator[p.Event]] = {}
        waiting = [first]
        try:
            while True:
                while len(running) < AT_ONCE and (waiting or self._next_is_compare()):
                    command = waiting.pop() if waiting else self.commands.get_nowait()
                    assert isinstance(command, p.Compare)
                    self.compared.append(command)
                    running[command.id] = self._events(command)
                if not running:
                    return
                for each in list(running):
                    self.answered = each
                    for event in running[each]:
                        self.emit(event)
                        if event.last:
                            del running[each]
                        if event.last or isinstance(event, p.Started | p.Prefilled | p.Step):
                            break
                await self.sleep(self.step_s)
        except CancelSeen:
            for each in running:
                self.answered = each
                self.emit(p.Finished("cancelled", p.Timing(None, None, None, 0, None), 0))
            while not self.commands.empty():
                self.answered = self.commands.get_nowait().id
                self.emit(p.Cancelled("compare"))

    def _next_is_compare(self) -> bool:
        waiting: Sequence[p.Command] = getattr(self.commands, "_queue", ())
        return bool(waiting) and isinstance(waiting[0], p.Compare)

    def _events(self, command: p.Compare) -> Iterator[p.Event]:
        prompt, settings = command.prompt, command.settings
        if "fails" in prompt:
            error = ErrorInfo("prompt_too_long", "The prompt is too long.", "Shorten it.")
            yield p.Failed(error, "compare")
            return
        variants = parse_variants(settings.activations)
        reference = resolve_reference(variants, settings.reference, NATIVE)
        variants, control = with_control(variants, reference, wanted=settings.control)
        names = [variant.name for variant in variants]
        infos = tuple(
            p.VariantInfo.of(v, settings.activation_precision, NATIVE, control=i == control)
            for i, v in enumerate(variants)
        )
        now = resolved(settings, names[reference])
        yield p.Started(prompt, prompt, (2, 5), infos, reference, now)
        streams = [
            tokens_of(f"{prompt} {self.model}", name, names[reference], settings.max_tokens)
            for name in names
        ]
        yield from self._steps(prompt, [tokens for tokens, _ in streams], reference)
        for stream, (_, ended) in enumerate(streams):
            yield p.StreamFinished(stream, "stop" if ended else "length")
        if command.choices:
            scores = tuple(p.ChoiceScore(-float(i), 2) for i, _ in enumerate(command.choices))
            yield p.ChoicesScored(tuple(scores for _ in streams))
        seconds = p.Timing(0.1, 0.1, 0.1, len(streams[0][0]), 100.0)
        yield p.Finished("completed", seconds, 0)

    def _steps(self, prompt: str, streams: list[list[int]], reference: int) -> Iterator[p.Event]:
        forks = []
        for step in range(max(map(len, streams))):
            if step == 2 and "dies" in prompt:
                raise Died("died of a prompt")
            while step == 2 and prompt in self._hangs:
                yield p.Prefilled(0, 0.1, 1.0)
            tokens = [
                p.StreamStep(i, stream[step], f" {stream[step]}", -0.5, 1.5, 1e-3, 0.1)
                for i, stream in enumerate(streams)
                if step < len(stream)
            ]
            yield p.Step(step, 0.1, tuple(tokens))
            for i, stream in enumerate(streams):
                is_new = i not in {fork.stream for fork in forks}
                if is_new and stream[step : step + 1] != streams[reference][step : step + 1]:
                    sides = ((x[step], f" {x[step]}") for x in (streams[reference], stream))
                    forks.append(fork_between(i, step, *sides))
                    yield forks[-1]
        yield from map(told, forks)

    def _score(self, command: p.Score) -> None:
        variants = parse_variants(command.settings.activations)
        reference = resolve_reference(variants, command.settings.reference, NATIVE)
        variants, _ = with_control(variants, reference, wanted=command.settings.control)
        infos = tuple(p.VariantInfo.of(v, "float32", NATIVE) for v in variants)
        count = len(command.tokens) - 1
        changes = tuple(p.YardstickInfo(name, "a change") for name in command.yardsticks)
        started = p.ScoreStarted(infos, reference, count, 1, count, CONTEXT, yardsticks=changes)
        self.emit(started)
        rows = [
            p.ScoredRow(i, (-1.0,) * count, (float(i),) * count, (True,) * count)
            for i in range(len(variants))
            if i != reference
        ]
        for row, name in enumerate(command.yardsticks, len(variants)):
            if name == "embed-scale":
                self.emit(p.ScoreFailed(row, ErrorInfo("yardstick", "It changes nothing.")))
                continue
            same = [True] * count
            if name == "q4" and command.tokens[-1] % 2:  # parts at the last token but one
                same[-2] = False
            rows.append(p.ScoredRow(row, (-1.0,) * count, (0.5,) * count, tuple(same)))
        self.emit(p.ScoreChunk((-1.0,) * count, (0.5,) * count, tuple(rows)))
        self.emit(p.ScoreFinished("completed", 0.1, 0))


class SweepEngines:
    """Starts such engines in memory: each dies after as many events as `deaths` says next."""

    def __init__(self, *deaths: int, step_s: float = 0.0, hangs: Collection[str] = ()) -> None:
        self._hangs = hangs
        self._deaths = list(deaths)
        self._step_s = step_s
        self.engines: list[SweepEngine] = []
        self.clients: list[InMemory] = []

    def __call__(self) -> InMemory:
        self.clients.append(_Again(self))
        return self.clients[-1]

    def next(self) -> SweepEngine:
        dies_after = self._deaths.pop(0) if self._deaths else None
        self.engines.append(SweepEngine(self._step_s, dies_after, self._hangs))
        return self.engines[-1]

    @property
    def compared(self) -> list[str]:
        """The prompts that were sent, in order."""
        return [command.prompt for engine in self.engines for command in engine.compared]


class _Again(InMemory):
    """A transport whose every start is a new engine, as a process is."""

    def __init__(self, engines: SweepEngines) -> None:
        super().__init__(engines.next())
        self._engines = engines
        self._has_begun = False

    async def start(self) -> None:
        if self._has_begun:
            super().__init__(self._engines.next())
        self._has_begun = True
        await super().start()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step-s", type=float, default=0.0)
    arguments = parser.parse_args()
    asyncio.run(serve_in_process(SweepEngine(arguments.step_s)))


if __name__ == "__main__":
    main()
