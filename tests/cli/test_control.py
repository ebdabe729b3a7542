"""`gelu-tui run --control` on a tiny model: one floor in JSON, text, Markdown and when rerun."""

from __future__ import annotations

import json

import pytest

from gelu_tui.core.reports.noise_sentences import noise_sentences
from gelu_tui.core.runs.restore import read_document
from tests.support.command import complaint, gelu

CHOICE = ("-a", "silu,gelu_approx,gelu", "--max-tokens", "6", "the sky")


@pytest.mark.parametrize("schedule", ["lockstep", "solo"])
def test_the_floor_is_the_same_everywhere(env: dict[str, str], model: str, schedule: str) -> None:
    options = ("--model", model, "--control", "--schedule", schedule)
    done = gelu(env, "run", *options, *CHOICE, "--format", "json")
    assert (done.code, done.err) == (0, "")
    raw = json.loads(done.raw)
    floor = raw["noise_floor"]
    by_name = {variant["name"]: variant for variant in raw["variants"]}
    assert [*by_name] == ["silu", "gelu_approx", "gelu", "control"]
    kls = [step["kl"] for step in by_name["control"]["steps"]]
    assert floor == {
        "control": "control", "mean_kl": pytest.approx(sum(kls) / 6), "max_kl": max(kls), "steps": 6
    }  # fmt: skip
    gelu_kls = [step["kl"] for step in by_name["gelu"]["steps"]]
    shared = [(a, b) for a, b in zip(gelu_kls, kls, strict=True) if a is not None]
    times = sum(a for a, _ in shared) / sum(b for _, b in shared)
    assert by_name["gelu"]["times_noise_floor"] == pytest.approx(times)

    document = read_document(done.raw)
    assert document.settings.activations == ("silu", "gelu_approx", "gelu")
    sentences = noise_sentences(document)
    assert len(sentences) == 2
    for form in ("text", "markdown"):
        shown = gelu(env, "show", "last", "--format", form)
        said = " ".join(shown.out.replace("\\", "").split())
        assert all(sentence in said for sentence in sentences), shown.out


def test_no_room_is_told_before_anything_is_loaded(env: dict[str, str]) -> None:
    eight = "gelu,gelu_fast_approx,relu,silu,relu2,mish,identity,gelu_approx"
    done = gelu(env, "run", "--model", "/nowhere", "--control", "-a", eight, "the sky")
    message, hint = complaint(done, 2)
    assert message == "With 8 activation functions there is no room for a control."
    assert hint == "Choose at most 7, or leave out --control."
