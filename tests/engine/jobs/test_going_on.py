"""A run that was stopped or had reached its limit goes on as if it had not, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison import repetition
from gelu_tui.core.comparison.state import Comparison, Stream
from gelu_tui.core.errors import GeluError
from gelu_tui.core.runs.document import ComparisonDocument, document, to_json
from gelu_tui.core.runs.going_on import go_on, limit_of_more, replay_command
from gelu_tui.core.runs.restore import read_document, restore
from gelu_tui.engine import device
from gelu_tui.engine.failures import Interrupted
from gelu_tui.engine.jobs.compare import Run
from gelu_tui.engine.jobs.request import Request, resolve, resolve_again
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, tiny_models
from tests.support.commands import comparing
from tests.support.comparisons import LOADED

PROMPT = "Why is the sky blue? the sky is"
FUNCTIONS = ("gelu_approx", "gelu", "relu", "mine=x*sigmoid(1.7*x)")
LONG = 16
Models = Callable[[str], LoadedModel]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Tiny models by their configuration's name and dtype."""
    device.prepare()
    found: dict[str, LoadedModel] = {}

    def load(name: str) -> LoadedModel:
        if name not in found:
            family, _, dtype = name.partition(" ")
            folder = tiny_models.write(tmp_path_factory.mktemp("m"), family)
            found[name] = in_process.load(folder, dtype or None)
        return found[name]

    return load


def answers(
    loaded: LoadedModel,
    request: Request,
    comparison: Comparison | None = None,
    *,
    stop_at: int | None = None,
) -> Comparison:
    """Run to the end, or until so many steps have been told; the events go through the wire."""
    events: list[p.Event] = []

    def emit(event: p.Event) -> None:
        events.append(p.decode_event(p.encode(event)))

    def cancelled() -> bool:
        told = sum(isinstance(event, p.Step) for event in events)
        return stop_at is not None and told >= stop_at

    Run(loaded, request, emit, cancelled, 0.25).run(in_process.self_checks_of(loaded))
    started = next(event for event in events if isinstance(event, p.Started))
    comparison = comparison or Comparison.begin(started)
    comparison.settings = started.settings
    for event in events:
        comparison.apply(event)
    comparison.check()
    return comparison


@pytest.fixture(scope="module")
def undisturbed(models: Models) -> Callable[..., Comparison]:
    """Whole runs by model and settings, each made once: nothing changes them."""
    made: dict[Any, Comparison] = {}

    def run(name: str, **settings: Any) -> Comparison:
        key = name, *settings.items()
        if key not in made:
            command = comparing(PROMPT, FUNCTIONS, max_tokens=LONG, **settings)
            made[key] = answers(models(name), resolve(models(name), command))
        return made[key]

    return run


@pytest.fixture(scope="module")
def finished(models: Models) -> ComparisonDocument:
    """A run that has reached its limit of 9 tokens."""
    loaded = models("gemma3_text")
    command = comparing(PROMPT, FUNCTIONS, max_tokens=9)
    return saved(loaded, answers(loaded, resolve(loaded, command)))


def saved(loaded: LoadedModel, comparison: Comparison, **parts: Any) -> ComparisonDocument:
    """The document as it is read from a file."""
    whole = document(comparison, structs.replace(LOADED, model=loaded.info), **parts)
    return read_document(to_json(whole).encode())


def continued(
    loaded: LoadedModel, before: ComparisonDocument, max_tokens: int, *, stop_at: int | None = None
) -> Comparison:
    command, comparison = go_on(before, max_tokens)
    command = p.decode_command(p.encode(command))
    assert isinstance(command, p.Continue)
    return answers(loaded, resolve_again(loaded, command), comparison, stop_at=stop_at)


def streams(comparison: Comparison) -> list[Any]:
    """Everything that must be equal: all but times."""

    def of(stream: Stream) -> Any:
        steps = [structs.replace(step, decode_s=0.0) for step in stream.steps]
        ended = stream.tail, stream.finish_reason, stream.error, stream.first_divergent_token
        fork = structs.asdict(stream.fork) if stream.fork else {}
        fork.pop("explanation", None)  # which only a saved one has
        fork.pop("replay", None)
        return stream.name, stream.tokens, stream.segments, steps, fork, ended

    return [of(stream) for stream in comparison.streams]


def check_whole(comparison: Comparison, undisturbed: Comparison) -> None:
    assert streams(comparison) == streams(undisturbed)
    assert comparison.status == undisturbed.status
    assert comparison.settings == undisturbed.settings
    for stream, whole in zip(comparison.streams, undisturbed.streams, strict=True):
        # A replay rounds with the lengths of its parts: with which forks are replayed together.
        replays = [s.fork.replay for s in (stream, whole) if s.fork and s.fork.replay]
        if replays:
            one, other = replays
            assert one.margins == pytest.approx(other.margins, abs=1e-4)
            assert one.ranks == other.ranks
        seconds = [step.decode_s for step in stream.steps]
        assert seconds == sorted(seconds)
        assert (stream.generation_tps is None) == (not stream.tokens)


CASES = [
    ("gemma3_text", {}),
    ("gemma3_text", {"temperature": 1.0, "seed": 5, "control": True}),
    ("gemma3_text", {"temperature": 0.8, "seed": 6, "top_p": 0.9, "schedule": "solo"}),
    ("gemma3_text bfloat16", {"activation_precision": "model", "control": True}),
    # What other families have of their own are the caches: replays are the same for all.
    ("gemma", {"temperature": 2.0, "seed": 1, "replay": False}),
    ("gemma2", {"schedule": "solo", "replay": False}),
    ("gemma3n", {"replay": False}),
    ("gemma4_text", {"replay": False}),
    ("gemma4_text-experts", {"temperature": 1.0, "seed": 2, "replay": False}),
    ("recurrent_gemma", {"replay": False}),
]


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(
    models: Models, undisturbed: Any, name: str, settings: dict[str, Any]
) -> None:
    loaded = models(name)
    command = comparing(PROMPT, FUNCTIONS, max_tokens=LONG, **settings)
    for stop_at in (1, 11) if command.settings.replay else (11,):
        stopped = saved(loaded, answers(loaded, resolve(loaded, command), stop_at=stop_at))
        assert stopped.status == "cancelled"
        before = max(len(variant.tokens) for variant in stopped.variants)
        assert before < LONG
        check_whole(continued(loaded, stopped, LONG), undisturbed(name, **settings))


@pytest.mark.parametrize(("name", "settings"), CASES[:4])
def test_a_run_that_reached_its_limit_is_extended(
    models: Models, undisturbed: Any, name: str, settings: dict[str, Any]
) -> None:
    loaded, whole = models(name), undisturbed(name, **settings)
    short = comparing(PROMPT, FUNCTIONS, max_tokens=9, **settings)
    finished = saved(loaded, answers(loaded, resolve(loaded, short)))
    assert finished.status == "completed"
    check_whole(continued(loaded, finished, LONG), whole)
    # twice, and stopped on the way
    again = saved(loaded, continued(loaded, finished, LONG - 2, stop_at=3))
    assert again.status == "cancelled"
    check_whole(continued(loaded, again, LONG), whole)


@pytest.mark.parametrize(("schedule", "told_of_a_step"), [("lockstep", 1), ("solo", 4)])
def test_streams_that_ended_by_themselves_stay_ended(
    models: Models, undisturbed: Any, schedule: str, told_of_a_step: int
) -> None:
    """Stopped before the first of them ends, when it ends, and after it."""
    loaded = models("gemma3_text")
    command = comparing(PROMPT, FUNCTIONS, max_tokens=LONG, schedule=schedule)
    before = [stream.tokens for stream in undisturbed("gemma3_text").streams]
    end = frozenset({next(token for token in before[2] if token not in before[0])})
    loaded = replace(loaded, tokenizer=replace(loaded.tokenizer, end_ids=end))
    whole = answers(loaded, resolve(loaded, command))
    lengths = [len(stream.tokens) for stream in whole.streams]
    first = min(lengths)
    assert 1 < first < max(lengths) == LONG
    for step in (first - 1, first, first + 2):
        stop_at = step * told_of_a_step
        before = saved(loaded, answers(loaded, resolve(loaded, command), stop_at=stop_at))
        check_whole(continued(loaded, before, LONG), whole)


def test_a_run_of_one_whose_streams_have_all_ended_is_refused(models: Models) -> None:
    loaded = models("gemma3_text")
    command = comparing(PROMPT, ("gelu",), max_tokens=LONG)
    first = answers(loaded, resolve(loaded, command)).streams[0].tokens
    loaded = replace(loaded, tokenizer=replace(loaded.tokenizer, end_ids=frozenset(first)))
    before = saved(loaded, answers(loaded, resolve(loaded, command)))
    with pytest.raises(GeluError, match="nothing to continue"):
        go_on(before, 100)


def test_a_repetition_that_began_before_ends_its_stream(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repetition, "LEAST_TOKENS", 4)
    loaded = models("gemma3_text")
    command = comparing("the the the", ("gelu", "relu", "silu"), max_tokens=48, stop_repeats=True)
    undisturbed = answers(loaded, resolve(loaded, command))
    ends = [len(s.tokens) for s in undisturbed.streams if s.finish_reason == "repeats"]
    assert ends
    before = saved(loaded, answers(loaded, resolve(loaded, command), stop_at=min(ends) - 2))
    check_whole(continued(loaded, before, 48), undisturbed)


def test_a_function_that_broke_stays_broken(models: Models) -> None:
    loaded = models("gemma3_text float16")
    command = comparing(PROMPT, ("gelu", "relu", "bad=x*100000"), max_tokens=LONG)
    undisturbed = answers(loaded, resolve(loaded, command))
    assert undisturbed.streams[2].finish_reason == "failed"
    before = saved(loaded, answers(loaded, resolve(loaded, command), stop_at=9))
    check_whole(continued(loaded, before, LONG), undisturbed)


@pytest.mark.parametrize("schedule", ["lockstep", "solo"])
def test_forks_of_a_stopped_run_get_their_verdicts(
    models: Models, undisturbed: Any, schedule: str
) -> None:
    loaded, whole_run = models("gemma3_text"), undisturbed("gemma3_text", schedule=schedule)
    command = comparing(PROMPT, FUNCTIONS, max_tokens=LONG, schedule=schedule)
    stop_at = 13 if schedule == "lockstep" else 13 * len(FUNCTIONS)
    stopped = saved(loaded, answers(loaded, resolve(loaded, command), stop_at=stop_at))
    comparison = restore(stopped)
    forks = [stream.fork for stream in comparison.streams if stream.fork is not None]
    assert forks and {fork.verdict for fork in forks} == {"unverified"}
    asked = p.decode_command(p.encode(replay_command(stopped, comparison)))
    assert isinstance(asked, p.Replay) and asked.run is not None
    events: list[p.Event] = []
    request = resolve_again(loaded, asked.run)
    Run(loaded, request, events.append, lambda: False, 0.0).replay({})
    for event in events:
        comparison.apply(event)
    assert isinstance(events[-1], p.Replayed)
    assert comparison.status == "cancelled", "it is a stopped run still"
    for stream, whole in zip(comparison.streams, whole_run.streams, strict=True):
        assert stream.finish_reason == "cancelled"
        assert stream.tokens == whole.tokens[: len(stream.tokens)]
        if stream.fork is not None:
            assert whole.fork is not None and stream.fork.replay is not None
            assert stream.fork.verdict == whole.fork.verdict != "unverified"
    # and they keep them when the run goes on
    again = saved(loaded, comparison)
    pairs = zip(go_on(again, LONG).command.streams, comparison.streams, strict=True)
    assert all(its.judged == (stream.fork is not None) for its, stream in pairs)
    check_whole(continued(loaded, again, LONG), whole_run)


def test_what_the_engine_could_not_tell_any_more_is_computed_again(
    models: Models, undisturbed: Any
) -> None:
    """It may be killed between a step and the fork of it, and between two solo streams."""
    loaded, whole = models("gemma3_text"), undisturbed("gemma3_text")
    command = comparing(PROMPT, FUNCTIONS, max_tokens=LONG)
    stopped = saved(loaded, answers(loaded, resolve(loaded, command), stop_at=13))
    cut = [
        structs.replace(
            variant,
            fork=None,
            tokens=variant.tokens[: 12 + at % 2],
            steps=variant.steps[: 12 + at % 2],
            text="".join(step.text for step in variant.steps[: 12 + at % 2]),
        )
        for at, variant in enumerate(stopped.variants)
    ]
    check_whole(continued(loaded, structs.replace(stopped, variants=cut), LONG), whole)
    silent = [structs.replace(step, text="") for step in cut[0].steps]
    first_version = [structs.replace(cut[0], steps=silent), *cut[1:]]
    old = structs.replace(stopped, variants=first_version)
    assert go_on(old, LONG).command.first_step == 0
    check_whole(continued(loaded, old, LONG), whole)


def test_a_run_that_is_stopped_before_it_goes_on_is_left_as_it_was(
    models: Models, finished: ComparisonDocument
) -> None:
    loaded = models("gemma3_text")
    request = resolve_again(loaded, go_on(finished, LONG).command)
    events: list[p.Event] = []
    halfway = lambda: any(isinstance(e, p.Progress) and e.phase == "recompute" for e in events)  # noqa: E731
    with pytest.raises(Interrupted):
        Run(loaded, request, events.append, halfway, 0.0).run({})
    assert {type(event) for event in events} == {p.Progress}


def changed(document: ComparisonDocument, **parts: Any) -> ComparisonDocument:
    return structs.replace(document, **parts)


def settings(document: ComparisonDocument, **parts: Any) -> ComparisonDocument:
    return changed(document, settings=structs.replace(document.settings, **parts))


def of_another_model(document: ComparisonDocument) -> ComparisonDocument:
    return changed(document, model=structs.replace(document.model, id="google/gemma-3-1b"))


def of_other_weights(document: ComparisonDocument) -> ComparisonDocument:
    first, *others = document.variants
    last = structs.replace(first.steps[-1], logprob=-9.5)
    variant = structs.replace(first, steps=[*first.steps[:-1], last])
    return changed(document, variants=[variant, *others])


REFUSALS: list[tuple[Callable[[ComparisonDocument], ComparisonDocument], int, str]] = [
    (of_another_model, LONG, "google/gemma-3-1b float32, and .* is loaded"),
    (of_other_weights, LONG, "computes other numbers here"),
    (lambda d: settings(d, activations=(*FUNCTIONS[:3], "mine=x")), LONG, "The functions of this"),
    (lambda d: settings(d, activation_precision="model"), LONG, "The functions of this run"),
    (lambda d: settings(d, activations=FUNCTIONS[:3]), LONG, "Two runs are shown as one here"),
    (lambda d: changed(d, prompt_tokens=(2, 9_999)), LONG, "which this model has no embedding for"),
    (lambda d: d, 9, "have 9 tokens already; the limit is 9"),
]


@pytest.mark.parametrize(("change", "limit", "sentence"), REFUSALS)
def test_what_differs_is_named_in_one_sentence(
    models: Models,
    finished: ComparisonDocument,
    change: Callable[[ComparisonDocument], ComparisonDocument],
    limit: int,
    sentence: str,
) -> None:
    with pytest.raises(GeluError, match=sentence) as refused:
        continued(models("gemma3_text"), change(finished), limit)
    assert refused.value.info.hint


def test_the_context_ends_it(models: Models) -> None:
    loaded = replace(models("gemma3_text"), context_length=40)
    command = comparing(PROMPT, ("gelu", "relu"), max_tokens=5)
    finished = saved(loaded, answers(loaded, resolve(loaded, command)))
    full = continued(loaded, finished, LONG * 10)
    room = 40 - len(finished.prompt_tokens)
    assert [len(stream.tokens) for stream in full.streams] == [room, room]
    assert full.settings.max_tokens == room
    with pytest.raises(GeluError, match="context of 40 tokens is full"):
        continued(loaded, saved(loaded, full), LONG * 10)


def test_how_far_a_run_goes_on_where_no_limit_is_named(models: Models) -> None:
    loaded = models("gemma3_text")
    command = comparing(PROMPT, ("gelu", "relu"), max_tokens=8)
    finished = saved(loaded, answers(loaded, resolve(loaded, command)))
    stopped = saved(loaded, answers(loaded, resolve(loaded, command), stop_at=3))
    assert limit_of_more(finished, 8) == 16
    assert limit_of_more(finished, 99_999) == 100_000
    assert limit_of_more(stopped, 8) == 8
    assert limit_of_more(stopped, 4) == 8
    assert limit_of_more(stopped, 20) == 20
