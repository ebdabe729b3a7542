"""What if: the reference's token at a fork, against plain decoding and against the run itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import make_prompt_cache
from msgspec import structs

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison, Stream
from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.registry import Precision
from gelu_tui.core.functions.variants import Variant
from gelu_tui.core.runs.document import ComparisonDocument, document, to_json
from gelu_tui.core.runs.going_on import go_on, what_if_command
from gelu_tui.core.runs.restore import read_document, restore
from gelu_tui.engine import device
from gelu_tui.engine.compute import limited_functions
from gelu_tui.engine.compute.row_functions import RowFunction
from gelu_tui.engine.compute.token_selection import Chooser
from gelu_tui.engine.failures import Interrupted
from gelu_tui.engine.jobs import prompt_run
from gelu_tui.engine.jobs.compare import Run
from gelu_tui.engine.jobs.request import resolve, resolve_again
from gelu_tui.engine.jobs.what_if import WhatIfs
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, tiny_models
from tests.support.commands import comparing
from tests.support.comparisons import LOADED
from tests.support.subclasses import with_function

PROMPT = "Why is the sky blue? the sky is"  # longer than the tiny models' windows
FUNCTIONS = ("gelu_approx", "gelu", "relu", "silu")
LONG = 12
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


def saved(loaded: LoadedModel, comparison: Comparison) -> ComparisonDocument:
    """The document as it is read from a file."""
    whole = document(comparison, structs.replace(LOADED, model=loaded.info))
    return read_document(to_json(whole).encode())


Cancelled = Callable[[list[p.Event]], bool]


def tried(
    loaded: LoadedModel, command: p.WhatIf, cancelled: Cancelled = lambda _: False
) -> list[p.Event]:
    """The answers to a command; both go through the wire."""
    command = p.decode_command(p.encode(command))  # type: ignore[assignment]
    reference = command.run.streams[command.run.started.reference].tokens
    events: list[p.Event] = []
    WhatIfs(
        *(loaded, resolve_again(loaded, command.run), reference, command.given),
        lambda event: events.append(p.decode_event(p.encode(event))),
        lambda: cancelled(events),
    ).answer_command({})
    return events


def asked(
    loaded: LoadedModel, comparison: Comparison, index: int, cancelled: Cancelled = lambda _: False
) -> tuple[Comparison, list[p.Event]]:
    """Ask about one stream of a run that is opened from a file."""
    before = saved(loaded, comparison)
    after = restore(before)
    events = tried(loaded, what_if_command(before, after, index), cancelled)
    for event in events:
        after.apply(event)
    after.check()
    return after, events


def told(events: list[p.Event]) -> list[p.StreamStep]:
    """The tokens of one stream, as they came."""
    return [step for event in events if isinstance(event, p.WhatIfStep) for step in event.streams]


def forked(comparison: Comparison) -> list[int]:
    """Streams with a fork that is not at the end of the reference's stream."""
    last = len(comparison.reference.tokens) - 1
    forks = enumerate(stream.fork for stream in comparison.streams)
    return [index for index, fork in forks if fork is not None and fork.step < last]


def answer(stream: Stream) -> p.Counterfactual:
    assert stream.fork is not None and stream.fork.what_if is not None
    return stream.fork.what_if


def plainly(
    loaded: LoadedModel, comparison: Comparison, name: str, first: list[int], count: int = 99
) -> tuple[list[int], list[float]]:
    """What mlx-lm's model alone chooses after the prompt and `first`, and its log-probabilities."""
    model: Any = loaded.model
    choose, cache = Chooser(comparison.settings), make_prompt_cache(model)
    prompt = list(comparison.prompt_tokens)
    tokens: list[int] = []
    logprobs: list[float] = []
    with with_function(model, name):
        model(mx.array([prompt[:-1]]), cache=cache)
        for token in (prompt[-1], *first[:-1]):
            mx.eval(model(mx.array([[token]]), cache=cache))
        token = first[-1]
        for step in range(len(first), len(comparison.reference.tokens))[:count]:
            logits = model(mx.array([[token]]), cache=cache)[:, -1, :]
            token = int(np.array(choose(logits, step))[0])
            values = np.array(logits[0].astype(mx.float32)).astype(float)
            tokens.append(token)
            logprobs.append(values[token] - np.logaddexp.reduce(values))
    return tokens, logprobs


CASES = [
    ("gemma3_text", {}),
    ("gemma3_text", {"schedule": "solo"}),
    ("gemma3_text", {"temperature": 1.0, "seed": 5, "control": True}),
    ("gemma3_text bfloat16", {"activation_precision": "model", "schedule": "solo"}),
    ("gemma", {"temperature": 2.0, "seed": 1}),
    ("gemma2", {}),
    ("gemma3n", {}),
    ("gemma4_text-experts", {"temperature": 1.0, "seed": 2}),
    ("recurrent_gemma", {}),
]


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_the_stream_is_that_of_plain_decoding_after_the_reference_s_token(
    models: Models, name: str, settings: dict[str, Any]
) -> None:
    loaded = models(name)
    command = comparing(PROMPT, FUNCTIONS, max_tokens=LONG, replay=False, **settings)
    comparison = in_process.compare(loaded, command)
    streams = comparison.streams
    indices = [index for index in forked(comparison) if not streams[index].variant.control]
    assert indices, "a test without a fork shows nothing"
    for index in indices[: 2 if name == "gemma3_text" else 1]:
        after, events = asked(loaded, comparison, index)
        stream, reference = after.streams[index], comparison.reference.tokens
        found, fork = answer(stream), stream.fork
        assert fork is not None and found.given == (fork.step,)
        given = reference[: fork.step + 1]
        tokens, logprobs = plainly(loaded, comparison, stream.name, given)
        assert list(found.tokens) == tokens == [step.token for step in told(events)]
        assert [step.logprob for step in told(events)] == pytest.approx(logprobs, abs=2e-3)
        # The token that was given matters: after its own the numbers are others.
        own = plainly(loaded, comparison, stream.name, [*given[:-1], fork.variant_token], 1)[1]
        assert abs(own[0] - logprobs[0]) > 1e-6
        equal = [a == b for a, b in zip(tokens, reference[fork.step + 1 :], strict=True)]
        assert found.parts_again == (False in equal)
        if found.parts_again:
            assert found.step == fork.step + 1 + equal.index(False)
            assert found.fork is not None and found.fork.variant_token == tokens[equal.index(False)]
            assert len(found.fork.reference_top) == 10


@pytest.mark.parametrize(
    ("name", "settings"),
    [*CASES[:3], ("gemma3_text bfloat16", {"activation_precision": "model"}), CASES[-1]],
)
def test_a_twin_of_the_reference_computes_what_the_reference_computed_to_the_bit(
    models: Models, name: str, settings: dict[str, Any]
) -> None:
    loaded = models(name)
    chosen = ("gelu_approx", "twin=gelu_approx(x)", "relu", "silu")
    comparing_twins = comparing(PROMPT, chosen, max_tokens=LONG, replay=False, **settings)
    run = in_process.compare(loaded, comparing_twins)
    document = saved(loaded, run)
    command = what_if_command(document, restore(document), forked(run)[0])
    for at in (0, LONG - 2):  # no forks of the twin's: it never parts
        events = tried(loaded, structs.replace(command, given=(p.Given(1, (at,)),)))
        new, ran = told(events), run.reference.steps[at + 1 :]
        assert [step.token for step in new] == run.reference.tokens[at + 1 :]
        assert [(s.logprob, s.margin, s.kl) for s in new] == [(s.logprob, s.margin, 0) for s in ran]
        found = [event.what_if for event in events if isinstance(event, p.WhatIfAnswered)]
        assert [(its.parts_again, its.finish_reason) for its in found] == [(False, "length")]


@pytest.mark.parametrize(("name", "settings"), [CASES[1], CASES[4]])
def test_all_forks_at_the_end_of_the_run_are_tried_as_one_after_the_other(
    models: Models, name: str, settings: dict[str, Any]
) -> None:
    loaded = models(name)
    chosen = ("gelu_approx", "silu", "identity", "relu@1-2", "mine=x*sigmoid(1.7*x)")
    command = comparing(PROMPT, chosen, max_tokens=LONG, what_if=True, **settings)
    run = in_process.compare(loaded, command)
    for index in forked(run)[::2]:
        after, _ = asked(loaded, restore(without(saved(loaded, run))), index)
        # A replay rounds with the lengths of its parts.
        one, other = (replays_left_out(answer(x.streams[index])) for x in (run, after))
        assert one == other


def without(document: ComparisonDocument) -> ComparisonDocument:
    """The run before anything was tried."""
    variants = [
        structs.replace(v, fork=structs.replace(v.fork, what_if=None)) if v.fork else v
        for v in document.variants
    ]
    return structs.replace(document, variants=variants)


def replays_left_out(what_if: p.Counterfactual) -> p.Counterfactual:
    fork = what_if.fork
    bare = None if fork is None else structs.replace(fork, replay=None)
    return structs.replace(what_if, fork=bare, explanation="")


def test_again_and_again_until_all_forks_are_found(models: Models) -> None:
    """Each at a token that the function would not choose after the reference's."""
    loaded = models("gemma3_text")
    run = in_process.compare(loaded, comparing(PROMPT, FUNCTIONS, max_tokens=9))
    index, reference = forked(run)[0], run.reference.tokens
    name = run.streams[index].name
    chosen = [plainly(loaded, run, name, reference[:step], 1)[0][0] for step in range(1, 9)]
    differs = [step for step in range(1, 9) if chosen[step - 1] != reference[step]]
    found: list[int] = []
    for _ in differs:
        document = saved(loaded, run)
        if found[-1:] == [8]:
            with pytest.raises(GeluError, match="to the end of the reference's stream"):
                what_if_command(document, restore(document), index)
            break
        run, _ = asked(loaded, run, index)
        what_if = answer(run.streams[index])
        found = [*what_if.given, *([what_if.step] if what_if.step is not None else [])]
    assert found == differs


def test_a_fork_where_the_reference_ended(models: Models) -> None:
    loaded = models("gemma3_text")
    command = comparing(PROMPT, FUNCTIONS, max_tokens=LONG, what_if=True)
    run = in_process.compare(loaded, command)
    index = forked(run)[0]
    fork = run.streams[index].fork
    assert fork is not None
    ends = replace(loaded.tokenizer, end_ids=frozenset({fork.reference_token}))
    loaded = replace(loaded, tokenizer=ends)
    run = in_process.compare(loaded, command)
    fork = run.streams[index].fork
    assert fork is not None and run.reference.finish_reason == "stop"
    assert fork.step == len(run.reference.tokens) - 1 and fork.what_if is None
    document = saved(loaded, run)
    with pytest.raises(GeluError, match="gelu_approx ended: there is no token of it to go on from"):
        what_if_command(document, restore(document), index)


def test_one_that_is_cancelled_keeps_what_it_has_and_goes_on_when_asked_again(
    models: Models,
) -> None:
    loaded = models("gemma3_text")
    run = in_process.compare(loaded, comparing(PROMPT, FUNCTIONS, max_tokens=LONG, replay=False))
    index = forked(run)[0]
    whole = answer(asked(loaded, run, index)[0].streams[index])
    with pytest.raises(Interrupted):
        asked(loaded, run, index, lambda events: True)
    stopped, events = asked(loaded, run, index, lambda events: len(told(events)) >= 2)
    assert isinstance(events[-1], p.WhatIfEnded)
    found = answer(stopped.streams[index])
    assert found.finish_reason == "cancelled"
    assert 2 <= len(found.tokens) < len(whole.tokens)
    assert found.tokens == whole.tokens[: len(found.tokens)]
    # What is known of the run itself is as it was; asked again it is tried anew.
    assert [s.tokens for s in stopped.streams] == [s.tokens for s in run.streams]
    if not found.parts_again:
        assert answer(asked(loaded, stopped, index)[0].streams[index]) == whole


def test_a_run_that_is_cancelled_meanwhile_is_complete(models: Models) -> None:
    loaded = models("gemma3_text")
    command = comparing(PROMPT, FUNCTIONS, max_tokens=LONG, what_if=True)
    events: list[p.Event] = []

    def is_trying() -> bool:
        return any(isinstance(event, p.Progress) and event.phase == "what_if" for event in events)

    Run(loaded, resolve(loaded, command), events.append, is_trying, 0.0).run({})
    assert isinstance(events[-1], p.Finished) and events[-1].status == "completed"
    found = [event.what_if for event in events if isinstance(event, p.WhatIfAnswered)]
    assert found and {its.finish_reason for its in found} == {"cancelled"}


def test_a_function_whose_logits_are_not_numbers_fails_by_itself(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = models("gemma3_text")
    run = in_process.compare(loaded, comparing(PROMPT, FUNCTIONS, max_tokens=LONG))
    broken, whole, *_ = forked(run)
    name = run.streams[broken].name

    def functions_of(
        variants: Sequence[Variant], reference: int, precision: Precision
    ) -> list[RowFunction]:
        made = limited_functions.functions_of(variants, reference, precision)
        made[broken] = lambda x: x * float("nan")
        return made

    monkeypatch.setattr(prompt_run, "functions_of", functions_of)
    document = saved(loaded, run)
    commands = [what_if_command(document, restore(document), index) for index in (broken, whole)]
    given = tuple(structs.replace(command.given[0], logprob=None) for command in commands)
    events = tried(loaded, structs.replace(commands[0], given=given))
    found = {event.stream: event.what_if for event in events if isinstance(event, p.WhatIfAnswered)}
    assert found[whole].finish_reason == "length" and found[whole].tokens
    error = found[broken].error
    assert found[broken].finish_reason == "failed" and found[broken].tokens == ()
    assert error is not None and error.kind == "not_finite"
    assert name in error.message


def test_another_model_of_the_name_is_noticed(models: Models) -> None:
    loaded = models("gemma3_text")
    run = in_process.compare(loaded, comparing(PROMPT, FUNCTIONS, max_tokens=LONG))
    index = forked(run)[0]
    fork = run.streams[index].fork
    assert fork is not None
    chances = {**fork.probabilities, "variant_a": fork.probabilities["variant_a"] * 0.9}
    run.streams[index].fork = structs.replace(fork, probabilities=chances)
    with pytest.raises(GeluError, match="other numbers"):
        asked(loaded, run, index)


def test_a_run_that_goes_on_keeps_what_fits_and_tries_again(models: Models) -> None:
    loaded = models("gemma3_text")
    settings = {"what_if": True, "replay": False}
    short = in_process.compare(loaded, comparing(PROMPT, FUNCTIONS, max_tokens=9, **settings))
    before = saved(loaded, short)
    going = go_on(before, LONG)
    going.comparison.check()
    request = resolve_again(loaded, going.command)
    comparison = going.comparison

    def take(event: p.Event) -> None:
        comparison.apply(event)

    Run(loaded, request, take, lambda: False, 0.0).run({})
    comparison.check()
    whole = in_process.compare(loaded, comparing(PROMPT, FUNCTIONS, max_tokens=LONG, **settings))
    for index in forked(whole):
        assert answer(comparison.streams[index]) == answer(whole.streams[index])
