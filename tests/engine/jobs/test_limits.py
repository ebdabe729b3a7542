"""Functions with limits in everything that the engine does with functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.limits import Limits
from gelu_tui.core.runs.document import document, to_json
from gelu_tui.core.runs.going_on import go_on
from gelu_tui.core.runs.restore import read_document
from gelu_tui.engine import device
from gelu_tui.engine.jobs.compare import Run
from gelu_tui.engine.jobs.request import resolve, resolve_again
from gelu_tui.engine.jobs.score import score
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, odd_models, tiny_models
from tests.support.batching import Jobs
from tests.support.commands import comparing, scoring
from tests.support.comparisons import LOADED

PROMPT = "Why is the sky blue? the sky is"
LAST = 3  # layer of the model
ALL = f"relu@0-{LAST}"
NAMES = ("gelu_approx", "relu", ALL, "relu@0", "relu@gate", "gelu_approx@1-2")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    device.prepare()
    return in_process.load(tiny_models.write(tmp_path_factory.mktemp("m"), "gemma3n"))


def figures(comparison: Comparison) -> dict[str, Any]:
    """What is measured of each stream, without times."""
    return {
        stream.name: (
            list(stream.tokens),
            [(step.logprob, step.margin, step.kl) for step in stream.steps],
            stream.fork and (stream.fork.step, stream.fork.margins, stream.fork.verdict),
        )
        for stream in comparison.streams
    }


@pytest.mark.parametrize(("schedule", "precision"), [("lockstep", "float32"), ("solo", "model")])
def test_a_run(loaded: LoadedModel, schedule: Any, precision: Any) -> None:
    settings = {"schedule": schedule, "activation_precision": precision, "control": True}
    its = in_process.compare(loaded, comparing(PROMPT, NAMES, max_tokens=12, **settings))
    found = figures(its)
    assert found[ALL] == found["relu"]
    forks = [stream.fork for stream in its.streams[1:3]]
    assert forks[0] is not None and forks[0].verdict == "formula"
    assert forks[0].replay == forks[1].replay is not None
    same = its.streams[NAMES.index("gelu_approx@1-2")]
    assert same.tokens == its.reference.tokens
    assert [step.logprob for step in same.steps] == [x.logprob for x in its.reference.steps]
    assert {step.kl for step in same.steps} == {0.0}
    assert found["relu@0"] != found["relu@gate"] != found["relu"]
    assert [s.name for s in its.streams if s.variant.control] == ["control"]


def test_a_limited_twin_of_the_reference_is_not_the_control(loaded: LoadedModel) -> None:
    names = ("gelu_approx", "keras_gelu_approx@0")
    its = in_process.compare(loaded, comparing(PROMPT, names, max_tokens=2, control=True))
    assert [stream.name for stream in its.streams] == [*names, "control"]
    assert [stream.variant.control for stream in its.streams] == [False, False, True]


def test_it_is_saved_and_goes_on(loaded: LoadedModel) -> None:
    def answers(request: Any, comparison: Comparison | None = None) -> Comparison:
        events: list[p.Event] = []
        Run(loaded, request, events.append, lambda: False, 0.0).run({})
        its = comparison or Comparison.begin(next(e for e in events if isinstance(e, p.Started)))
        for event in events:
            its.apply(event)
        return its

    whole = answers(resolve(loaded, comparing(PROMPT, NAMES, max_tokens=12)))
    short = answers(resolve(loaded, comparing(PROMPT, NAMES, max_tokens=5)))
    data = to_json(document(short, structs.replace(LOADED, model=loaded.info))).encode()
    saved = read_document(data)
    assert [v.limits for v in saved.variants][2:5] == [
        Limits(layers=((0, LAST),)), Limits(layers=((0, 0),)), Limits(kinds=("gate",)),
    ]  # fmt: skip
    command, comparison = go_on(saved, 12)
    assert figures(answers(resolve_again(loaded, command), comparison)) == figures(whole)


def test_prompts_that_share_a_batch(loaded: LoadedModel) -> None:
    prompts = (PROMPT, "the", "is the sky")
    names = ("gelu_approx", "relu@0", "relu")
    commands = [structs.replace(comparing(text, names, max_tokens=8), rows=9) for text in prompts]
    jobs = Jobs(commands).run(loaded)
    for number, command in enumerate(commands):
        together, alone = jobs.comparison(number), in_process.compare(loaded, command)
        assert [s.tokens for s in together.streams] == [s.tokens for s in alone.streams]
        assert len({tuple(stream.tokens) for stream in together.streams}) > 1


def test_a_score(loaded: LoadedModel) -> None:
    events: list[Any] = []
    score(loaded, scoring(NAMES, text=PROMPT * 3, context=40), events.append, lambda: False)
    assert events[-1].status == "completed"
    rows: dict[str, list[p.ScoredRow]] = {}
    for chunk in events:
        for row in chunk.rows if isinstance(chunk, p.ScoreChunk) else ():
            rows.setdefault(events[0].variants[row.variant].name, []).append(row)
    kl = {name: np.concatenate([row.kl for row in of]) for name, of in rows.items()}
    assert np.array_equal(kl["relu"], kl[ALL])
    assert (kl["gelu_approx@1-2"] == 0).all()
    assert 0 < kl["relu@0"].mean() != kl["relu@gate"].mean() > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("relu@2-4", "This model has 4 layers, 0 to 3: there is no layer 4 for 'relu@2-4'."),
        ("relu@experts", "This model has no experts, only mlp and gate: there is no place for "),
    ],
)
def test_what_the_model_has_not_is_refused_before_anything_is_computed(
    loaded: LoadedModel, name: str, message: str
) -> None:
    names = ("gelu", name)
    with pytest.raises(UsageError) as caught:
        resolve(loaded, comparing(PROMPT, names))
    assert caught.value.info.message.startswith(message) and caught.value.info.hint
    jobs = Jobs([structs.replace(comparing("the", names), rows=4)])
    jobs.run(loaded)
    assert not any(isinstance(event, p.Started | p.Prefilled) for event in jobs.events)
    with pytest.raises(UsageError):
        score(loaded, scoring(names, text=PROMPT), lambda _: None, lambda: False)


def test_why_its_logits_are_not_numbers(tmp_path: Path) -> None:
    """The function is tried where it was: in the layers in which its inputs are too large."""
    loud = in_process.load(odd_models.loud(tmp_path / "loud"))
    names = ("gelu_approx", f"{odd_models.OVERFLOWS}@1", "relu@1")
    its = in_process.compare(loud, comparing(PROMPT, names, max_tokens=4))
    errors = [stream.error for stream in its.streams]
    assert errors[0] is errors[2] is None and errors[1] is not None
    assert errors[1].kind == "not_finite"
    assert "the function makes nan or infinity of inputs" in errors[1].message
