"""Every value of a saved run replaced by what does not belong there: it is read, or refused."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.fork_sentences import explain_pair
from gelu_tui.core.comparison.noise import is_suspicious, noise_floor
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.reports.markdown import markdown_report
from gelu_tui.core.reports.terminal import comparison_report
from gelu_tui.core.runs.document import ComparisonDocument, document, to_json
from gelu_tui.core.runs.merge import merged
from gelu_tui.core.runs.restore import read_document, restore
from gelu_tui.tui.history.preview import preview
from tests.support.comparisons import LOADED, begun, feed, finish, fork
from tests.support.made_up import fork_between, fork_replayed, token_id

Path = tuple[str | int, ...]

HOSTILE: tuple[Any, ...] = (
    1e200, -1e200, 1e308, -1, -0.5, 5e-324, 2**31, 2**63, 2**70, 10**400, 0, True,
    "", "x", "\x1b[31m", "x" * 300_000, None, [], [1], [[]], {}, {"x": 1}, "NaN", "1e999",
)  # fmt: skip


def saved_run() -> ComparisonDocument:
    """A run that has everything a document can hold."""
    comparison = begun("gelu_approx", "gelu", "silu", "mine", control="gelu",
                       formulas={"mine": "x*tanh(x)"}, temperature=0.5, seed=3)  # fmt: skip
    for stream in range(4):
        comparison.apply(p.Prefilled(stream, 0.1, 20.0))
    sky = ["The", " sky", " is", " so", " blue"]
    feed(comparison, sky, sky, ["The", " sky", " was", " so", " red"], sky)
    fork(comparison, 2, [(" is", 0.4), (" was", 0.3)], [(" was", 0.4), (" is", 0.3)])
    found = comparison.streams[2].fork
    assert found is not None
    margins = {"reference": 0.2, "variant": 0.1}
    comparison.apply(fork_replayed(p.ForkFound(2, found), "formula", margins))
    again = fork_between(2, 4, *((token_id(text), text) for text in (" blue", " grey"))).fork
    tokens = token_id(" so"), token_id(" grey")
    tried = p.Counterfactual((2,), tokens, " so grey", "length", True, 4, again)
    comparison.apply(p.WhatIfAnswered(2, tried))
    comparison.check()
    finish(comparison)
    error = ErrorInfo("not_finite", "The logits are not finite.", "Try float32.")
    comparison.apply(p.StreamFinished(3, "failed", "\ufffd", error))
    comparison.apply(p.SelfChecked(p.SelfCheckReport(4, 8, False, 0.001)))
    comparison.apply(p.Finished("failed", p.Timing(1.5, 0.2, 0.1, 3, 120.0), 10**9, error))
    return document(comparison, LOADED)


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """The place of every value inside a JSON document."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else ()
    for key, inner in enumerate(value) if isinstance(value, list) else items:
        yield from paths(inner, (*path, key))


def replaced(whole: Any, path: Path, value: Any) -> bytes:
    """The JSON of a document in which one value is another."""
    changed = deepcopy(whole)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return json.dumps(changed).encode()


def use(run: ComparisonDocument) -> None:
    """Everything that is done with a run that was read."""
    assert read_document(to_json(run).encode()) == run
    assert markdown_report(run)
    Console(file=io.StringIO(), width=80).print(comparison_report(run))
    assert preview(1, run, 80)
    comparison = restore(run)
    noise_floor(comparison)
    for index, stream in enumerate(comparison.streams):
        is_suspicious(comparison, stream)
        for reference in range(len(comparison.streams)):
            explain_pair(comparison, reference, index)
    try:
        merged(run, run, (1, 2))
    except GeluError as error:
        assert error.info.kind == "too_many_variants"


def is_read_or_refused(data: bytes) -> bool:
    """Whether it is read and can be used, or is refused in one sentence."""
    try:
        run = read_document(data)
    except GeluError as error:
        assert error.info.kind == "not_a_document"
        assert "\n" not in error.info.message
        return False
    use(run)
    return True


WHOLE = json.loads(to_json(saved_run()))
PLACES = list(paths(WHOLE))


def test_the_run_itself_is_read() -> None:
    assert is_read_or_refused(json.dumps(WHOLE).encode())


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from(HOSTILE))
def test_any_value_is_read_or_refused(path: Path, value: Any) -> None:
    is_read_or_refused(replaced(WHOLE, path, value))


@pytest.mark.parametrize("value", [1e200, -1e200, -1, "x"])
def test_a_self_check_that_no_machine_has(value: Any) -> None:
    assert not is_read_or_refused(replaced(WHOLE, ("self_check", "max_logit_difference"), value))
