"""Comparisons whose tokens are drawn: a fork comes from the functions, never from the dice."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import mlx.core as mx
import pytest
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.settings.run_settings import RunSettings, sampling_words
from gelu_tui.engine import device
from gelu_tui.engine.compute.decode import decode, prefill
from gelu_tui.engine.compute.token_selection import Chooser
from gelu_tui.engine.models import loading
from tests.support import in_process, tiny_models
from tests.support.commands import sampled

PROMPT = "Why is the sky blue?"
TOKENS = 10


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    device.prepare()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> loading.LoadedModel:
    folder = tiny_models.write(tmp_path_factory.mktemp("model"), "gemma3_text")
    return in_process.load(folder, "float32")


def compare(
    loaded: loading.LoadedModel,
    sampling: RunSettings,
    *names: str,
    schedule: p.Schedule = "lockstep",
) -> Comparison:
    settings = replace(
        sampling,
        activations=names or ("gelu",),
        max_tokens=TOKENS,
        schedule=schedule,
        replay=False,
    )
    return in_process.compare(loaded, p.Compare(PROMPT, settings))


def tokens(comparison: Comparison) -> dict[str, list[int]]:
    return {stream.name: stream.tokens for stream in comparison.streams}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_equal_functions_draw_equal_tokens(loaded: loading.LoadedModel, temperature: float) -> None:
    names = ("relu", "gelu", "again=gelu(x)")
    found = tokens(compare(loaded, sampled(temperature, 3), *names))
    assert found["gelu"] == found["again"]
    # Much noise drowns the functions.
    assert temperature > 1 or found["gelu"] != found["relu"]
    assert found["gelu"] != tokens(compare(loaded, sampled()))["gelu"]


@pytest.mark.parametrize("family", ["gemma", "gemma3_text", "gemma3n", "recurrent_gemma"])
def test_the_schedule_does_not_matter(family: str, tmp_path: Path) -> None:
    loaded = in_process.load(tiny_models.write(tmp_path, family), "float32")
    names = ("gelu", "gelu_approx", "relu", "silu")
    samplings = [sampled(1.5, 12, top_p=0.9, top_k=50, min_p=0.01)]
    if family == "gemma3_text":  # what is drawn does not depend on the family
        samplings.append(sampled(0.8, 11))
    for sampling in samplings:
        together = tokens(compare(loaded, sampling, *names))
        assert tokens(compare(loaded, sampling, *names, schedule="solo")) == together
        assert tokens(compare(loaded, sampling, *reversed(names))) == together
        assert tokens(compare(loaded, sampling, "relu")) == {"relu": together["relu"]}


def test_the_same_seed_repeats_and_another_does_not(loaded: loading.LoadedModel) -> None:
    streams = [tokens(compare(loaded, sampled(2.0, seed)))["gelu"] for seed in (5, 5, 6)]
    assert streams[0] == streams[1] != streams[2]


def test_a_seed_that_was_not_given_is_told_and_repeats_the_run(loaded: loading.LoadedModel) -> None:
    first = compare(loaded, sampled(2.0, top_k=40))
    told = first.settings
    assert told.seed is not None
    assert sampling_words(told) == ["temperature 2", f"seed {told.seed}", "top-k 40"]
    assert tokens(compare(loaded, told)) == tokens(first)
    assert compare(loaded, sampled(2.0)).settings.seed != told.seed
    greedy = compare(loaded, sampled()).settings
    assert (greedy.temperature, greedy.seed) == (0.0, None)


def test_statistics_stay_those_of_the_model(loaded: loading.LoadedModel) -> None:
    """The first step has the same context whatever is drawn."""
    greedy = compare(loaded, sampled(), "gelu", "relu")
    kl = greedy.streams[1].steps[0].kl
    margins = []
    for seed in range(6):
        drawn = compare(loaded, sampled(3.0, seed, top_k=30), "gelu", "relu")
        assert drawn.streams[1].steps[0].kl == kl
        for stream in drawn.streams:
            margins += [step.margin for step in stream.steps if step.margin is not None]
    assert min(margins) < 0, "of a token that was not the most probable"


def test_in_bfloat16_equal_functions_draw_equal_tokens(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "gemma3_text", dtype=mx.bfloat16)
    loaded = in_process.load(folder, "bfloat16")
    found = tokens(compare(loaded, sampled(1.0, 3, top_p=0.95), "gelu", "again=gelu(x)"))
    assert found["gelu"] == found["again"]


@pytest.mark.parametrize("sampling", [sampled(), sampled(1.0, 3, top_k=50)])
def test_steps_that_are_started_ahead_are_the_same(
    loaded: loading.LoadedModel, sampling: RunSettings
) -> None:
    prompt = loaded.tokenizer.encode(PROMPT)

    def stream(*, ahead: bool) -> list[list[int]]:
        cache = prefill(loaded.model, prompt, 512, lambda _: None, lambda: False)
        choose = Chooser(sampling)
        steps = decode(loaded.model, cache, prompt[-1:], ahead=ahead, choose=choose)
        return [step.tokens for step in islice(steps, TOKENS)]

    assert stream(ahead=True) == stream(ahead=False)
