"""The noise floor: worked by hand, and the same in documents, reports and the app."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import StringIO

import pytest
from rich.console import Console

from gelu_tui.core.comparison.noise import (
    NoiseFloor,
    compared_steps,
    is_suspicious,
    mean_kl,
    noise_floor,
    times,
    times_noise_floor,
)
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.reports.markdown import markdown_report
from gelu_tui.core.reports.noise_sentences import noise_sentences, suspicions
from gelu_tui.core.reports.terminal import comparison_report
from gelu_tui.core.runs.document import ComparisonDocument, document, to_json
from gelu_tui.core.runs.merge import merged
from gelu_tui.core.runs.restore import read_document
from tests.support.comparisons import LOADED, begun, run_comparison, run_document

KERAS = "keras_gelu_approx"
FOUR = ["a", "b", "c", "d"]
TEXTS = {"gelu_approx": FOUR, KERAS: FOUR, "gelu": FOUR, "silu": ["a", "x", "y", "z"]}
KLS: Mapping[str, Sequence[float | None]] = {
    KERAS: [1e-10, 3e-10, 0.0, 4e-10],
    "gelu": [1e-6, 2e-6, 3e-6, 2e-6],
    "silu": [0.1, 0.5, None, None],
}
ZERO = [0.0] * 4


def run(
    kls: Mapping[str, Sequence[float | None]] = KLS,
    texts: Mapping[str, Sequence[str]] = TEXTS,
    formulas: Mapping[str, str] | None = None,
    control: str = KERAS,
) -> Comparison:
    return run_comparison(texts=texts, kls=kls, control=control, formulas=formulas)


def sentences(comparison: Comparison) -> list[str]:
    return noise_sentences(document(comparison, LOADED))


def test_the_floor_is_the_controls_kl_and_the_others_are_multiples_over_shared_steps() -> None:
    comparison = run()
    reference, keras, gelu, silu = comparison.streams
    assert noise_floor(comparison) == NoiseFloor(KERAS, pytest.approx(2e-10), 4e-10, 4)
    assert [compared_steps(comparison, s) for s in comparison.streams] == [0, 4, 4, 2]
    assert mean_kl(comparison, gelu) == pytest.approx(2e-6)
    assert mean_kl(comparison, silu) == pytest.approx(0.3)
    assert times_noise_floor(comparison, gelu) == pytest.approx(2e-6 / 2e-10)
    assert times_noise_floor(comparison, silu) == pytest.approx(0.3 / 2e-10), "two steps of both"
    for stream in (reference, keras):
        assert times_noise_floor(comparison, stream) is None
    assert mean_kl(comparison, reference) is None


def test_a_control_that_forks_counts_until_then() -> None:
    texts = {**TEXTS, KERAS: ["a", "x", "c", "d"]}
    comparison = run({**KLS, KERAS: [1e-10, 3e-10, None, None]}, texts)
    assert noise_floor(comparison) == NoiseFloor(KERAS, pytest.approx(2e-10), 3e-10, 2)
    gelu = comparison.streams[2]
    assert mean_kl(comparison, gelu) == pytest.approx(2e-6), "its own mean is over all four"
    assert times_noise_floor(comparison, gelu) == pytest.approx(1.5e-6 / 2e-10)


def test_kl_that_is_told_behind_a_fork_or_a_gap_does_not_count() -> None:
    comparison = run({**KLS, "silu": [0.1, 0.5, 9.0, 9.0], "gelu": [1e-6, None, 3e-6, 2e-6]})
    assert mean_kl(comparison, comparison.streams[3]) == pytest.approx(0.3)
    assert mean_kl(comparison, comparison.streams[2]) == 1e-6


def test_without_a_control_there_is_no_floor() -> None:
    comparison = run(control="")
    assert noise_floor(comparison) is None
    assert times_noise_floor(comparison, comparison.streams[2]) is None
    assert sentences(comparison) == []


def test_before_the_first_step_there_is_none_either() -> None:
    comparison = begun(*TEXTS, control=KERAS)
    assert noise_floor(comparison) is None
    assert sentences(comparison) == []


def test_the_sentences() -> None:
    assert sentences(run()) == [
        "Noise floor: keras_gelu_approx (the reference in another order of operations) has a mean "
        "KL of 2e-10 nats over 4 steps, at most 4e-10.",
        "Mean KL as a multiple of it, over the steps that both have: gelu 10,000 ×, "
        "silu 1.5e+09 ×.",
    ]


def test_a_floor_of_zero_says_why() -> None:
    same = run({**KLS, KERAS: ZERO})
    floor = noise_floor(same)
    assert floor == NoiseFloor(KERAS, 0.0, 0.0, 4)
    assert [times_noise_floor(same, stream) for stream in same.streams] == [None] * 4
    assert sentences(same) == [
        "Noise floor: exactly 0; keras_gelu_approx (the reference in another order of operations) "
        "has a KL of 0 at all 4 steps: rounding inside the functions does not reach the logits."
    ]
    texts = {"relu": FOUR, "gelu": FOUR, "control": FOUR}
    relu = run({"gelu": [1.0] * 4, "control": ZERO}, texts, {"control": "relu(x)"}, "control")
    assert sentences(relu) == [
        "Noise floor: exactly 0; relu has only one order of operations, so control is the same "
        "function."
    ]


def test_a_floor_that_is_zero_over_the_shared_steps_only() -> None:
    texts = {**TEXTS, "silu": ["x", "x", "y", "z"]}
    comparison = run(
        {**KLS, KERAS: [0.0, 3e-10, 0.0, 1e-10], "silu": [0.5, None, None, None]}, texts
    )
    assert times_noise_floor(comparison, comparison.streams[3]) is None
    assert sentences(comparison)[1].endswith("gelu 20,000 ×, silu – (the floor is 0 over 1 step).")


@pytest.mark.parametrize(
    ("multiple", "text"),
    [(0.0, "0"), (1e-4, "1.0e-04"), (0.52, "0.52"), (1, "1"), (5.34, "5.3"), (56.7, "57"),
     (5312, "5,300"), (999_999, "1,000,000"), (2.14e9, "2.1e+09")],
)  # fmt: skip
def test_multiples_in_words(multiple: float, text: str) -> None:
    assert times(multiple) == text


# --- was it really engaged? -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "formula", "suspicious"),
    [
        ("gelu", REGISTRY["gelu"].formula, True),
        ("silu", REGISTRY["silu"].formula, True),
        ("again", "gelu_approx(x)", False),
        ("keras", "keras_gelu_approx(x)", False),
        ("mine", "0.5*x*(1+tanh(sqrt(2/pi)*(x+0.044715*x**3)))", False),
        ("mine", "gelu_approx(x)+0.0001", True),
        ("mine", "gelu_approx(x)+0.0000001*x", False),
        # Of another run put beside this one: its formula is for people.
        ("gelu #12", "limit 16 · x·Φ(x), by erf", False),
    ],
)
def test_zero_throughout_is_suspicious_where_the_formula_differs(
    name: str, formula: str, suspicious: bool
) -> None:
    texts = {"gelu_approx": FOUR, name: FOUR}
    comparison = run({name: ZERO}, texts, {name: formula}, "")
    stream = comparison.streams[1]
    assert is_suspicious(comparison, stream) == suspicious
    said = [
        f"KL of {name} is exactly 0 at all 4 steps although its formula differs from the "
        "reference's: was it really engaged?"
    ]
    made = document(comparison, LOADED)
    assert suspicions(made) == noise_sentences(made) == (said if suspicious else [])
    almost = run({name: [0.0, 0.0, 1e-15, 0.0]}, texts, {name: formula}, "")
    assert not is_suspicious(almost, almost.streams[1])


def test_neither_reference_nor_control_are_suspicious() -> None:
    comparison = run({**KLS, KERAS: ZERO})
    assert not any(is_suspicious(comparison, stream) for stream in comparison.streams)


# --- where it is told -----------------------------------------------------------------------------


def test_document_and_reports_agree() -> None:
    saved = run_document(texts=TEXTS, kls=KLS, control=KERAS)
    assert saved.noise_floor == noise_floor(run())
    raw = json.loads(to_json(saved))
    assert raw["noise_floor"].keys() == {"control", "mean_kl", "max_kl", "steps"}
    told = {
        v["name"]: (v["control"], v["mean_kl"], v["times_noise_floor"]) for v in raw["variants"]
    }
    assert told == {
        "gelu_approx": (False, None, None),
        KERAS: (True, pytest.approx(2e-10), None),
        "gelu": (False, pytest.approx(2e-6), pytest.approx(1e4)),
        "silu": (False, pytest.approx(0.3), pytest.approx(1.5e9)),
    }
    assert read_document(to_json(saved).encode()) == saved
    markdown = markdown_report(saved)
    assert "| keras\\_gelu\\_approx (control) | f(x) | 4 | 40.0 | =4 | 2e-10 |" in markdown
    assert "| gelu | f(x) | 4 | 40.0 | =4 | 2e-06 |" in markdown
    text = printed(saved)
    assert "keras_gelu_approx (control)" in text
    for sentence in noise_sentences(saved):
        assert sentence in " ".join(text.split())
        assert sentence.replace("_", "\\_") in markdown


def printed(saved: ComparisonDocument) -> str:
    console = Console(file=StringIO(), width=80, color_system=None)
    console.print(comparison_report(saved))
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    return text


def test_suspicion_is_told_in_the_reports() -> None:
    kls = {**KLS, "gelu": ZERO}
    saved = run_document(texts=TEXTS, kls=kls, control=KERAS)
    for text in (printed(saved), markdown_report(saved)):
        assert "KL of gelu is exactly 0 at all 4 steps" in " ".join(text.split())


def test_a_document_of_before_has_no_floor_and_can_be_read() -> None:
    raw = json.loads(to_json(run_document(texts=TEXTS, kls=KLS)))
    del raw["noise_floor"]
    for variant in raw["variants"]:
        for field in ("control", "mean_kl", "times_noise_floor"):
            del variant[field]
    saved = read_document(json.dumps(raw).encode())
    assert saved.noise_floor is None
    assert not any(variant.control for variant in saved.variants)
    assert "| gelu | f(x) | 4 | 40.0 | =4 | 2e-06 |" in markdown_report(saved)


# --- runs put side by side ------------------------------------------------------------------------


def test_of_two_runs_with_one_reference_the_first_control_is_the_floor() -> None:
    two = {"gelu_approx": FOUR, "control": FOUR}
    kls = {"control": [1e-10] * 4}
    one = run_document(texts=two, control="control", kls=kls)
    kls = {"control": [2e-10] * 4, "gelu": [1e-6] * 4}
    other = run_document(texts={**two, "gelu": FOUR}, control="control", kls=kls)
    both = merged(one, other, (1, 2))
    assert both.noise_floor == NoiseFloor("control", pytest.approx(1e-10), 1e-10, 4)
    multiples = {variant.name: variant.times_noise_floor for variant in both.variants}
    assert multiples == {
        "gelu_approx": None,
        "control": None,
        "gelu_approx #2": None,
        "control #2": pytest.approx(2),
        "gelu": pytest.approx(1e4),
    }
    assert read_document(to_json(both).encode()) == both


def test_a_control_of_another_reference_is_none_here() -> None:
    one = run_document(texts={"gelu_approx": FOUR})
    other = run_document(texts={"gelu": FOUR, "control": FOUR}, control="control")
    both = merged(one, other, (1, 2))
    assert both.noise_floor is None
    assert [(v.control, v.mean_kl) for v in both.variants] == [(False, None)] * 3
