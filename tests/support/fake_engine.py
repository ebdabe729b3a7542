"""A stand-in for the engine: the real protocol, made-up tokens.

In the event loop of the app it is reached through `tests.support.in_memory`; as a child process,

    python tests/support/fake_engine.py --scenario five

It computes nothing. Its texts are those of `made_up.py`, so that a test knows which token of which
stream differs; commands, handshake, cancel and the end of stdin behave as the engine's do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Container, Sequence
from pathlib import Path

import msgspec

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[2]))  # where its parts are

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.functions.controls import with_control
from gelu_tui.core.functions.variants import parse_variants, resolve_reference
from gelu_tui.core.settings.run_settings import RunSettings
from tests.support.ended_run_engine import replay, what_if
from tests.support.made_up import fork_between, token_id, tokens_of, told
from tests.support.models_engine import HUB_SIZES, delete_model, fetch, list_models
from tests.support.stand_in import CancelSeen, Died, StandIn, forever, serve_in_process
from tests.support.text_engine import candidates_of, rendered, scored

FRESH_SEED = 1_234_567
SCENARIOS = (
    "five", "slow_load", "load_error", "dies", "garbage", "hangs", "bad_stream",
    "hostile", "silent", "old_protocol", "compare_error", "stream_error", "blank_forks", "long",
    "no_kl", "emoji", "same_names", "wrong_fork", "huge_token", "warns",
)  # fmt: skip


def resolved(settings: RunSettings, reference: str) -> RunSettings:
    """What the engine makes of the settings; a seed that was not given is always the same."""
    drawn = settings.temperature and settings.seed is None
    return msgspec.structs.replace(
        settings,
        reference=reference,
        chat=settings.chat is True,
        seed=FRESH_SEED if drawn else settings.seed,
    )


class FakeEngine(StandIn):
    """Takes lines of the app and writes its own."""

    def __init__(self, scenario: str = "five", step_s: float = 0.005) -> None:
        super().__init__()
        self.scenario = scenario
        self.hangs, self.is_deaf = scenario == "hangs", scenario == "silent"
        self.step_s = step_s
        self.loads = 0
        self.ended: set[int] = set()
        self.forks: list[p.ForkFound] = []
        self.max_tokens = 0
        self.model = ""

    async def serve(self, write: Callable[[bytes], object]) -> None:
        """Write events until it is cancelled. Raises `Died` where the scenario has it so."""
        self.write = write
        if self.scenario == "silent":
            await forever()
        version = 999 if self.scenario == "old_protocol" else p.PROTOCOL_VERSION
        self.emit(p.Hello(version, {"fake": "1"}, os.getpid(), "engine.log"))
        while True:
            command = await self.commands.get()
            self.cancelled.clear()
            self.answered = command.id
            match command:
                case p.Load():
                    await self.load(command)
                case p.Fetch():
                    await fetch(self, command)
                case p.ListModels():
                    list_models(self, command)
                case p.AskHub():
                    self.emit(p.HubSizes(tuple(s for s in HUB_SIZES if s.id in command.models)))
                case p.DeleteModel():
                    delete_model(self, command)
                case p.Compare():
                    await self.compare(command)
                case p.Continue():
                    await self.go_on(command)
                case p.Replay(run=p.Continue() as run):
                    replay(self, run)
                case p.WhatIf():
                    await what_if(self, command)
                case p.Score():
                    await scored(self, command)
                case p.Candidates():
                    self.emit(candidates_of(command))
                case p.RenderPrompt():
                    self.emit(rendered(command))
                case p.Layers():
                    from tests.support.layers_engine import measured

                    await measured(self, command)
                case p.FunctionValues():
                    from tests.support.functions_engine import function_values

                    self.emit(function_values(command))
                case p.GateInputs():
                    await self.read_inputs(command)
                case _:
                    self.emit(p.Failed(ErrorInfo("usage", "The fake engine cannot do this."), ""))

    async def read_inputs(self, command: p.GateInputs) -> None:
        from tests.support.inputs_engine import inputs_events

        try:
            for event in inputs_events(command):
                self.emit(event)
                await self.sleep(self.step_s)
        except CancelSeen:
            self.emit(p.InputsFinished("cancelled", 0.5, 0))

    async def load(self, command: p.Load) -> None:
        self.loads += 1
        if self.scenario == "load_error" and self.loads == 1:
            self.emit(
                p.Failed(
                    ErrorInfo(
                        "model_not_found",
                        f"There is no model named '{command.model}'.",
                        "Check the name on the hub.",
                    ),
                    "load",
                )
            )
            return
        try:
            if self.scenario == "slow_load":
                for part in range(1, 41):
                    self.emit(
                        p.Progress(
                            "download",
                            "model.safetensors",
                            part * 6_075_000,
                            243_000_000,
                            "bytes",
                            12_500_000.0,
                        )
                    )
                    await self.sleep(self.step_s)
        except CancelSeen:
            self.emit(p.Cancelled("load"))
            return
        self.model = command.model
        info = p.ModelInfo(
            command.model,
            "gemma3_text",
            command.dtype or "float32",
            None,
            "gelu_approx",
            warnings=("hidden_act in config.json is ignored.",) if self.scenario == "warns" else (),
        )
        loaded = p.Loaded(
            model=info,
            folder="/models/fake",
            device="cpu",
            blas="openblas",
            versions={"fake": "1"},
            load_s=0.1,
            context_length=32768,
            has_chat_template=False,
            weight_bytes=1_072_000_000,
            places=tuple(
                p.Place(layer, "feed-forward")
                for layer in range(2 if command.model.endswith("small") else 18)
            ),
        )
        self.emit(loaded)

    async def compare(self, command: p.Compare) -> None:
        if self.scenario == "compare_error":
            self.emit(
                p.Failed(
                    ErrorInfo(
                        "prompt_too_long",
                        "The prompt has 40000 tokens, the model reads 32768.",
                        "Shorten it.",
                    ),
                    "compare",
                )
            )
            return
        settings = command.settings
        self.max_tokens = settings.max_tokens
        variants = parse_variants(settings.activations)
        reference = resolve_reference(variants, settings.reference, "gelu_approx")
        variants, control = with_control(variants, reference, wanted=settings.control)
        infos = tuple(
            p.VariantInfo.of(v, settings.activation_precision, "gelu_approx", control=i == control)
            for i, v in enumerate(variants)
        )
        if self.scenario == "same_names":
            infos = infos[:1] * len(infos)
        self.emit(
            p.Started(
                command.prompt,
                command.prompt,
                (2, 5),
                infos,
                reference,
                resolved(settings, variants[reference].name),
            )
        )
        for stream in range(len(variants)):
            self.emit(p.Prefilled(stream, 0.01, 200.0))
        await self.run([v.name for v in variants], reference, settings)

    async def go_on(self, command: p.Continue) -> None:
        """As the engine: nothing is told before what was decoded is decoded again."""
        names = [variant.name for variant in command.started.variants]
        if command.model.id != self.model:
            text = f"This run was made with {command.model.id}, and {self.model} is loaded."
            error = ErrorInfo("other_model", text, "Load that model first.")
            self.emit(p.Failed(error, "continue"))
            return
        try:
            for step in range(command.first_step):
                progress = step + 1, command.first_step, "tokens"
                self.emit(p.Progress("recompute", "the tokens so far", *progress))
                await self.sleep(self.step_s)
        except CancelSeen:
            self.emit(p.Cancelled("continue"))
            return
        self.emit(command.started)
        self.max_tokens = command.started.settings.max_tokens
        judged = {i for i, stream in enumerate(command.streams) if stream.judged}
        where = command.started.reference, command.started.settings
        await self.run(names, *where, command.first_step, judged)

    async def run(
        self,
        names: Sequence[str],
        reference: int,
        settings: RunSettings,
        first: int = 0,
        judged: Container[int] = (),
    ) -> None:
        """Everything after the first event of a run, from the step `first` on."""
        texts = [
            tokens_of(name, i, self.scenario)[: settings.max_tokens] for i, name in enumerate(names)
        ]
        try:
            await self.decode(texts, reference, first)
        except CancelSeen:
            for stream in range(len(texts)):
                if stream not in self.ended:
                    self.emit(p.StreamFinished(stream, "cancelled"))
            self.finish("cancelled", len(texts))
            return
        for found in self.forks if settings.replay else []:
            if found.stream not in judged:
                self.emit(told(found))
        self.finish("completed", len(texts))

    async def decode(self, texts: list[list[str]], reference: int, first: int) -> None:
        ids = [list(map(token_id, stream)) for stream in texts]
        forked: set[int] = set()
        self.ended.clear()
        self.forks.clear()
        kl = 0.0 if self.scenario == "no_kl" else 0.001
        self.ended |= {i for i, text in enumerate(texts) if len(text) <= first}
        for i, stream in enumerate(ids):
            pairs = enumerate(zip(ids[reference][:first], stream[:first], strict=False))
            at = next((step for step, (a, b) in pairs if a != b), None)
            if at is not None:
                forked.add(i)
                sides = ((ids[j][at], texts[j][at]) for j in (reference, i))
                self.forks.append(fork_between(i, at, *sides))
        for step in range(first, max(map(len, texts))):
            await self.sleep(self.step_s)
            await self.misbehave(step)
            seconds = (step + 1) * max(self.step_s, 0.001)
            self.emit(
                p.Step(
                    step,
                    seconds,
                    tuple(
                        p.StreamStep(i, ids[i][step], text[step], -0.5, 1.5, kl, seconds)
                        for i, text in enumerate(texts)
                        if step < len(text)
                    ),
                )
            )
            for i, stream in enumerate(texts):
                both = step < len(stream) and step < len(texts[reference])
                if i not in forked and both and ids[i][step] != ids[reference][step]:
                    forked.add(i)
                    sides = ((ids[j][step], texts[j][step]) for j in (reference, i))
                    self.forks.append(fork_between(i, step, *sides))
                    self.emit(self.forks[-1])
                if step == len(stream) - 1:
                    self.ended.add(i)
                    failed = self.scenario == "stream_error" and i == 1
                    error = (
                        ErrorInfo("not_finite", "The logits are not finite.", "Try float32.")
                        if failed
                        else None
                    )
                    ended: p.FinishReason = "length" if len(stream) == self.max_tokens else "stop"
                    self.emit(p.StreamFinished(i, "failed" if failed else ended, error=error))

    async def misbehave(self, step: int) -> None:
        if step != 6:
            return
        match self.scenario:
            case "dies":
                raise Died("libc++abi: terminating: out of memory")
            case "garbage":
                self.write(b"Traceback \x1b[31m(most recent call last):\n")
            case "hangs":
                await forever()
            case "wrong_fork":
                self.emit(fork_between(2, 99, (1, "a"), (2, "b")))
            case "huge_token":
                huge = p.StreamStep(0, 1, "x" * 5_000_000, None, None, None, 1.0)
                self.emit(p.Step(step, 1.0, (huge,)))
            case "bad_stream":
                self.emit(p.Step(step, 1.0, (p.StreamStep(99, 1, "x", None, None, None, 1.0),)))

    def finish(self, status: p.Status, streams: int) -> None:
        self.emit(p.Finished(status, p.Timing(0.1, 0.01, 1.0, 40, 40.0 * streams), 2_000_000_000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", choices=SCENARIOS, default="five")
    parser.add_argument("--step-s", type=float, default=0.005)
    arguments = parser.parse_args()
    asyncio.run(serve_in_process(FakeEngine(arguments.scenario, arguments.step_s)))


if __name__ == "__main__":
    main()
