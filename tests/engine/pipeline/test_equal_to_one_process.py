"""A model split by layers computes what it computes in one process, bit for bit."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.core.runs.document import document
from gelu_tui.core.runs.going_on import go_on, replay_command
from gelu_tui.engine import device
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.activation_sites import rowwise
from gelu_tui.engine.compute.decode import decode, prefill
from gelu_tui.engine.compute.functions import function_of
from gelu_tui.engine.jobs.compare import Run
from gelu_tui.engine.jobs.request import resolve, resolve_again
from gelu_tui.engine.jobs.score import score
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, pipelines, tiny_models
from tests.support.batching import Jobs
from tests.support.commands import comparing, scoring
from tests.support.comparisons import LOADED

FAMILIES = ("gemma", "gemma2", "gemma3_text", "gemma3", "recurrent_gemma")
FUNCTIONS = ("gelu_approx", "gelu", "relu", "mine=x*sigmoid(1.7*x)")
LIMITED = ("relu@1-2", "silu@3", "mine=x*sigmoid(1.7*x)@mlp@0,3")  # on more ranks than one
PROMPT = "Why is the sky blue? the sky is"  # longer than the window, and than a chunk
Pair = tuple[LoadedModel, LoadedModel]
Pairs = Callable[..., Pair]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    """A tiny model in one process, and over so many ranks."""
    device.prepare()
    folders: dict[Any, Any] = {}
    found: dict[Any, LoadedModel] = {}

    def load(family: str, ranks: int, dtype: str = "float32", bits: int | None = None) -> Pair:
        kind = family, dtype, bits
        if kind not in folders:
            folder = tmp_path_factory.mktemp("m")
            folders[kind] = tiny_models.write(folder, family, dtype=getattr(mx, dtype), bits=bits)
            found[kind] = in_process.load(folder, dtype)
        if (*kind, ranks) not in found:
            found[*kind, ranks], _ = pipelines.load(folders[kind], ranks, dtype)
        return found[kind], found[*kind, ranks]

    return load


def told(events: Iterable[p.Event]) -> list[Any]:
    """What is said, without times and memory."""
    kept = []
    for event in events:
        match event:
            case p.Step():
                streams = tuple(structs.replace(s, decode_s=0.0) for s in event.streams)
                kept.append(structs.replace(event, elapsed_s=0, memory_bytes=0, streams=streams))
            case p.Finished() | p.ScoreFinished():
                kept.append((event.status, event.error))
            case p.Progress() | p.Prefilled() | p.BatchSize():
                pass
            case _:
                kept.append(event)
    assert kept
    return kept


def compare(loaded: LoadedModel, command: p.Compare | p.Continue) -> list[p.Event]:
    events: list[p.Event] = []
    if isinstance(command, p.Compare):
        request = resolve(loaded, command)
    else:
        request = resolve_again(loaded, command)
    Run(loaded, request, events.append, lambda: False, 0.0).run({})
    return events


# The code that splits is one for all families; `test_any_run` has all of them on 2 to 4 ranks.
CASES = [*((family, 3) for family in FAMILIES), ("gemma3_text", 2), ("recurrent_gemma", 2)]


@pytest.mark.parametrize(("family", "ranks"), CASES)
def test_logits_of_lockstep_rows_beyond_the_window(pairs: Pairs, family: str, ranks: int) -> None:
    functions = [function_of(parse_variant(spec), "float32") for spec in FUNCTIONS]

    def logits(loaded: LoadedModel) -> list[Any]:
        tokens = loaded.tokenizer.encode(PROMPT)
        assert len(tokens) > 16
        with rowwise(loaded.model) as sites:
            rows = []
            for function in functions:
                with sites.use(function):
                    rows.append(prefill(loaded.model, tokens, 7, lambda _: None, lambda: False))
            cache = caches.join(rows)
            with sites.use(*functions):
                steps = decode(loaded.model, cache, [tokens[-1]] * 4, ahead=False)
                return [np.array(step.logits) for step in itertools.islice(steps, 9)]

    one, many = map(logits, pairs(family, ranks))
    assert all(map(np.array_equal, one, many))
    assert not np.array_equal(one[0][0], one[0][2])  # the functions are not one


@pytest.mark.parametrize(("family", "ranks"), CASES)
def test_a_run_with_control_self_check_and_replay(pairs: Pairs, family: str, ranks: int) -> None:
    settings = {"control": True, "max_tokens": 12, "what_if": True}
    command = comparing(PROMPT, FUNCTIONS[1:] + LIMITED, **settings)
    one, many = (told(compare(loaded, command)) for loaded in pairs(family, ranks))
    assert one == many
    assert {p.SelfChecked, p.ForkReplayed, p.WhatIfAnswered} <= set(map(type, one))


@pytest.mark.parametrize(
    ("dtype", "bits", "precision"),
    [("bfloat16", None, "model"), ("bfloat16", None, "float32"), ("float32", 4, "float32")],
)
def test_hidden_states_in_float32_at_a_replay(
    pairs: Pairs, dtype: str, bits: int | None, precision: Any
) -> None:
    settings = {"activation_precision": precision, "control": True, "max_tokens": 8}
    command = comparing(PROMPT, FUNCTIONS, **settings)
    one, many = (told(compare(m, command)) for m in pairs("gemma3_text", 2, dtype, bits))
    assert one == many
    assert p.ForkReplayed in map(type, one)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_score(pairs: Pairs, family: str) -> None:
    command = scoring(FUNCTIONS[1:] + LIMITED[::2], text=PROMPT * 2, context=20)

    def scored(loaded: LoadedModel) -> list[Any]:
        events: list[p.Event] = []
        score(loaded, command, events.append, lambda: False)
        return told(events)

    one, many = map(scored, pairs(family, 3))
    assert one == many
    assert p.ScoreChunk in map(type, one)


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_that_share_a_batch(pairs: Pairs, family: str) -> None:
    prompts = (PROMPT, "the", "is the sky", "", "Why")
    commands = [
        structs.replace(comparing(prompt, (*FUNCTIONS[:2], LIMITED[0]), max_tokens=6), rows=6)
        for prompt in prompts
    ]
    one, many = (Jobs(commands).run(loaded) for loaded in pairs(family, 2))
    assert one.size == many.size
    for number in range(len(prompts)):
        assert told(one.of(number)) == told(many.of(number))


def test_a_run_that_goes_on_and_is_replayed_later(pairs: Pairs) -> None:
    def everything(loaded: LoadedModel) -> list[Any]:
        command = comparing(PROMPT, FUNCTIONS, max_tokens=6, replay=False)
        events = compare(loaded, command)
        started = next(event for event in events if isinstance(event, p.Started))
        comparison = Comparison.begin(started)
        for event in events:
            comparison.apply(event)
        before = document(comparison, structs.replace(LOADED, model=loaded.info))
        more = go_on(before, 10)[0]
        events += compare(loaded, more)
        replayed: list[p.Event] = []
        again = resolve_again(loaded, replay_command(before, comparison).run)
        Run(loaded, again, replayed.append, lambda: False, 0.0).replay({})
        return told([*events, *replayed])

    one, many = map(everything, pairs("gemma3_text", 2))
    assert one == many
    assert p.Replayed in map(type, one)


@given(
    family=st.sampled_from(FAMILIES),
    ranks=st.integers(2, 4),
    names=st.lists(st.sampled_from(FUNCTIONS), min_size=1, max_size=3, unique=True),
    limited=st.lists(st.sampled_from(LIMITED), max_size=2, unique=True),
    prompt=st.text("the sky空", min_size=1, max_size=60),
    schedule=st.sampled_from(["lockstep", "solo"]),
    temperature=st.sampled_from([0.0, 1.0]),
    tokens=st.integers(1, 6),
)
@settings(max_examples=20)
def test_any_run(
    pairs: Pairs,
    family: str,
    ranks: int,
    names: list[str],
    limited: list[str],
    prompt: str,
    schedule: Any,
    temperature: float,
    tokens: int,
) -> None:
    settings = {"schedule": schedule, "temperature": temperature, "seed": 1}
    command = comparing(prompt, names + limited, max_tokens=tokens, **settings)
    one, many = (told(compare(loaded, command)) for loaded in pairs(family, ranks))
    assert one == many


def test_a_model_computes_with_its_own_function_again(pairs: Pairs) -> None:
    one, many = pairs("gemma", 3)
    compare(many, comparing("the", ("relu",), max_tokens=2))
    tokens = mx.array([[2, 7, 9]])
    assert np.array_equal(np.array(one.model(tokens)), np.array(many.model(tokens)))


def test_ranks_drop_the_caches_that_rank_0_has_dropped(pairs: Pairs, tmp_path: Any) -> None:
    many, ring = pipelines.load(tiny_models.write(tmp_path, "gemma3_text"), 3)
    compare(many, comparing(PROMPT, FUNCTIONS, control=True, max_tokens=8))
    gc.collect()
    many.model.layers[-1]._leader.done(1)
    assert [len(follower._caches) for follower in ring.followers] == [0, 0]
