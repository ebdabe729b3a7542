"""A stand-in for the engine: the real protocol, made-up tokens.

In the event loop of the app it is reached through `tests.support.in_memory`; as a child process,

    python tests/support/fake_engine.py --scenario five

It computes nothing. Its texts are written here, so that a test knows which token of which stream
differs; the commands, the handshake, the cancel and the end of stdin behave as the engine's do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Container, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.functions.controls import with_control
from gelu_tui.core.functions.variants import parse_variants, resolve_reference
from gelu_tui.core.models import demo
from gelu_tui.core.models.inventory import HubSize
from gelu_tui.core.models.memory import Memory
from gelu_tui.core.settings.run_settings import RunSettings

SCENARIOS = (
    "five", "slow_load", "load_error", "dies", "garbage", "hangs", "bad_stream",
    "hostile", "silent", "old_protocol", "compare_error", "stream_error", "blank_forks", "long",
    "no_kl", "emoji", "same_names", "wrong_fork", "huge_token", "warns",
)  # fmt: skip


def pieces(text: str) -> list[str]:
    """Token texts, written with a bar between them."""
    return text.split("|")


BASE = pieces(
    "The| sky| is| blue| because| of| a| phenomenon| called| Rayleigh| scattering|.|\n\n|Sun|light"
    "| looks| white|,| but| it| holds| all| the| colours| of| the| rainbow|.| Shorter| waves| are"
    "| scattered| more| than| longer| ones|,| so| blue| reaches| us|.| 空|の|青|。"
)
SILU = pieces(
    " I| do| not| know| what| the| question| is| about|,| so| here| is| a| list|:|\n|\n|1|.| The|\n"
)
RELU = pieces("ment| of| of| of| the| the| of| of")
HOSTILE = pieces("plain| \x1b[31mred|\x1b]0;owned\x07| [bold]markup[/]| \u202eabc| \x00|\r| end")
EMOJI = pieces("I| ❤️❤️❤️| you| 👍🏽👍🏽|,| ⚠️| 1️⃣| end")
FETCH_ERRORS = {
    "google": ErrorInfo(
        "gated",
        "google/x is gated: its licence must be accepted before it can be fetched.",
        "Accept it at https://huggingface.co/google/x, then log in with `hf auth login`.",
    ),
    "nobody": ErrorInfo(
        "model_not_found", "The hub has no model nobody/x, or it is private.", "Check the spelling."
    ),
}
GB = 1_000_000_000
MEMORY = Memory(17 * GB, 10 * GB, 10 * GB)
# what its hub tells of two models, and of no other
HUB_SIZES = (
    HubSize("mlx-community/gemma-3-12b-it-4bit", 8_010_000_000, 9_500_000_000),
    HubSize("maker/gemma-mine", 1_230_000_000, 2_340_000_000),
)
FRESH_SEED = 1_234_567
BLANKS = ("\n", " ", "", "<start_of_image>")
# one of each kind, with a margin of the variant that fits it
VERDICTS: list[tuple[p.Verdict, float]] = [("formula", 0.1), ("rounding", -0.1), ("tie", 5e-4)]


def tokens_of(name: str, index: int, scenario: str) -> list[str]:
    """The token texts of one variant."""
    if scenario == "hostile":
        return HOSTILE if index == 0 else [*HOSTILE[: index + 1], "x", *HOSTILE]
    if scenario == "emoji":
        return EMOJI
    if scenario == "blank_forks":
        blank = [*BASE[:4], BLANKS[index % 4], " after", " the", " blank"]
        return BASE if name == "gelu_approx" else blank
    forks = {
        "gelu_fast_approx": (10, [" light", " scattering", *BASE[11:]]),
        "silu": (1, SILU),
        "relu": (0, RELU),
    }
    at, rest = forks.get(name, (len(BASE), []))
    texts = BASE[:at] + rest
    return texts * 40 if scenario == "long" else texts


def resolved(settings: RunSettings, reference: str) -> RunSettings:
    """What the engine makes of the settings; a seed that was not given is always the same."""
    drawn = settings.temperature and settings.seed is None
    return msgspec.structs.replace(
        settings,
        reference=reference,
        chat=settings.chat is True,
        seed=FRESH_SEED if drawn else settings.seed,
    )


class CancelSeen(Exception):
    """The app asked to stop."""


class Died(Exception):
    """The engine kills itself; the argument is what it writes to stderr before."""


class FakeEngine:
    """Takes lines of the app and writes its own."""

    def __init__(self, scenario: str = "five", step_s: float = 0.005) -> None:
        self.scenario = scenario
        self.step_s = step_s
        self.commands: asyncio.Queue[p.Command] = asyncio.Queue()
        self.cancelled = asyncio.Event()
        self.answered = 0  # the id of the command that is being answered
        self.loads = 0
        self.ended: set[int] = set()
        self.forks: list[p.ForkFound] = []
        self.max_tokens = 0
        self.model = ""

    def emit(self, event: p.Event) -> None:
        self.write(p.encode(msgspec.structs.replace(event, id=self.answered)))

    def take(self, line: bytes) -> None:
        """Take one line of the app's."""
        command = p.decode_command(line)
        if not isinstance(command, p.Cancel):
            self.commands.put_nowait(command)
        elif self.scenario != "hangs":
            self.cancelled.set()

    async def sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.cancelled.wait()
        except TimeoutError:
            return
        raise CancelSeen

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
                    await self.fetch(command)
                case p.ListModels():
                    self.list_models(command)
                case p.AskHub():
                    self.emit(p.HubSizes(tuple(s for s in HUB_SIZES if s.id in command.models)))
                case p.DeleteModel():
                    self.delete_model(command)
                case p.Compare():
                    await self.compare(command)
                case p.Continue():
                    await self.go_on(command)
                case p.Replay(run=p.Continue() as run):
                    self.replay(run)
                case p.WhatIf():
                    await self.what_if(command)
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

    async def fetch(self, command: p.Fetch) -> None:
        """What becomes of a fetch is in the model's name: google/…, nobody/…, dies/…."""
        owner = command.model.split("/")[0]
        try:
            for part in range(1, 41):
                file = "model.safetensors (2 of 5 files)"
                done, total = part * 6_075_000, 243_000_000
                self.emit(p.Progress("download", file, done, total, "bytes", 12_500_000.0))
                await self.sleep(self.step_s)
                if owner in FETCH_ERRORS:
                    self.emit(p.Failed(FETCH_ERRORS[owner], "fetch"))
                    return
                if owner == "dies":
                    raise Died
        except CancelSeen:
            self.emit(p.Cancelled("fetch"))
            return
        self.emit(p.Fetched(command.model, f"/models/{command.model}"))

    def list_models(self, command: p.ListModels) -> None:
        """A real search of the disk, on a machine where a model may take 10 GB."""
        from gelu_tui.engine.models.search import find_models

        with own_demo():
            found = find_models(command.folders)
        self.emit(msgspec.structs.replace(found, memory=MEMORY))

    def delete_model(self, command: p.DeleteModel) -> None:
        from gelu_tui.engine.models.search import delete_model

        try:
            with own_demo():
                self.emit(delete_model(command.model, dry_run=command.dry_run))
        except GeluError as error:
            self.emit(p.Failed(error.info, "delete_model"))

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

    def replay(self, command: p.Continue) -> None:
        names = [variant.name for variant in command.started.variants]
        texts = [
            tokens_of(name, i, self.scenario)[: len(command.streams[i].tokens)]
            for i, name in enumerate(names)
        ]
        if self.scenario == "compare_error":
            self.emit(p.Failed(ErrorInfo("memory", "Memory ran out.", "Close programs."), ""))
            return
        reference = texts[command.started.reference]
        for i, text in enumerate(texts):
            pairs = enumerate(zip(reference, text, strict=False))
            at = next((step for step, (a, b) in pairs if a != b), None)
            if at is not None and not command.streams[i].judged:
                sides = ((token_id(x[at]), x[at]) for x in (reference, text))
                self.emit(told(fork_between(i, at, *sides)))
        self.emit(p.Replayed())

    async def what_if(self, command: p.WhatIf) -> None:
        """gelu_fast_approx goes on for six tokens, silu parts again at once, others never do."""
        if self.scenario == "compare_error":
            self.emit(p.Failed(ErrorInfo("memory", "Memory ran out.", "Close programs."), ""))
            return
        run, (given,) = command.run, command.given
        names = [variant.name for variant in run.started.variants]
        reference = run.streams[run.started.reference].tokens
        words = tokens_of(names[run.started.reference], run.started.reference, self.scenario)
        first, texts = given.steps[-1] + 1, list[str]()
        after = {"gelu_fast_approx": 6, "silu": 0}.get(names[given.stream], len(reference))
        parts = first + after if first + after < len(reference) else None
        end: p.FinishReason = "length"
        try:
            for step in range(first, len(reference)):
                await self.sleep(self.step_s)
                await self.misbehave(step)
                self.emit(p.Progress("what_if", "the forks", step + 1, len(reference), "tokens"))
                texts.append(words[step] if parts is None or step < parts else f" other{step}")
                token = p.StreamStep(given.stream, token_id(texts[-1]), texts[-1], -0.5, 1.5, 0, 1)
                self.emit(p.WhatIfStep(step, (token,)))
        except CancelSeen:
            end = "cancelled"
        if parts is not None and parts >= first + len(texts):
            parts = None
        fork = None
        if parts is not None:
            sides = ((token_id(x), x) for x in (words[parts], texts[parts - first]))
            fork = fork_between(given.stream, parts, *sides).fork
        tokens = tuple(map(token_id, texts))
        parted = parts is not None
        answer = p.Counterfactual(given.steps, tokens, "".join(texts), end, parted, parts, fork)
        self.emit(p.WhatIfAnswered(given.stream, answer))
        self.emit(p.WhatIfEnded())

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


def own_demo() -> ExitStack:
    """The demo's place and whether it is installed, from the environment of the test.

    For the time of a `with`: in memory, the fake engine shares its process with other tests.
    """
    folder = Path(os.environ.get("FAKE_ENGINE_DEMO", "/nowhere"))
    installed = os.environ.get("FAKE_ENGINE_DEMO_INSTALLED", "yes") == "yes"
    stack = ExitStack()
    stack.enter_context(patch.object(demo, "folder", lambda: folder))
    stack.enter_context(patch.object(demo, "installed", lambda: installed))
    return stack


def rendered(command: p.RenderPrompt) -> p.PromptRendered:
    """A prompt cut into words, with BOS in front and, in a chat, turns around it."""
    words = re.findall(r"\s?\S+|\s", command.prompt)
    texts = ["<bos>", *words]
    if command.chat is True:
        texts = ["<bos>", "<start_of_turn>", "user", "\n", *words, "<end_of_turn>", "\n"]
        texts += ["<start_of_turn>", "model", "\n"]
    ids = tuple(2 if text == "<bos>" else 10 + sum(map(ord, text)) for text in texts)
    special = {token for token, text in zip(ids, texts, strict=True) if text.startswith("<")}
    return p.PromptRendered(
        command.prompt,
        "".join(texts),
        ids,
        tuple(texts),
        tuple(sorted(special)),
        command.chat is True,
        True,
        32768,
    )


async def scored(engine: FakeEngine, command: p.Score) -> None:
    """A text cut into words, two of them a chunk; a `BANG` in it ends the engine there."""
    settings = command.settings
    variants = parse_variants(settings.activations)
    reference = resolve_reference(variants, settings.reference, "gelu_approx")
    variants, control = with_control(variants, reference, wanted=settings.control, room=False)
    infos = tuple(
        p.VariantInfo.of(v, settings.activation_precision, "gelu_approx", control=i == control)
        for i, v in enumerate(variants)
    )
    texts = re.findall(r"\s?[^\s]+|\s", command.text) or [f" t{t}" for t in command.tokens]
    if len(texts) < 2:
        message = "The text has no token with another one before it."
        engine.emit(p.Failed(ErrorInfo("too_short", message, "Use more text."), "score"))
        return
    count, window = len(texts), 40
    windows = -(-count // window)
    engine.emit(p.ScoreStarted(infos, reference, count, windows, count, window + 1, bos=(2,)))
    status: p.Status = "completed"
    try:
        for start in range(0, count, 2):
            engine.emit(p.Progress("score", "window", start, count, "tokens", 50.0))
            await engine.sleep(engine.step_s)
            pieces = tuple(texts[start : start + 2])
            if "BANG" in "".join(pieces):
                raise Died("libc++abi: terminating: out of memory")
            engine.emit(score_chunk(pieces, start, infos, reference, window))
    except CancelSeen:
        status = "cancelled"
    engine.emit(p.ScoreFinished(status, 1.0, 2_000_000_000))


def score_chunk(
    pieces: tuple[str, ...],
    start: int,
    infos: Sequence[p.VariantInfo],
    reference: int,
    window: int = 40,
) -> p.ScoreChunk:
    """Made-up numbers of words: each function's KL has its own size, and grows with the word."""
    rows = []
    for index, info in enumerate(infos):
        size = 1e-10 if info.control else 10.0 ** (index - 4)
        kls = tuple(size * len(piece.strip()) ** 2 for piece in pieces)
        logprobs = tuple(-1.0 + min(0.9, kl) * (-1) ** (start + i) for i, kl in enumerate(kls))
        if index != reference:
            rows.append(p.ScoredRow(index, logprobs, kls, tuple(kl < 0.5 for kl in kls)))
    return p.ScoreChunk(
        (-1.0,) * len(pieces),
        (0.5,) * len(pieces),
        tuple(rows),
        cluster=start // window,
        window=start // window,
        tokens=tuple(map(token_id, pieces)),
        texts=pieces,
    )


def candidates_of(command: p.Candidates) -> p.CandidatesFound:
    """Ten words for each side; the text's own token is the third of the reference's."""
    own = command.tokens[command.place]
    words = [" the", " a", "\n", " sky", " blue", "空", " \x1b[31m", " light", " of", "."]
    top = [p.Candidate(token_id(word), word, 0.4 / (i + 1)) for i, word in enumerate(words)]
    other = [*reversed(top[:5]), *top[5:]]
    top[2] = p.Candidate(own, " own", 0.4 / 3)
    chances = p.TokenChance(-2.0, 2), p.TokenChance(-9.0, 4310)
    return p.CandidatesFound(command.variant, own, tuple(top), tuple(other), *chances, 0.25, False)


def token_id(text: str) -> int:
    """The token that a made-up text stands for."""
    return sum(ord(char) * 31**place for place, char in enumerate(text)) % 262_144


def fork_found(
    stream: int,
    step: int,
    reference_top: Sequence[p.Candidate],
    variant_top: Sequence[p.Candidate],
    **fields: Any,
) -> p.ForkFound:
    """A fork at which each side took the first of its list; `fields` replace those of `Fork`."""
    a, b = reference_top[0], variant_top[0]
    in_reference, in_variant = (
        {candidate.id: candidate.probability for candidate in top}
        for top in (reference_top, variant_top)
    )
    values: dict[str, Any] = {
        "reference_text": a.text,
        "variant_text": b.text,
        "reference_top": tuple(reference_top),
        "variant_top": tuple(variant_top),
        "margins": {"reference": 0.2, "variant": 0.1},
        "probabilities": {
            "reference_a": a.probability,
            "reference_b": in_reference.get(b.id, 1e-6),
            "variant_a": in_variant.get(a.id, 1e-6),
            "variant_b": b.probability,
        },
        "ranks": {"b_in_reference": 1, "a_in_variant": 1},
    }
    return p.ForkFound(stream, p.Fork(step, a.id, b.id, **{**values, **fields}))


def fork_between(
    stream: int, step: int, a: tuple[int, str], b: tuple[int, str], **fields: Any
) -> p.ForkFound:
    """The fork of two tokens (id, text), each of them second in the other side's list."""
    tops = ((p.Candidate(*x, 0.5), p.Candidate(*y, 0.25)) for x, y in ((a, b), (b, a)))
    own = {"variant_text": b[1] or "<unused99>", **fields}
    return fork_found(stream, step, *tops, **own)


def fork_replayed(
    found: p.ForkFound, verdict: p.Verdict, margins: dict[str, float]
) -> p.ForkReplayed:
    """A replay that found what the run found, apart from its margins."""
    fork = found.fork
    tops = fork.reference_top, fork.variant_top
    again = p.ForkReplay(margins, {**margins}, fork.probabilities, fork.ranks, *tops)
    return p.ForkReplayed(found.stream, verdict, replay=again)


def told(found: p.ForkFound) -> p.ForkReplayed:
    """What the fake engine's replay finds."""
    verdict, margin = VERDICTS[found.stream % 3]
    return fork_replayed(found, verdict, {"reference": 0.25, "variant": margin})


async def forever() -> None:
    await asyncio.Event().wait()


def write_to_stdout(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


async def serve_in_process(engine: FakeEngine) -> None:
    """Be an engine process: the end of stdin, or a shutdown, ends it at once."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in sys.stdin.buffer:
            if isinstance(p.decode_command(line), p.Shutdown):
                break
            loop.call_soon_threadsafe(engine.take, line)
        os._exit(0)

    if engine.scenario == "hangs":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if engine.scenario != "silent":
        threading.Thread(target=read, daemon=True).start()
    try:
        await engine.serve(write_to_stdout)
    except Died as died:
        print(died, file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", choices=SCENARIOS, default="five")
    parser.add_argument("--step-s", type=float, default=0.005)
    arguments = parser.parse_args()
    asyncio.run(serve_in_process(FakeEngine(arguments.scenario, arguments.step_s)))


if __name__ == "__main__":
    main()
