"""The text report of a sweep: what it says, its empty states, and its width."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Console

from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.functions.variants import CONTROL
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.sweep.build import SweepHead, build_document
from gelu_tui.sweep.document import SweepDocument
from gelu_tui.sweep.outcomes import FailedPrompt, PromptOutcome
from gelu_tui.sweep.report.text import sweep_report
from tests.support.command import UNSAFE
from tests.support.pages import HOSTILE
from tests.support.sweep_outcomes import FUNCTIONS, all_outcomes
from tests.support.sweeps import a_run, hostile_sweep, sweep_document


@dataclass(frozen=True)
class FinishedPrompt:
    outcome: PromptOutcome
    prompt: str = "Why is the sky blue?"


@dataclass
class Finished:
    """The finished prompts of a sweep, as its estimates read them."""

    outcomes: Sequence[PromptOutcome]

    def rows(self, model: int) -> list[FinishedPrompt]:
        return [FinishedPrompt(outcome) for outcome in self.outcomes if outcome.model == model]

    def load(self, model: int, number: int) -> ComparisonDocument:
        return a_run(number)


EIGHT = ("gelu_approx", "gelu", "gelu_fast_approx", "keras_gelu_approx", "relu", "mish",
         "silu@0-5,12", "wide", CONTROL)  # fmt: skip


def lines(document: SweepDocument, width: int = 80) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, markup=False, emoji=False,
                      highlight=False)  # fmt: skip
    console.print(sweep_report(document), crop=False)
    shown = file.getvalue().splitlines()
    assert max(map(cell_len, shown)) <= width
    return shown


def words(document: SweepDocument, width: int = 80) -> str:
    return " ".join(" ".join(lines(document, width)).split())


def test_the_summary_is_first_and_every_table_has_the_control() -> None:
    document = sweep_document(answers=True, full_kl=True)
    shown = lines(document)
    assert shown[0].startswith("· Over 40 prompts of 256 tokens, `gelu_approx` and `gelu` part in ")
    blocks = "\n".join(shown).split("\n\n")
    for title in ("How many diverge", "How soon", "Diverged within the first tokens",
                  "By how much", "Right answers", "As who-what-bench measures"):  # fmt: skip
        (block,) = [block for block in blocks if block.startswith(f"{title}\n")]
        rows = [line.split()[0] for line in block.splitlines()[2:]]
        for name in FUNCTIONS[1:]:
            assert name in rows, (title, name)


def test_figures_of_a_function() -> None:
    document = sweep_document(answers=True)
    result = next(r for r in document.results if r.variant == "gelu_fast_approx")
    assert result.task is not None and result.kl is not None
    shown = words(document)
    same = result.outcomes["same"]
    shares = [100 * (1 - s) for s in (same.share, same.high, same.low)]
    assert "gelu_fast_approx {:.0f} % [{:.0f}, {:.0f}]".format(*shares) in shown
    assert f"{result.task.gained}/{result.task.lost}" in shown
    assert f"{result.kl.mean:.1e}".replace("-", "−") in shown


def test_the_footing_says_how_it_was_computed() -> None:
    shown = words(sweep_document())
    for said in ("Sweep mixed-1a2b3c4d", "256 tokens at most · lockstep", "cpu · gelu_tui 0.1",
                 "Self-check: one function on 64 rows gave bit-identical logits.",
                 "Intervals are 95 %", "not corrected for"):  # fmt: skip
        assert said in shown, said


def test_worst_prompts_are_what_show_takes() -> None:
    document = sweep_document(prompts=40)
    shown = words(document)
    for result in document.results:
        for worst in result.worst[:3]:
            assert f"{worst.fdt} {worst.verdict} {worst.run} {worst.id} “" in shown


def test_a_wide_terminal_shows_prompts_whole() -> None:
    assert "lighthouse keeper who”" in words(sweep_document(), 200)
    assert "lighthouse keeper who”" not in words(sweep_document(), 80)


def test_several_models_and_the_first_as_their_reference() -> None:
    models = ("google/gemma-3-1b-it", "mlx-community/gemma-3-1b-it-4bit")
    shown = words(sweep_document(models=models, prompts=12))
    assert "google/gemma-3-1b-it, against gelu_approx" in shown
    against = "mlx-community/gemma-3-1b-it-4bit, each function against itself on "
    assert f"{against}google/gemma-3-1b-it " in shown
    assert shown.count("Diverged, by category") == 2  # on each model, not across them
    for model in models:
        assert f"How much later, on {model} function than tokens later gelu " in shown
    assert "unverified" in shown and "mixed-1a2b3c4d/1/" in shown


def test_an_incomplete_sweep_says_so_at_the_top() -> None:
    failed = [FailedPrompt(f"q{i}", f"It is too long by {i} tokens.", i) for i in range(1, 9)]
    document = sweep_document(prompts=30, total=400, failed=failed)
    shown = words(document)
    assert shown.startswith(
        "Not finished: the same command goes on where it stopped. · Incomplete:"
    )
    assert "30 of 400 prompts are finished" in shown
    assert "8 prompts failed; numbers count from 0. · number 1 (q1): It is too long by 1" in shown
    assert "number 5 (q5)" in shown and "number 6" not in shown
    assert "… and 3 more, which --format json lists." in shown


def test_the_estimates_of_an_interrupted_sweep() -> None:
    """What was compared for 20 tokens only says nothing of more."""
    document = sweep_document(functions=("gelu", "relu", CONTROL))
    short = tuple(replace(result, tokens=20) for result in document.results)
    shown = words(replace(document, results=short))
    assert "> 20" in shown and "or as many as were compared so far" in shown
    row = next(line for line in lines(replace(document, results=short))
               if line.startswith("control") and "–" in line)  # fmt: skip
    assert row.split()[:7] == ["control", "0", "0", "–", "–", "–", "–"]


@given(st.integers(0, 30), st.integers(0, 99), st.booleans(), st.sampled_from([1, 2]))
@settings(max_examples=6, deadline=None)
def test_real_estimates_fit(prompts: int, seed: int, answers: bool, models: int) -> None:
    known = sweep_document(prompts=3, models=("google/gemma-3-1b-it", "x")[:models])
    outcomes = all_outcomes(prompts, models=models, answers=answers, seed=seed)
    head = SweepHead(
        **{name: getattr(known, name) for name in SweepHead.__struct_fields__} | {"prompts": 30}
    )
    document = build_document(head, Finished(outcomes), differences=False)
    for width in (80, 200):
        shown = words(document, width)
        assert ("How many diverge" in shown) == bool(prompts)
    assert "Not finished" in shown or prompts == 30


# --- empty states ---------------------------------------------------------------------------------


def test_nothing_completed() -> None:
    for failed in ([], [FailedPrompt("a", "It is empty.", 0)]):
        shown = words(sweep_document(prompts=0, total=5, failed=failed))
        assert shown.startswith("Not finished:") and "0 of 5 prompts are finished" in shown
        assert "No prompt is finished, so there are no figures." in shown
        assert "How many diverge" not in shown and "Intervals" not in shown
        assert ("It is empty." in shown) == bool(failed)


def test_failed_as_a_whole() -> None:
    error = ErrorInfo("engine", "The engine ended by itself.", "Start it again.")
    document = replace(sweep_document(prompts=3, total=9), status="failed", error=error)
    assert words(document).startswith("The engine ended by itself. Start it again. Not finished")


def test_nothing_diverged() -> None:
    hazards = dict.fromkeys(FUNCTIONS, (0.0, 0.0))
    shown = words(sweep_document(hazards=hazards))
    assert shown.count("0 % [0, 9] 0 % 0 % 0 %") == 4 and shown.count("> 256 256") == 4
    assert "Prompts that diverge first" not in shown


def test_one_prompt() -> None:
    shown = words(sweep_document(prompts=1, functions=("gelu", "relu", CONTROL)))
    assert "1 prompt; shares" in shown and "relu 100 % [21, 100]" in shown
    assert "±" not in shown.split("By how much")[1].split("KL in nats")[0]


def test_no_control() -> None:
    shown = words(sweep_document(functions=("gelu", "relu")))
    assert "There is no control: no floor." in shown
    assert "There was no control: how much rounding alone changes is not known." in shown


def test_only_the_reference() -> None:
    shown = words(sweep_document(functions=("gelu",)))
    assert "There is only the reference: nothing is compared." in shown


def test_without_categories_answers_and_replays() -> None:
    document = replace(sweep_document(categories=()), machines=())
    shown = words(document)
    for absent in ("by category", "Right answers", "Self-check"):
        assert absent not in shown


def test_a_control_of_another_name_is_marked() -> None:
    document = sweep_document()
    keras = [replace(r, control=r.variant == "keras_gelu_approx") for r in document.results]
    shown = words(replace(document, results=tuple(keras)))
    assert shown.count("keras_gelu_approx (control)") >= 5


@pytest.mark.parametrize("name", ["category", "prompts", "function"])
def test_a_function_named_as_a_column(name: str) -> None:
    shown = words(sweep_document(functions=("gelu", name, CONTROL)))
    assert shown.count(f" {name} ") >= 6


# --- any sweep, any text --------------------------------------------------------------------------


@given(
    st.fixed_dictionaries(
        {
            "prompts": st.sampled_from([0, 1, 2, 7]),
            "functions": st.integers(1, 9).map(lambda n: EIGHT[:n]) | st.just(FUNCTIONS),
            "models": st.sampled_from([("demo",), ("a" * 90, "b/c")]),
            "max_tokens": st.sampled_from([1, 2, 20, 256, 3000]),
            "answers": st.booleans(),
            "full_kl": st.booleans(),
            "seed": st.integers(0, 99),
        }
    ),
    st.integers(40, 200),
)
@settings(max_examples=20, deadline=None)
def test_no_line_is_too_long(parts: dict[str, Any], width: int) -> None:
    document = sweep_document(**parts)
    for each in (80, width):
        shown = words(document, each)
        for name in document.functions[1:] if document.results else ():
            assert name.name in shown


@given(st.sampled_from(HOSTILE) | st.text(max_size=60), st.integers(40, 120))
@settings(max_examples=30, deadline=None)
def test_hostile_text_is_shown_and_does_nothing(text: str, width: int) -> None:
    shown = "\n".join(lines(hostile_sweep(text), width))
    assert not UNSAFE.search(shown)
    shown.encode("utf-8")


def test_markup_of_the_terminal_is_text() -> None:
    assert "[bold]x[/bold]" in words(hostile_sweep("[bold]x[/bold]"), 120)
