"""Yardsticks of a sweep: what reading a stream again tells, against decoding; their results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import quantize_model
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import UsageError
from gelu_tui.core.runs.document import ComparisonDocument, document
from gelu_tui.core.settings.yardsticks import YARDSTICKS, YardstickName
from gelu_tui.engine import device
from gelu_tui.engine.jobs import score as job
from gelu_tui.sweep import events as e
from gelu_tui.sweep.build import build_document
from gelu_tui.sweep.outcomes import PromptOutcome, StreamOutcome
from gelu_tui.sweep.plan import make_plan
from gelu_tui.sweep.progress import SweepProgress
from gelu_tui.sweep.report.formats import SWEEP_FORMATS
from gelu_tui.sweep.report.rows import SweepData
from gelu_tui.sweep.teacher_forced import TeacherForced
from tests.support import in_process, tiny_models
from tests.support.commands import comparing
from tests.support.comparisons import LOADED, five
from tests.support.subclasses import with_function
from tests.support.sweep_outcomes import prompt_outcomes
from tests.sweep.test_build import CAP, Stored, head


def forced(loaded: Any, made: ComparisonDocument, *names: YardstickName) -> TeacherForced:
    reading = TeacherForced(made, names, full_kl=False)
    job.score(loaded, reading.command, reading.apply, lambda: False)
    return reading


@pytest.mark.parametrize("family", ["gemma", "gemma3_text", "gemma4_text-experts"])
def test_it_parts_where_the_quantized_model_decodes_another_token(
    family: str, tmp_path: Path
) -> None:
    device.prepare()
    loaded = in_process.load(tiny_models.write(tmp_path, family))
    native = loaded.info.native_activation
    prompts = [f"Why is the sky {word}" for word in ("blue", "the", "空", "青い")]
    command = [comparing(q, (native,), max_tokens=20, control=False) for q in prompts]
    made = [document(in_process.compare(loaded, each), LOADED) for each in command]
    found = [forced(loaded, each, "q4", "again").result().yardsticks for each in made]
    quantize_model(loaded.model, {}, None, 4)
    parted = 0
    for each, (q4, again) in zip(made, found, strict=True):
        assert isinstance(q4, StreamOutcome) and isinstance(again, StreamOutcome)
        tokens = each.reference_variant.tokens
        decoded = greedy(loaded.model, native, each.prompt_tokens, len(tokens))
        fork = next((i for i, token in enumerate(decoded) if token != tokens[i]), None)
        assert q4.first_divergent_token == fork
        assert q4.compared == (len(tokens) if fork is None else fork)
        assert q4.kl_steps == (len(tokens) if fork is None else fork + 1)
        assert q4.full_kl_steps == len(tokens) and q4.full_kl >= q4.kl > 0
        assert again.first_divergent_token is None and again.outcome == "same"
        parted += fork is not None
    assert parted > 1, "or nothing is shown"


def greedy(model: Any, native: str, prompt: tuple[int, ...], count: int) -> list[int]:
    """mlx-lm's own model, one token after the other."""
    tokens, cache = list(prompt), make_prompt_cache(model)
    fed = tokens
    with with_function(model, native):
        for _ in range(count):
            logits = model(mx.array([fed]), cache=cache)[0, -1]
            fed = [int(mx.argmax(logits).item())]
            tokens += fed
    return tokens[len(prompt) :]


# --- results --------------------------------------------------------------------------------------


def with_yardsticks(
    outcomes: list[PromptOutcome], *found: list[StreamOutcome | str]
) -> list[PromptOutcome]:
    return [
        replace(outcome, yardsticks=tuple(each))
        for outcome, each in zip(outcomes, zip(*found, strict=True), strict=True)
    ]


def outcome(fdt: int | None, kl: float) -> StreamOutcome:
    return StreamOutcome(
        tokens=CAP, finish_reason="length", outcome="same" if fdt is None else "unverified",
        first_divergent_token=fdt, compared=CAP if fdt is None else fdt, identical=False,
        kl=kl, kl_steps=1, full_kl=kl, full_kl_steps=1,
    )  # fmt: skip


@settings(max_examples=15)
@given(st.lists(st.none() | st.integers(0, CAP - 1), min_size=5, max_size=5))
def test_a_yardstick_is_one_more_row_of_results(fdts: list[int | None]) -> None:
    outcomes = prompt_outcomes(5, max_tokens=CAP)
    q4: list[StreamOutcome | str] = [outcome(fdt, 0.25) for fdt in fdts]
    rows = with_yardsticks(outcomes, q4, ["embed-scale would change nothing."] * 5)
    plain = head(prompts=5)
    chosen = replace(plain.settings, yardsticks=("q4", "embed-scale"))
    whole = replace(plain, settings=chosen)
    made = build_document(whole, Stored([rows]))
    without = build_document(plain, Stored([outcomes]))
    *others, first, second = made.results
    assert tuple(others) == without.results and made.differences == without.differences
    assert made.tokens == without.tokens, "nothing was decoded"
    assert (first.variant, first.yardstick, first.prompts) == ("q4", True, 5)
    assert first.diverged == sum(fdt is not None for fdt in fdts)
    assert first.kl is not None and first.kl.mean == 0.25
    assert (first.wwb, first.task, first.worst, first.error) == (None, None, (), "")
    assert (second.variant, second.prompts) == ("embed-scale", 0)
    assert second.error == "embed-scale would change nothing."
    assert any("Yardstick `q4` (4-bit weights)" in line for line in made.summary)
    assert any("embed-scale would change nothing." in line for line in made.summary)
    assert any("what 4-bit weights do" in line for line in made.summary)
    for name in ("json", "markdown", "html"):
        text = SWEEP_FORMATS[name].text(SweepData(made))
        assert "q4" in text


def test_settings(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('prompts = ["a", "b"]\nmodels = ["demo"]\nyardsticks = ["q8", "q4"]\n')
    plan = make_plan(str(file), (), {})
    assert plan.settings.yardsticks == ("q8", "q4")
    assert plan.key != make_plan(["a", "b"], (), {"models": ("demo",)}).key
    with pytest.raises(UsageError, match="temperature 0 only"):
        make_plan(str(file), (), {"temperature": 0.5})
    assert set(YARDSTICKS) >= set(plan.settings.yardsticks)


@pytest.mark.parametrize(
    ("more", "done"), [({}, 1.0), ({"yardsticks": ("q8",)}, 0.5), ({"full_kl": True}, 0.5)]
)
def test_a_stream_that_is_read_again_is_done_by_half(more: dict[str, Any], done: float) -> None:
    plan, now = make_plan(["a", "b"], (), {"models": ("demo",), **more}), [0.0]
    progress = SweepProgress(plan, clock=lambda: now[0])
    comparison = five()
    comparison.settings = replace(comparison.settings, max_tokens=40)
    progress.apply(e.PromptStarted(0, plan.prompts.get(0), comparison))  # type: ignore[arg-type]
    now[0] = 60.0
    assert progress.prompts_per_minute == done


def test_old_outcomes_have_none() -> None:
    encoded = msgspec.json.encode(prompt_outcomes(1, max_tokens=CAP)[0])
    values = msgspec.json.decode(encoded)
    assert msgspec.convert(values[:5], PromptOutcome).yardsticks == ()
    told = p.ScoreStarted((), 0, 1, 1, 1, 2)
    assert told.yardsticks == ()
