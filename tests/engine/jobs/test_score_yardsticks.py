"""Yardsticks of a scoring: their figures; each fails alone, and leaves the model as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import quantize_model

from gelu_tui.core import protocol as p
from gelu_tui.core.scoring.document import ScoreDocument
from gelu_tui.core.settings.yardsticks import YARDSTICKS, YardstickName
from gelu_tui.engine import device
from gelu_tui.engine.compute.yardsticks import Yardstick
from gelu_tui.engine.jobs import score as job
from gelu_tui.engine.jobs.windows import windows_of
from gelu_tui.engine.models.loading import LoadedModel
from tests.engine.jobs.test_score import CONTEXT, as_document, run
from tests.support import in_process, tiny_models
from tests.support.brute_force_score import error, log_probabilities
from tests.support.commands import scoring

# Two windows, the first of three chunks.
TEXT = "Why is the sky blue? 空が青い is the blue, the sky the Why.\nthe sky is blue."


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    device.prepare()


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    """A model on which every yardstick changes something."""
    config = tiny_models.CONFIGS["gemma3_text"] | {"hidden_size": 192}
    monkeypatch.setitem(tiny_models.CONFIGS, "gemma3_text", config)
    return in_process.load(tiny_models.write(tmp_path, "gemma3_text"))


def asking(*names: YardstickName, functions: tuple[str, ...] = ("gelu_approx", "silu")) -> p.Score:
    return scoring(functions, text=TEXT, context=CONTEXT, yardsticks=names)


def parts(loaded: LoadedModel) -> list[tuple[str, int]]:
    return [(name, id(array)) for name, array in tree_flatten(loaded.model.parameters())]


def events_of(loaded: LoadedModel, command: p.Score, cancel: Any = None) -> list[p.Event]:
    events: list[p.Event] = []
    job.score(loaded, command, events.append, lambda: bool(cancel and cancel(events)))
    return events


@pytest.mark.parametrize(("name", "bits"), [("q8", 8), ("q4", 4)])
def test_figures_equal_those_of_mlx_lms_quantized_model(
    name: YardstickName, bits: int, loaded: LoadedModel
) -> None:
    (found,) = run(loaded, asking(name)).yardsticks
    bos, *text = loaded.tokenizer.encode(TEXT)
    windows = windows_of(text, [bos], CONTEXT)
    plain = [log_probabilities(loaded.model, "gelu_approx", window) for window in windows]
    quantized, _ = quantize_model(loaded.model, {}, None, bits)
    kls, same = [], []
    for window, r in zip(windows, plain, strict=True):
        v = log_probabilities(quantized, "gelu_approx", window)
        kls += (np.exp(r) * (r - v)).sum(axis=1).tolist()
        same += (100.0 * (r.argmax(axis=1) == v.argmax(axis=1))).tolist()
    assert found.mean_kl == pytest.approx(float(np.mean(kls)), rel=1e-3)
    assert found.se == pytest.approx(error(kls), rel=1e-3)
    assert found.same_top_1 == pytest.approx(float(np.mean(same)))
    assert found.description.startswith(f"weights rounded to {bits} bit in groups of 64")


def test_all_at_once(loaded: LoadedModel) -> None:
    before = parts(loaded)
    document = run(loaded, asking(*YARDSTICKS, *YARDSTICKS))
    assert parts(loaded) == before
    assert [y.name for y in document.yardsticks] == list(YARDSTICKS), "each once"
    found = {y.name: y.mean_kl or 0.0 for y in document.yardsticks}
    assert found["again"] < 1e-9 < found["embed-scale"], "the same but for rounding"
    assert found["q8"] < found["q4"]
    floor = next(v.kl.mean for v in document.variants if v.control and v.kl)
    for yardstick in document.yardsticks:
        assert yardstick.times_floor == pytest.approx((yardstick.mean_kl or 0) / floor)
        assert yardstick.error is None and yardstick.clustered_se is not None
    without = run(loaded, asking())
    assert [v.kl for v in without.variants] == [v.kl for v in document.variants]
    assert without.yardsticks == []


def test_one_after_the_other_gives_the_same(loaded: LoadedModel) -> None:
    native = ("gelu_approx",)
    document = run(loaded, asking(*YARDSTICKS, functions=native))
    together = {y.name: y for y in document.yardsticks}
    for name in YARDSTICKS:
        (alone,) = run(loaded, asking(name, functions=native)).yardsticks
        assert alone == together[name]


def test_a_refused_one_ends_alone(tmp_path: Path) -> None:
    loaded = in_process.load(tiny_models.write(tmp_path, "gemma", bits=4))
    document = run(loaded, asking("q8", "again", "embed-scale", functions=("gelu", "relu")))
    q8, again, scale = document.yardsticks
    assert q8.error is not None and "are 4-bit already" in q8.error.message
    assert scale.error is not None and "√64 is 8" in scale.error.message
    assert q8.mean_kl is None and q8.description == ""
    assert again.mean_kl is not None and again.error is None
    assert document.status == "completed" and document.variants[1].kl is not None


@pytest.mark.parametrize(
    ("error", "at"), [(MemoryError("no room"), 0), (RuntimeError("[metal] it broke"), 3)]
)
def test_one_that_fails_ends_alone(
    error: Exception, at: int, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    working, calls = job.yardstick, 0

    def breaking(name: YardstickName, *where: Any) -> Yardstick:
        made = working(name, *where)
        return made._replace(applied=lambda: fails(made)) if name == "q4" else made

    @contextmanager
    def fails(made: Yardstick) -> Iterator[None]:
        nonlocal calls
        calls += 1
        if calls > at:
            raise error
        with made.applied():
            yield

    monkeypatch.setattr(job, "yardstick", breaking)
    before = parts(loaded)
    document = run(loaded, asking("q8", "q4", "again"))
    assert parts(loaded) == before
    assert document.status == "completed"
    q8, q4, again = document.yardsticks
    assert q4.error is not None and q4.mean_kl is None
    monkeypatch.setattr(job, "yardstick", working)
    assert [q8, again] == run(loaded, asking("q8", "again")).yardsticks


def test_nan_of_a_change_ends_it_alone(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    dequantize = mx.dequantize
    monkeypatch.setattr(mx, "dequantize", lambda *a, **k: dequantize(*a, **k) * float("nan"))
    (q8,) = run(loaded, asking("q8")).yardsticks
    assert q8.error is not None
    assert q8.error.message == (
        "The logits of 'q8' are not numbers after 0 tokens of the text: the change makes nan or "
        "infinity of what this model computes."
    )
    assert q8.error.hint == "Leave q8 out."


def test_a_cancel_between_rows_leaves_the_model_as_it_was(loaded: LoadedModel) -> None:
    before, asked = parts(loaded), 0

    def cancel(events: list[p.Event]) -> bool:
        nonlocal asked
        asked += any(isinstance(event, p.ScoreChunk) for event in events)
        return asked > 4  # after a chunk, among the yardsticks of the next

    document: ScoreDocument = as_document(events_of(loaded, asking("q8", "q4", "bf16"), cancel))
    assert document.status == "cancelled"
    assert parts(loaded) == before
    assert document.positions == 16
    assert all(y.mean_kl for y in document.yardsticks), "what was measured until then"
