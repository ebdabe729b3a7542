"""The document of a model's inputs from an engine's events, and its sentence."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.lab.inputs import ReadInputs, summary
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.run_settings import RunSettings
from tests.support.comparisons import LOADED
from tests.support.inputs_engine import inputs_events

COMMAND = p.GateInputs(RunSettings(activations=("gelu", "gelu_approx", "relu")), "x")
STARTED, *MIDDLE, FINISHED = list(inputs_events(COMMAND))
FOUND = [event for event in MIDDLE if isinstance(event, p.InputsFound)]
assert isinstance(STARTED, p.InputsStarted)


def read(*events: p.Event) -> ReadInputs:
    assert isinstance(STARTED, p.InputsStarted)
    found = ReadInputs(STARTED)
    for event in events:
        found.apply(event)
    return found


def test_the_last_result_counts_and_kl_is_put_into_its_bins() -> None:
    (bin_,) = [p.ErrorBin(low=0.0, high=1.0, share_of_inputs=1.0, share_of_error=1.0,
                          share_of_geglu_error=None, share_of_difference=1.0)]  # fmt: skip
    whole = replace(
        FOUND[1], functions=tuple(replace(f, bins=(bin_, bin_)) for f in FOUND[1].functions)
    )
    kl = [p.InputsKl(2, 20, 0.9, (0.1, 0.2)), p.InputsKl(2, 40, 0.5, (0.25, 0.125))]
    document = read(FOUND[0], whole, *kl, p.InputsKl(1, 40, 0.5, (0.25,)), FINISHED).document(
        LOADED, ScoreSource("text", "x"), causal=True, status="completed"
    )
    gelu, tanh, relu = document.functions
    assert (relu.kl, relu.kl_positions, [b.kl for b in relu.bins]) == (0.5, 40, [0.25, 0.125])
    assert gelu.kl is None and [b.kl for b in gelu.bins] == [None, None]
    assert tanh.kl is None, "what does not fit its bins is left out"
    assert document.positions == 40 and document.all == FOUND[1].all
    assert document.reference == "gelu_approx" and tanh.native


def test_a_function_that_failed_has_its_error_and_no_figures() -> None:
    error = ErrorInfo("not_finite", "no number", "change it")
    without = replace(FOUND[1], functions=FOUND[1].functions[:2])
    functions = read(FOUND[0], p.InputsFailed(2, error), without).functions
    assert functions[2].error == error and functions[2].weighted_rmse is None
    assert functions[1].error is None and functions[1].weighted_rmse is not None


def test_without_a_result_there_is_a_document_of_nothing() -> None:
    error = ErrorInfo("memory", "no", "")
    document = read().document(LOADED, ScoreSource("text", "x"), status="failed", error=error)
    assert (document.positions, document.all, document.layers) == (0, None, ())
    assert document.summary == "" and all(f.max_abs_error is None for f in document.functions)


def changed(**parts: Any) -> p.InputsFound:
    return replace(FOUND[0], all=replace(FOUND[0].all, **parts))


@pytest.mark.parametrize(
    "wrong",
    [
        changed(quantiles={"0.5": 0.0}),
        changed(count=0),
        changed(histogram=p.Histogram((), ())),
        changed(histogram=p.Histogram((0.0, 1.0), (1, 2))),
        changed(histogram=p.Histogram((1.0, 0.0), (1,))),
        replace(FOUND[0], functions=(replace(FOUND[0].functions[0], variant=9),)),
    ],
)
def test_what_contradicts_itself_is_a_protocol_error(wrong: p.InputsFound) -> None:
    with pytest.raises(p.ProtocolError):
        read(wrong)


def test_a_reference_that_is_none_of_the_functions() -> None:
    with pytest.raises(p.ProtocolError):
        ReadInputs(replace(STARTED, reference=3))


def test_the_sentence_names_the_largest_errors_first() -> None:
    functions = read(FOUND[1]).functions
    said = summary(FOUND[1].all, functions)
    assert said.startswith("99 % of this model's gate inputs lie in [−")
    assert said.index("relu is off by up to 0.17") < said.index("gelu_approx by 0.0004")
    assert summary(FOUND[1].all, functions[:1]).endswith("from exact GELU by rounding alone.")
    assert summary(FOUND[1].all, ()).endswith("].")
