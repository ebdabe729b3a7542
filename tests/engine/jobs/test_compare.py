"""A comparison's course: order of events, ends, failures, cancels, limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison import repetition
from gelu_tui.core.comparison.repetition import Repetitions
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import GeluError
from gelu_tui.engine import device
from gelu_tui.engine.compute.decode import Decoded, decode
from gelu_tui.engine.failures import IsCancelled
from gelu_tui.engine.jobs import compare, observer
from gelu_tui.engine.jobs.compare import Run
from gelu_tui.engine.jobs.request import resolve
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, tiny_models
from tests.support.commands import comparing

PROMPT = "Why is the sky blue?"
SCHEDULES = pytest.mark.parametrize("schedule", ["lockstep", "solo"])


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    device.prepare()
    return in_process.load(tiny_models.write(tmp_path_factory.mktemp("m"), "gemma3_text"))


def run(
    loaded: LoadedModel, command: p.Compare, cancelled: IsCancelled = lambda: False
) -> list[p.Event]:
    events: list[p.Event] = []
    Run(loaded, resolve(loaded, command), events.append, cancelled, 0.5).run({})
    return events


def ended(events: list[p.Event]) -> p.Finished:
    assert isinstance(events[-1], p.Finished)
    assert sum(isinstance(event, p.Finished) for event in events) == 1
    return events[-1]


@SCHEDULES
def test_the_course_of_events(loaded: LoadedModel, schedule: p.Schedule) -> None:
    names = ("gelu", "relu", "silu")
    events = run(loaded, comparing(PROMPT, names, max_tokens=5, schedule=schedule))
    kinds = [type(event) for event in events if not isinstance(event, p.Progress)]
    assert kinds[:4] == [p.Started, p.Prefilled, p.Prefilled, p.Prefilled]
    assert kinds[4] == p.Step
    assert kinds.count(p.StreamFinished) == 3
    finished = ended(events)
    assert finished.status == "completed"
    assert finished.timing.load_s == 0.5
    assert finished.timing.decode_steps == 5
    assert finished.peak_memory_bytes > loaded.weight_bytes
    comparison = Comparison.begin(events[0])
    for event in events:
        comparison.apply(event)
    total = sum(len(stream.tokens) for stream in comparison.streams)
    assert total == 15
    assert finished.timing.tokens_per_second == pytest.approx(total / finished.timing.decode_s)
    for stream in comparison.streams:
        assert stream.finish_reason == "length"
        assert [s.decode_s for s in stream.steps] == sorted(s.decode_s for s in stream.steps)
        fork = stream.fork
        assert (fork is None) == (stream.first_divergent_token is None)
        if fork is not None:
            assert fork.step == stream.first_divergent_token
            assert fork.variant_token == stream.tokens[fork.step] == fork.variant_top[0].id
            assert fork.reference_token == fork.reference_top[0].id
            assert len(fork.reference_top) == len(fork.variant_top) == 10
            assert fork.ranks["b_in_reference"] > 0
            assert fork.probabilities["variant_b"] == fork.variant_top[0].probability


@SCHEDULES
def test_a_stream_ends_at_an_end_id_and_the_others_go_on(
    loaded: LoadedModel, schedule: p.Schedule
) -> None:
    command = comparing(PROMPT, ("gelu", "relu"), max_tokens=8, schedule=schedule)
    before = [stream.tokens for stream in in_process.compare(loaded, command).streams]
    end = next(token for token in before[0] if token not in before[1])
    at = before[0].index(end)
    ending = replace(loaded, tokenizer=replace(loaded.tokenizer, end_ids=frozenset({end})))
    gelu, relu = in_process.compare(ending, command).streams
    assert gelu.tokens == before[0][: at + 1], "the end token is part of the stream"
    assert gelu.segments[-1] == ""
    assert gelu.finish_reason == "stop"
    assert relu.tokens == before[1]
    assert relu.finish_reason == "length"
    assert relu.first_divergent_token is not None


@SCHEDULES
def test_a_stream_that_repeats_itself_ends_where_the_comparison_says_so(
    loaded: LoadedModel, schedule: p.Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repetition, "LEAST_TOKENS", 7)  # a random model soon leaves its loops
    names = ("gelu", "relu", "none=x*0")
    settings = comparing(PROMPT, names, max_tokens=24, schedule=schedule, replay=False).settings
    whole = in_process.compare(loaded, p.Compare(PROMPT, settings)).streams
    stopping = structs.replace(settings, stop_repeats=True)
    stopped = in_process.compare(loaded, p.Compare(PROMPT, stopping)).streams
    assert {stream.finish_reason for stream in stopped} == {"repeats", "length"}
    for all_of_it, stream in zip(whole, stopped, strict=True):
        growing = Repetitions()
        until = next(
            (at for at, token in enumerate(all_of_it.tokens, 1) if _repeats(growing, token)), None
        )
        assert stream.tokens == all_of_it.tokens[:until]
        assert stream.finish_reason == ("length" if until is None else "repeats")
        assert (stream.repeats is None) == (until is None)


def _repeats(growing: Repetitions, token: int) -> bool:
    growing.add(token)
    return growing.now is not None


@SCHEDULES
@pytest.mark.parametrize("steps", [1, 4])
def test_no_step_is_made_after_a_cancel_and_all_before_it_are_told(
    loaded: LoadedModel, schedule: p.Schedule, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0

    def counted(*arguments: Any, **more: Any) -> Iterator[Decoded]:
        nonlocal made
        for decoded in decode(*arguments, **more):
            made += 1
            yield decoded

    monkeypatch.setattr(compare, "decode", counted)
    command = comparing(PROMPT, ("gelu", "relu"), max_tokens=200, schedule=schedule)
    events = run(loaded, command, lambda: made >= steps)
    assert ended(events).status == "cancelled"
    reasons = {e.finish_reason for e in events if isinstance(e, p.StreamFinished)}
    assert reasons == {"cancelled"}
    assert sum(isinstance(e, p.Step) for e in events) == made == steps
    again = in_process.compare(loaded, replace_max(command, 6))
    fresh = in_process.compare(loaded, replace_max(command, 6))
    assert [s.tokens for s in again.streams] == [s.tokens for s in fresh.streams]


def replace_max(command: p.Compare, max_tokens: int) -> p.Compare:
    return p.Compare(command.prompt, structs.replace(command.settings, max_tokens=max_tokens))


def test_cancel_during_prefill(loaded: LoadedModel) -> None:
    command = comparing(PROMPT, ("gelu", "relu"))
    events: list[p.Event] = []
    Run(loaded, resolve(loaded, command), events.append, lambda: True, 0.0).run({})
    assert ended(events).status == "cancelled"
    assert not any(isinstance(event, p.Step) for event in events)


# Finite from −60 to 60, where formulas are checked; beyond e^88 float32 gives inf/inf.
OVERFLOWS = "late=where(abs(x)-60,exp(x*x)/exp(x*x),x)"


@SCHEDULES
def test_a_stream_that_stops_being_numbers_fails_alone(
    schedule: p.Schedule, tmp_path: Path
) -> None:
    # Gate inputs beyond 60 need larger weights than the other tests' models have.
    import mlx.core as mx

    loaded = in_process.load(tiny_models.write(tmp_path, "gemma"))
    for layer in loaded.model.layers:
        layer.mlp.gate_proj.weight = layer.mlp.gate_proj.weight * 100
    mx.eval(loaded.model.parameters())
    command = comparing(PROMPT, ("gelu", OVERFLOWS, "relu"), max_tokens=4, schedule=schedule)
    comparison = in_process.compare(loaded, command)
    gelu, late, relu = comparison.streams
    assert late.finish_reason == "failed"
    assert late.error is not None
    assert "'late' stopped being numbers at step 0" in late.error.message
    assert late.tokens == []
    assert [gelu.finish_reason, relu.finish_reason] == ["length", "length"]
    assert comparison.status is not None
    assert comparison.status == "completed"

    alone = in_process.compare(loaded, comparing(PROMPT, (OVERFLOWS,), max_tokens=4))
    assert alone.status == "failed"
    assert alone.error is not None
    assert alone.error.kind == "not_finite"


def test_a_failing_reference_leaves_the_others_running(tmp_path: Path) -> None:
    import mlx.core as mx

    loaded = in_process.load(tiny_models.write(tmp_path, "gemma"))
    for layer in loaded.model.layers:
        layer.mlp.gate_proj.weight = layer.mlp.gate_proj.weight * 100
    mx.eval(loaded.model.parameters())
    command = comparing(PROMPT, (OVERFLOWS, "gelu"), reference="late", max_tokens=4)
    comparison = in_process.compare(loaded, command)
    late, gelu = comparison.streams
    # Nothing was compared, and a script must notice.
    assert comparison.status is not None
    assert comparison.status == "failed"
    assert late.finish_reason == "failed"
    assert gelu.finish_reason == "length"
    assert {step.kl for step in gelu.steps} == {None}


def test_a_fault_in_the_observer_ends_the_run_with_a_sentence(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault planted by the test")

    monkeypatch.setattr(observer, "kl_divergence", broken)
    events = run(loaded, comparing(PROMPT, ("gelu", "relu"), max_tokens=6))
    finished = ended(events)
    assert finished.status == "failed"
    assert finished.error is not None
    assert "a fault planted by the test" in finished.error.message
    monkeypatch.undo()
    assert ended(run(loaded, comparing(PROMPT, ("gelu",), max_tokens=2))).status == "completed"


def test_prompts_of_every_length(loaded: LoadedModel) -> None:
    for text, expected in (("<bos>", 1), ("the", 2)):
        events = run(loaded, comparing(text, ("gelu", "relu"), max_tokens=2))
        assert len(events[0].prompt_tokens) == expected
        assert ended(events).status == "completed"


def test_a_prompt_longer_than_the_context_is_refused(loaded: LoadedModel) -> None:
    with pytest.raises(GeluError, match=r"has 30\d tokens; this model's context holds 256"):
        resolve(loaded, comparing("é" * 150, ("gelu",)))


def test_the_context_limits_the_number_of_tokens(loaded: LoadedModel) -> None:
    started = resolve(loaded, comparing("é" * 120, ("gelu",), max_tokens=500)).started
    assert len(started.prompt_tokens) + started.settings.max_tokens == 256


def test_chat_without_a_template_is_refused(loaded: LoadedModel) -> None:
    with pytest.raises(GeluError, match="no chat template"):
        resolve(loaded, comparing(PROMPT, ("gelu",), chat=True))


def test_the_reference(loaded: LoadedModel) -> None:
    def reference(names: tuple[str, ...], chosen: str | None = None) -> int:
        return resolve(loaded, comparing(PROMPT, names, reference=chosen)).started.reference

    assert reference(("gelu", "gelu_approx")) == 1, "the native function if chosen"
    assert reference(("silu", "gelu")) == 0, "else the first"
    assert reference(("silu", "gelu"), "gelu_exact") == 1


def test_chunked_prefill_gives_the_same_tokens(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = comparing(PROMPT * 3, ("gelu", "relu"), max_tokens=8)
    whole = in_process.compare(loaded, command)
    monkeypatch.setattr(device, "prefill_chunk", lambda: 5)
    chunked = in_process.compare(loaded, command)
    assert [s.tokens for s in chunked.streams] == [s.tokens for s in whole.streams]
