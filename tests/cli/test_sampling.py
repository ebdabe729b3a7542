"""`gelu-tui run --temperature`: what is said about the draws, and that they can be repeated."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.command import Done, fake_engine, gelu

SHORT = ("-a", "gelu,relu", "--max-tokens", "8")


def run(env: dict[str, str], model: str, *words: str) -> Done:
    return gelu(env, "run", "--model", model, *SHORT, *words, "the sky")


def document(done: Done) -> dict[str, Any]:
    assert (done.code, done.err) == (0, "")
    return json.loads(done.raw)


def test_the_document_repeats_the_run(env: dict[str, str], model: str) -> None:
    drawn = ("--temperature", "2", "--top-p", "0.95", "--min-p", "0.001", "--format", "json")
    first = document(run(env, model, *drawn))
    settings = first["settings"]
    assert (settings["temperature"], settings["top_p"], settings["top_k"]) == (2.0, 0.95, 0)
    assert settings["min_p"] == 0.001
    assert isinstance(settings["seed"], int)
    again = document(run(env, model, *drawn, "--seed", str(settings["seed"])))
    assert again["settings"] == settings
    assert [v["tokens"] for v in again["variants"]] == [v["tokens"] for v in first["variants"]]


def test_the_report_says_how_tokens_were_drawn(env: dict[str, str]) -> None:
    words = ("-a", "gelu,silu", "--engine-command", fake_engine("five"))
    done = gelu(env, "run", *words, "--temperature", "0.7", "--seed", "42", "--top-k", "40", "x")
    assert (done.code, done.err) == (0, "")
    assert "raw prompt · temperature 0.7 · seed 42 · top-k 40 ·" in " ".join(done.out.split())
    assert "temperature" not in gelu(env, "run", *words, "x").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--top-p", "0.9"), "--top-p has no effect at temperature 0."),
        (("--seed", "3", "--min-p", "0"), "--seed and --min-p have no effect at temperature 0."),
        (
            ("--top-k", "3", "--min-p", "0.1", "--top-p", "1"),
            "--top-p, --min-p and --top-k have no effect at temperature 0.",
        ),
    ],
)
def test_what_has_no_effect_is_said(env: dict[str, str], words: tuple[str, ...], said: str) -> None:
    done = gelu(env, "run", "-a", "gelu", "--engine-command", fake_engine("five"), *words, "x")
    assert done.code == 0
    assert done.err == f"gelu-tui: {said}\n  Give --temperature too, e.g. --temperature 0.8.\n"


def test_a_top_p_of_0_is_off_and_that_is_said(env: dict[str, str], model: str) -> None:
    words = ("run", "--model", model, "--max-tokens", "8", "--temperature", "1", "--seed", "5")
    nought = gelu(env, *words, "--top-p", "0", "--format", "json", "the sky")
    one = gelu(env, *words, "--top-p", "1", "--format", "json", "the sky")
    assert nought.code == one.code == 0
    assert nought.err.startswith("gelu-tui: --top-p 0 has no effect: as in mlx-lm, 0 is off")
    assert one.err == ""
    tokens = [[v["tokens"] for v in json.loads(done.raw)["variants"]] for done in (nought, one)]
    assert tokens[0] == tokens[1]


def test_nothing_is_said_of_what_has_an_effect(env: dict[str, str]) -> None:
    words = ("-a", "gelu", "--engine-command", fake_engine("five"), "--top-p", "0.9")
    assert gelu(env, "run", *words, "--temperature", "1", "x").err == ""
