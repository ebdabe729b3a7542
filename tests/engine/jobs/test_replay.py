"""What made a fork: replays against margins that this test computes in its own way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison, Stream
from gelu_tui.core.runs.document import document
from gelu_tui.core.runs.restore import read_document, restore
from gelu_tui.engine import device
from gelu_tui.engine.jobs import replay
from gelu_tui.engine.jobs.compare import Run
from gelu_tui.engine.jobs.request import resolve
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, tiny_models
from tests.support.commands import comparing
from tests.support.subclasses import with_function

PROMPT = "Why is the sky blue?"
Events = list[p.Event]


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    device.prepare()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.write(tmp_path_factory.mktemp("plain") / "m", "gemma3_text")


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bfloat16 model in which every other token is nearly its neighbour: rounding decides."""
    folder = tmp_path_factory.mktemp("twins") / "m"
    tiny_models.write(folder, "gemma2", dtype=mx.bfloat16)
    weights = dict(mx.load(str(folder / "model.safetensors")))
    embedding = np.array(weights["model.embed_tokens.weight"].astype(mx.float32))
    embedding[1::2] = embedding[::2] + 2e-4 * np.random.RandomState(1).randn(192, 64)
    weights["model.embed_tokens.weight"] = mx.array(embedding).astype(mx.bfloat16)
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    return folder


def run(
    loaded: LoadedModel,
    command: p.Compare,
    *,
    cancelled: Callable[[Events], bool] = lambda _: False,
    replay_asked: Callable[[Events], bool] = lambda _: False,
) -> tuple[Comparison, Events]:
    events: Events = []
    Run(
        loaded,
        resolve(loaded, command),
        lambda event: events.append(p.decode_event(p.encode(event))),
        lambda: cancelled(events),
        0.0,
        lambda: replay_asked(events),
    ).run({})
    assert isinstance(events[0], p.Started)
    comparison = Comparison.begin(events[0])
    for event in events:
        comparison.apply(event)
    return comparison, events


def forked(comparison: Comparison) -> list[Stream]:
    return [stream for stream in comparison.streams if stream.fork is not None]


def margins_of(folder: Path, comparison: Comparison, stream: Stream) -> dict[str, float]:
    """By one float32 pass over the shared prefix, without a cache and without this engine."""
    model: Any = in_process.load(folder, "float32").model
    model.update(tree_map(lambda a: a.astype(mx.float32), model.parameters()))
    assert stream.fork is not None
    prefix = [*comparison.prompt_tokens, *stream.tokens[: stream.fork.step]]
    logits = {}
    for side in (comparison.reference, stream):
        with with_function(model, side.name):
            logits[side.name] = np.array(model(mx.array([prefix])))[0, -1].astype(float)
    a, b = stream.fork.reference_token, stream.fork.variant_token
    r, v = logits[comparison.reference.name], logits[stream.name]
    return {"reference": r[a] - r[b], "variant": v[b] - v[a]}


def checked(folder: Path, comparison: Comparison) -> list[p.Verdict]:
    """Each verdict, held against the test's own margins."""
    verdicts: list[p.Verdict] = []
    for stream in forked(comparison):
        fork = stream.fork
        assert fork is not None and fork.replay is not None and not fork.reason
        own = margins_of(folder, comparison, stream)
        assert fork.replay.margins == pytest.approx(own, abs=2e-4)
        keep = [own[side] > 0 for side in ("reference", "variant")]
        if min(map(abs, own.values())) > 2e-3:
            expected = {2: "formula", 1: "rounding", 0: "tie"}[sum(keep)]
            assert fork.verdict == expected, own
        verdicts.append(fork.verdict)
    return verdicts


def test_where_only_the_formula_decides(plain: Path) -> None:
    loaded = in_process.load(plain, "float32")
    command = comparing(PROMPT, ("gelu_approx", "relu", "silu", "identity"), max_tokens=12)
    comparison, events = run(loaded, command)
    assert checked(plain, comparison) == ["formula"] * 3
    kinds = [type(event) for event in events]
    assert kinds[-1] is p.Finished
    assert kinds.index(p.SelfChecked) < kinds.index(p.ForkReplayed)
    for stream in forked(comparison):
        fork, again = stream.fork, stream.fork.replay
        # In float32 the run itself was as exact as its replay.
        assert again.margins == pytest.approx(fork.margins, abs=1e-4)
        assert again.probabilities == pytest.approx(fork.probabilities, abs=1e-4)
        assert again.ranks == fork.ranks
        assert [c.id for c in again.reference_top] == [c.id for c in fork.reference_top]
        assert [c.id for c in again.variant_top] == [c.id for c in fork.variant_top]


def test_where_only_precision_decides(twins: Path) -> None:
    loaded = in_process.load(twins, "bfloat16")
    names = ("gelu_approx", "gelu", "keras_gelu_approx")
    verdicts: list[p.Verdict] = []
    for prompt in (PROMPT, "the sky", "空が青い", "blue is", "a b c"):
        command = comparing(prompt, names, max_tokens=12, activation_precision="model")
        comparison, _ = run(loaded, command)
        verdicts += checked(twins, comparison)
    assert verdicts.count("rounding") >= 3


@pytest.mark.parametrize("schedule", ["lockstep", "solo"])
@pytest.mark.parametrize("bits", [None, 4])
def test_the_model_is_left_as_it_was(
    schedule: p.Schedule, bits: int | None, tmp_path: Path
) -> None:
    folder = tiny_models.write(tmp_path, "gemma3_text", bits=bits, dtype=mx.bfloat16)
    loaded = in_process.load(folder, "bfloat16")
    before = dict(tree_flatten(loaded.model.parameters()))
    classes = [type(module) for _, module in loaded.model.named_modules()]
    command = comparing(PROMPT, ("gelu", "relu"), max_tokens=6, schedule=schedule)
    comparison, _ = run(loaded, command)
    assert forked(comparison)
    after = dict(tree_flatten(loaded.model.parameters()))
    assert all(before[name] is after[name] for name in before)
    assert [type(module) for _, module in loaded.model.named_modules()] == classes


def test_chunks_do_not_matter(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = in_process.load(plain, "float32")
    command = comparing(PROMPT * 3, ("gelu_approx", "relu"), max_tokens=12)
    (whole,) = forked(run(loaded, command)[0])
    monkeypatch.setattr(replay, "_CHUNK", 3)
    comparison, events = run(loaded, command)
    (chunked,) = forked(comparison)
    assert chunked.fork.replay.margins == pytest.approx(whole.fork.replay.margins, abs=1e-4)
    told = [e for e in events if isinstance(e, p.Progress) and e.phase == "replay"]
    assert len(told) > 2 * len(comparison.prompt_tokens) / 3
    assert told[-1].done == told[-1].total


# --- without a replay -----------------------------------------------------------------------------

COMPARE = comparing(PROMPT, ("gelu_approx", "relu", "silu"), max_tokens=12)


def only_reason(comparison: Comparison) -> str:
    forks = [stream.fork for stream in forked(comparison)]
    assert forks and all(f.verdict == "unverified" and f.replay is None for f in forks)
    (reason,) = {fork.reason for fork in forks}
    return reason


def test_switched_off(plain: Path) -> None:
    loaded = in_process.load(plain, "float32")
    comparison, _ = run(loaded, comparing(PROMPT, ("gelu", "relu"), max_tokens=8, replay=False))
    assert only_reason(comparison) == "the replay was switched off"


@pytest.mark.parametrize("schedule", ["lockstep", "solo"])
def test_a_stopped_run(plain: Path, schedule: p.Schedule) -> None:
    loaded = in_process.load(plain, "float32")
    command = comparing(PROMPT, ("gelu", "relu"), max_tokens=200, schedule=schedule)
    comparison, events = run(
        loaded, command, cancelled=lambda events: any(isinstance(e, p.ForkFound) for e in events)
    )
    assert only_reason(comparison) == "the run was stopped before its replay was done"
    assert events[-1].status == "cancelled"


def test_a_replay_that_is_stopped_leaves_the_run_whole(plain: Path) -> None:
    loaded = in_process.load(plain, "float32")
    comparison, events = run(
        loaded,
        COMPARE,
        cancelled=lambda events: any(isinstance(e, p.ForkReplayed) for e in events),
    )
    forks = {stream.fork.verdict: stream.fork for stream in forked(comparison)}
    assert set(forks) == {"formula", "unverified"}
    assert "stopped" in forks["unverified"].reason
    assert events[-1].status == "completed"


def test_a_replay_that_fails_says_why(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(replay, "in_float32", no_room)
    comparison, events = run(in_process.load(plain, "float32"), COMPARE)
    assert only_reason(comparison).startswith("the replay failed: ")
    assert "Memory ran out" in only_reason(comparison)
    assert events[-1].status == "completed"


# --- on demand ------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["lockstep", "solo"])
@pytest.mark.parametrize("replay_at_the_end", [True, False])
def test_on_demand_while_it_streams(
    plain: Path, schedule: p.Schedule, replay_at_the_end: bool
) -> None:
    loaded = in_process.load(plain, "float32")
    names = ("gelu_approx", "relu", "gelu_fast_approx")
    command = comparing(PROMPT, names, max_tokens=16, schedule=schedule, replay=False)
    undisturbed, _ = run(loaded, command)
    asked: list[int] = []

    def once_after_a_fork(events: Events) -> bool:
        forks = any(isinstance(event, p.ForkFound) for event in events)
        if forks and not asked:
            asked.append(len(events))
            return True
        return False

    command = comparing(PROMPT, names, max_tokens=16, schedule=schedule, replay=replay_at_the_end)
    comparison, events = run(loaded, command, replay_asked=once_after_a_fork)
    kinds = [type(event) for event in events]
    first = kinds.index(p.ForkReplayed)
    assert p.Step in kinds[first:], "it went on afterwards"
    assert [s.tokens for s in comparison.streams] == [s.tokens for s in undisturbed.streams]
    streams = [event.stream for event in events if isinstance(event, p.ForkReplayed)]
    assert len(streams) == len(set(streams)), "each fork is told of once"
    verdicts = {stream.name: stream.fork.verdict for stream in forked(comparison)}
    assert verdicts["relu"] == "formula"
    paused = sum(isinstance(e, p.Progress) and e.phase == "replay" for e in events[:first])
    assert paused > 0
    if schedule == "lockstep":
        checks = [index for index, kind in enumerate(kinds) if kind is p.SelfChecked]
        assert len(checks) == 1 and checks[0] < first, "a verdict needs to know the noise"


def test_a_replay_survives_the_document(plain: Path) -> None:
    loaded = in_process.load(plain, "float32")
    comparison, _ = run(loaded, COMPARE)
    told = p.Loaded(loaded.info, "", "cpu", None, {}, 0.0, 256, False, 1)
    saved = document(comparison, told)
    again = restore(read_document(msgspec.json.encode(saved)))
    for stream, copy in zip(comparison.streams, again.streams, strict=True):
        for name in p.Fork.__struct_fields__:
            assert getattr(stream.fork, name, None) == getattr(copy.fork, name, None)


# --- under sampling -------------------------------------------------------------------------------


def test_a_fork_under_sampling_is_judged_by_what_was_drawn(plain: Path) -> None:
    loaded = in_process.load(plain, "float32")
    drawn = {"temperature": 0.9, "seed": 5}
    command = comparing(PROMPT, ("gelu_approx", "relu"), max_tokens=20, **drawn)
    comparison, _ = run(loaded, command)
    (stream,) = forked(comparison)
    fork = stream.fork
    assert fork.verdict == "formula"
    assert min(fork.replay.score_margins.values()) > 0, "each drew its own again"
    # The noise decided as much as the logits: their own margins are others.
    assert fork.replay.score_margins != pytest.approx(fork.margins, abs=0.01)
    assert fork.replay.margins == pytest.approx(fork.margins, abs=1e-4)
    assert fork.replay.probabilities == pytest.approx(fork.probabilities, abs=1e-4)


def test_a_token_that_cannot_be_drawn_has_no_margin(plain: Path) -> None:
    loaded = in_process.load(plain, "float32")
    drawn = {"temperature": 0.9, "seed": 5, "top_k": 1}
    command = comparing(PROMPT, ("gelu_approx", "relu"), max_tokens=20, **drawn)
    (stream,) = forked(run(loaded, command)[0])
    assert stream.fork.verdict == "formula"
    assert stream.fork.replay.score_margins == {"reference": None, "variant": None}
    assert all(margin > 0 for margin in stream.fork.replay.margins.values())
