"""Comparisons that share a batch: what each says is what it says alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import pytest
from msgspec import structs

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison import repetition
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.engine import device
from gelu_tui.engine.compute import caches
from gelu_tui.engine.jobs import batch_room
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, tiny_models
from tests.support.batching import Jobs
from tests.support.commands import comparing

# Of one token (BOS alone) to well over the tiny models' window of 8.
PROMPTS = (
    "Why is the sky blue?",
    "the",
    "空が青いのはなぜですか the sky",
    "is",
    "the sky\n\n\tis é🌍",
    "",
)
NAMES = ("gelu", "gelu_approx", "relu")
TOKENS = 9  # which alone is more than that window

# MLX's CPU backend has matrix products of experts in float32 only.
KINDS = [
    *((family, "float32") for family in tiny_models.CONFIGS),
    *((family, "bfloat16") for family in tiny_models.CONFIGS if "experts" not in family),
]


def load(folder: Path, family: str, dtype: str = "float32") -> LoadedModel:
    device.prepare()
    return in_process.load(tiny_models.write(folder, family, dtype=getattr(mx, dtype)), dtype)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(tmp_path_factory.mktemp("m"), "gemma3_text")


def commands(
    prompts: Sequence[str] = PROMPTS,
    names: Sequence[str] = NAMES,
    rows: int = 9,
    **settings: object,
) -> list[p.Compare]:
    settings = {"max_tokens": TOKENS, **settings}
    return [structs.replace(comparing(prompt, names, **settings), rows=rows) for prompt in prompts]


def close_calls(one: Comparison, other: Comparison, noise: float) -> int:
    """How many streams differ; each where a margin is under the noise, or it is a fault."""
    found = 0
    for a, b in zip(one.streams, other.streams, strict=True):
        pairs = enumerate(zip(a.tokens, b.tokens, strict=False))
        at = next((step for step, (x, y) in pairs if x != y), None)
        if at is None:
            assert a.tokens == b.tokens
            assert a.finish_reason == b.finish_reason
            continue
        margins = [stream.steps[at].margin for stream in (a, b)]
        assert min(m for m in margins if m is not None) <= 2 * noise, (a.name, at, margins, noise)
        found += 1
    return found


def assert_as_alone(loaded: LoadedModel, wanted: list[p.Compare], jobs: Jobs) -> None:
    assert_equal(jobs, [in_process.compare(loaded, command) for command in wanted])


def assert_equal(jobs: Jobs, runs_alone: Sequence[Comparison]) -> None:
    differing = 0
    for number, alone in enumerate(runs_alone):
        together = jobs.comparison(number)
        assert together.status == "completed"
        noise = 0.0
        if together.self_check is not None:
            assert together.self_check.max_logit_difference is not None
            noise = together.self_check.max_logit_difference
        if found := close_calls(alone, together, noise):
            differing += found
            continue
        for a, b in zip(alone.streams, together.streams, strict=True):
            assert a.text == b.text
            for x, y in zip(a.steps, b.steps, strict=True):
                assert x.logprob == pytest.approx(y.logprob, abs=1e-3 + 2 * noise)
                assert (x.kl is None) == (y.kl is None)
            assert (a.fork and a.fork.verdict) == (b.fork and b.fork.verdict)
    # Ties are rare: more would be a fault that the noise hides.
    assert differing <= 1


@pytest.mark.parametrize(("family", "dtype"), KINDS)
def test_every_family_as_alone(family: str, dtype: str, tmp_path: Path) -> None:
    """Without replays, which are those of a run alone: other tests here have them."""
    loaded = load(tmp_path, family, dtype)
    prompts = (PROMPTS[2], PROMPTS[-1], PROMPTS[0]) if dtype == "float32" else PROMPTS[1:3]
    wanted = commands(prompts, rows=6, replay=False)
    jobs = Jobs(wanted).run(loaded)
    assert jobs.size == p.BatchSize(6, 2, id=1)
    assert_as_alone(loaded, wanted, jobs)
    streams = {tuple(s.tokens) for n in range(len(prompts)) for s in jobs.comparison(n).streams}
    assert len(streams) > len(prompts), "the functions must matter"


@pytest.mark.parametrize("settings", [{}, {"temperature": 1.0, "seed": 3}])
def test_forks_are_tried_as_alone(loaded: LoadedModel, settings: dict[str, object]) -> None:
    names = ("gelu", "relu", "silu")
    wanted = commands(PROMPTS[:3], names, what_if=True, replay=False, max_tokens=12, **settings)
    jobs, tried = Jobs(wanted).run(loaded), 0
    for number, command in enumerate(wanted):
        together, alone = jobs.comparison(number), in_process.compare(loaded, command)
        assert isinstance(jobs.of(number)[-1], p.Finished)
        for a, b in zip(alone.streams, together.streams, strict=True):
            if a.fork is None or b.fork is None or a.tokens != b.tokens:
                continue
            one, other = a.fork.what_if, b.fork.what_if
            assert (one is None) == (other is None)
            if (
                one is not None
                and other is not None
                and alone.reference.tokens == (together.reference.tokens)
            ):
                tried += 1
                assert (one.given, one.tokens, one.step) == (other.given, other.tokens, other.step)
                assert one.text == other.text
    assert tried >= 4


def test_why_what_came_of_a_fork_is_not_judged(loaded: LoadedModel) -> None:
    jobs = Jobs(commands(what_if=True, temperature=2.0, seed=3)).run(loaded)
    numbers = range(len(PROMPTS))
    forks = [s.fork for number in numbers for s in jobs.comparison(number).streams if s.fork]
    again = [fork.what_if.fork for fork in forks if fork.what_if and fork.what_if.fork]
    assert again and {fork.verdict for fork in again} == {"unverified"}
    assert {fork.reason for fork in again} == {"it was tried in a sweep, without a replay"}


def test_the_events_of_each_are_in_the_order_of_a_run_alone(loaded: LoadedModel) -> None:
    endless = replace(loaded, tokenizer=replace(loaded.tokenizer, end_ids=frozenset()))
    jobs = Jobs(commands(control=True)).run(endless)
    for number in range(len(PROMPTS)):
        events = [
            event
            for event in jobs.of(number)
            if not isinstance(event, p.Progress | p.BatchSize | p.ForkFound)
        ]
        kinds = [type(event) for event in events]
        assert kinds[:5] == [p.Started, *[p.Prefilled] * 4]
        assert kinds[5 : 5 + TOKENS] == [p.Step] * TOKENS
        ends = kinds[5 + TOKENS :]
        assert ends[:4] == [p.StreamFinished] * 4
        assert ends[4:5] == [p.SelfChecked]
        assert set(ends[5:-1]) <= {p.ForkReplayed}
        assert ends[-1] == p.Finished
        comparison = jobs.comparison(number)
        forks = [s.fork for s in comparison.streams if s.first_divergent_token is not None]
        assert len(forks) == ends.count(p.ForkReplayed) and all(forks)
        assert comparison.streams[-1].variant.control
        assert comparison.timing is not None
        assert comparison.timing.decode_steps == TOKENS
        assert comparison.self_check is not None


def test_prompts_enter_as_others_end(loaded: LoadedModel) -> None:
    prompts = ["the sky"] * 2 + [*PROMPTS[:3], "blue blue sky"]
    wanted = commands(prompts, rows=6)
    # Some streams end early: the tokens that other streams never have are end tokens here.
    alone = [in_process.compare(loaded, command) for command in wanted[2:5]]
    ends = frozenset(comparison.streams[0].tokens[4 + n] for n, comparison in enumerate(alone))
    ending = replace(loaded, tokenizer=replace(loaded.tokenizer, end_ids=ends))
    jobs = Jobs(wanted).run(ending)
    assert_as_alone(ending, wanted, jobs)
    lengths = {len(s.tokens) for n in range(len(prompts)) for s in jobs.comparison(n).streams}
    assert len(lengths) > 2, "they did not end at different steps"
    most = 0
    open_now: set[int] = set()
    for event in jobs.events:
        if isinstance(event, p.Started):
            open_now.add(event.id)
        elif isinstance(event, p.Finished):
            open_now.remove(event.id)
        most = max(most, len(open_now))
    assert most == jobs.size.prompts == 2


def test_a_job_that_arrives_later_enters_the_running_batch(loaded: LoadedModel) -> None:
    first, second = commands(PROMPTS[:2])
    jobs = Jobs([first])
    steps = 0

    def arrive(event: p.Event) -> None:
        nonlocal steps
        steps += isinstance(event, p.Step)
        if steps == 3 and len(jobs.jobs) == 1:
            jobs.add(second)

    jobs.on_event = arrive
    jobs.run(loaded)
    assert_as_alone(loaded, [first, second], jobs)
    kinds = [(event.id, type(event)) for event in jobs.events]
    assert kinds.index((2, p.Started)) < kinds.index((1, p.Finished))


def test_a_cancel_ends_all_that_run_and_those_that_wait(loaded: LoadedModel) -> None:
    jobs = Jobs(commands(max_tokens=200))

    def cancel(event: p.Event) -> None:
        if isinstance(event, p.Step) and event.step == 2:
            for job in jobs.jobs:
                job.cancel.set()

    jobs.on_event = cancel
    jobs.run(loaded)
    last = [jobs.of(number)[-1] for number in range(len(PROMPTS))]
    statuses = [event.status for event in last if isinstance(event, p.Finished)]
    assert statuses == ["cancelled"] * 3
    assert sum(isinstance(event, p.Cancelled) for event in last) == len(PROMPTS) - 3
    for number in range(3):
        reasons = {stream.finish_reason for stream in jobs.comparison(number).streams}
        assert reasons == {"cancelled"}
    assert Jobs(commands(PROMPTS[:1])).run(loaded).comparison(0).status == "completed"


def test_one_cancelled_job_leaves_the_others_running(loaded: LoadedModel) -> None:
    """As when the next sweep begins at once: its jobs are not those that were cancelled."""
    wanted = commands(PROMPTS[:3])
    jobs = Jobs(wanted)
    jobs.on_event = lambda event: (
        jobs.jobs[1].cancel.set() if isinstance(event, p.Step) and event.id == 2 else None
    )
    jobs.run(loaded)
    statuses = [jobs.comparison(number).status for number in range(3)]
    assert statuses == ["completed", "cancelled", "completed"]


def test_a_prompt_that_cannot_be_run_fails_alone(loaded: LoadedModel) -> None:
    no_bos = replace(loaded.tokenizer, special_tokens={})
    empty = replace(loaded, tokenizer=no_bos)
    good = commands(PROMPTS[:2])
    long = structs.replace(good[0], prompt="sky " * 300)
    lost = structs.replace(good[0], prompt="", messages=(p.ChatMessage("user", "Hi"),))
    jobs = Jobs([long, good[0], lost, good[1]]).run(empty)
    failures = [jobs.of(number)[-1] for number in (0, 2)]
    kinds = [event.error.kind for event in failures if isinstance(event, p.Failed)]
    assert kinds == ["prompt_too_long", "no_chat_template"]
    assert [jobs.comparison(number).status for number in (1, 3)] == ["completed"] * 2
    assert jobs.size.id == 2


OVERFLOWS = "late=where(abs(x)-60,exp(x*x)/exp(x*x),x)"


def test_a_stream_that_stops_being_numbers_fails_alone(tmp_path: Path) -> None:
    loaded = load(tmp_path, "gemma")
    for layer in loaded.model.layers:
        layer.mlp.gate_proj.weight = layer.mlp.gate_proj.weight * 100
    mx.eval(loaded.model.parameters())
    jobs = Jobs(commands(PROMPTS[:3], ("gelu", OVERFLOWS, "relu"), max_tokens=5)).run(loaded)
    for number in range(3):
        comparison = jobs.comparison(number)
        gelu, late, relu = comparison.streams
        assert late.finish_reason == "failed" and late.error is not None
        assert "'late' stopped being numbers at step" in late.error.message
        assert [gelu.finish_reason, relu.finish_reason] == ["length"] * 2
        assert comparison.status == "completed"


def test_sampled_tokens_are_those_of_a_run_alone_with_that_seed(loaded: LoadedModel) -> None:
    wanted = commands(PROMPTS[:4], temperature=0.8, seed=11, top_p=0.95)
    assert_as_alone(loaded, wanted, Jobs(wanted).run(loaded))
    unseeded = Jobs(commands(["the sky"] * 2, temperature=0.8)).run(loaded)
    seeds = [unseeded.comparison(number).settings.seed for number in range(2)]
    assert None not in seeds and seeds[0] != seeds[1]


def test_repetition_ends_a_stream_where_it_does_alone(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repetition, "LEAST_TOKENS", 7)
    wanted = commands(PROMPTS[:3], ("gelu", "none=x*0"), max_tokens=20, stop_repeats=True)
    jobs = Jobs(wanted).run(loaded)
    assert_as_alone(loaded, wanted, jobs)
    reasons = {s.finish_reason for n in range(3) for s in jobs.comparison(n).streams}
    assert "repeats" in reasons


def test_the_limit_of_tokens_is_that_of_the_context(loaded: LoadedModel) -> None:
    wanted = commands(["sky " * 12, "the"], ("gelu", "relu"), max_tokens=10_000, replay=False)
    short = replace(loaded, context_length=40)
    jobs = Jobs(wanted).run(short)
    assert_as_alone(short, wanted, jobs)
    for number in range(2):
        comparison = jobs.comparison(number)
        assert len(comparison.prompt_tokens) + comparison.settings.max_tokens == 40


def test_the_self_check_is_made_once_for_a_number_of_rows(loaded: LoadedModel) -> None:
    checks: dict[int, p.SelfCheckReport] = {}
    for _ in range(2):
        jobs = Jobs(commands(PROMPTS[:3], rows=9)).run(loaded, checks)
        assert {jobs.comparison(number).self_check for number in range(3)} == {checks[9]}
    assert checks[9].rows == 9 and checks[9].mixed
    kinds = [event for event in jobs.events if isinstance(event, p.Progress)]
    assert not any(event.phase == "self_check" for event in kinds)


@pytest.mark.parametrize(("free", "prompts"), [(0, 1), (2.2, 2), (1e9, 21)])
def test_as_many_rows_as_fit_into_memory(
    free: float, prompts: int, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = commands(PROMPTS[:1], rows=0)[0]
    tokens = len(in_process.compare(loaded, command).prompt_tokens) + TOKENS
    row = caches.bytes_of_row(loaded.model)(tokens) + 4 * 384 * batch_room._HELD_LOGITS
    bytes_free = int(free * len(NAMES) * row / batch_room._SHARE_OF_FREE_MEMORY)
    monkeypatch.setattr(device, "free_memory", lambda: bytes_free)
    jobs = Jobs([command] * 3).run(loaded)
    assert jobs.size == p.BatchSize(prompts * len(NAMES), prompts, id=1)
    assert [jobs.comparison(number).status for number in range(3)] == ["completed"] * 3


def test_the_bytes_of_a_row_are_those_of_its_cache(tmp_path: Path) -> None:
    from gelu_tui.engine.compute.decode import prefill

    for family in ("gemma", "gemma3_text", "gemma3n", "recurrent_gemma"):
        model = load(tmp_path / family, family).model
        cache = prefill(model, [2] * 257, 512, lambda _: None, lambda: False)
        told, held = caches.bytes_of_row(model)(256), sum(layer.nbytes for layer in cache)
        # A window holds a chunk more while a prompt is read.
        assert told <= held
        if family == "gemma":
            assert told == held


def test_what_cannot_be_mixed_runs_one_after_the_other(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    solo = commands(PROMPTS[:2], schedule="solo")
    jobs = Jobs(solo).run(loaded)
    assert jobs.size == p.BatchSize(3, 1, "each function runs alone", id=1)
    assert_as_alone(loaded, solo, jobs)
    monkeypatch.setattr(caches, "can_mix", lambda _: False)
    wanted = commands(PROMPTS[:2])
    jobs = Jobs(wanted).run(loaded)
    assert jobs.size == p.BatchSize(3, 1, "mlx-lm cannot batch the caches of this model", id=1)
    assert_as_alone(loaded, wanted, jobs)


def test_the_model_is_left_as_it_was(loaded: LoadedModel) -> None:
    before = [type(module) for _, module in loaded.model.named_modules()]
    Jobs(commands(PROMPTS[:2])).run(loaded)
    assert [type(module) for _, module in loaded.model.named_modules()] == before
