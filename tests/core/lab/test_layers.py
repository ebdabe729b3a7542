"""The figures and words of a measurement of layers, from the sums that an engine tells."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Console

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, UsageError
from gelu_tui.core.lab.layers import (
    LayersDocument,
    LayersState,
    chosen_variants,
    with_reference,
)
from gelu_tui.core.reports.export import LAYERS_FORMATS
from gelu_tui.core.reports.layers import LAYERS_COLUMNS, layers_footing, layers_report, summary
from gelu_tui.core.reports.share_bar import bar
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.scoring.statistics import Clusters
from gelu_tui.core.settings.run_settings import RunSettings
from tests.support.command import UNSAFE
from tests.support.comparisons import LOADED

HOSTILE = "re\x1b[31mlu\u202e|*"
PLACES = (p.Place(0, "feed-forward"), p.Place(1, "feed-forward"), p.Place(1, "experts"))

_sizes = st.floats(0, 10, allow_subnormal=False)


def started(names: tuple[str, ...] = ("relu",), places: tuple[p.Place, ...] = PLACES) -> Any:
    infos = (p.VariantInfo(name, f"formula of {name}", "float32") for name in ("gelu", *names))
    return p.LayersStarted(
        variants=tuple(infos), reference=0, places=places,
        tokens=90, windows=3, positions=90, context=31,
    )  # fmt: skip


def chunk(variant: int, cluster: int, positions: int, figures: list[float]) -> p.LayersChunk:
    """`figures` has a kl for all, and two for each place."""
    everywhere, *rows = (p.Moved(kl, -2 * kl) for kl in figures)
    pairs = tuple(map(p.SwappedRow, rows[::2], rows[1::2]))
    return p.LayersChunk(
        variant, cluster, 0, positions, cluster, p.Moved(0.0, 0.0), everywhere, pairs
    )


def document(state: LayersState, status: p.Status = "completed", **more: Any) -> LayersDocument:
    return state.document(LOADED, ScoreSource("text", HOSTILE), status=status, **more)


def measured(*names: str, kls: tuple[float, ...] = (3.0, 2.0, 9.0, 0.5, 9.0, 0.1, 9.0)) -> Any:
    state = LayersState(started(names))
    for variant in range(1, len(names) + 1):
        for cluster in range(3):
            state.apply(chunk(variant, cluster, 30, [kl * (cluster + 1) for kl in kls]))
    return state


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9), _sizes), min_size=1, max_size=12))
@settings(max_examples=60)
def test_means_and_errors_are_those_of_positions(parts: list[tuple[int, int, float]]) -> None:
    """Equal values within a chunk: then its sum tells all positions."""
    state = LayersState(started(places=PLACES[:1]))
    values, clusters = [], []
    for cluster, count, value in parts:
        state.apply(chunk(1, cluster, count, [value * count, value * count, 0.0]))
        values += [value] * count
        clusters += [cluster] * count
    found = document(state)
    swap = found.layers[0].noising
    assert swap.kl == pytest.approx(np.mean(values), abs=1e-12)
    assert swap.logit_difference == pytest.approx(-2 * np.mean(values), abs=1e-12)
    expected = Clusters(np.array(clusters)).error(np.array(values))
    near = None if expected is None else pytest.approx(expected, abs=1e-9)
    assert swap.kl_se == near
    assert (found.positions, found.clusters) == (len(values), len(set(clusters)))
    if found.all and found.all.kl:
        assert found.additivity == pytest.approx(1.0)
        assert found.adds_up == "adds up"


def test_the_document() -> None:
    found = document(measured("relu", HOSTILE))
    data = json.loads(LAYERS_FORMATS["json"].text(found))
    assert data["schema"] == "gelu-tui.layers/1"
    assert (data["reference"], data["variant"], data["positions"]) == ("gelu", "relu", 90)
    first = data["layers"][0]
    assert (first["layer"], first["site"]) == (0, "feed-forward")
    assert first["noising"]["kl"] == pytest.approx(2.0 * 6 / 90)
    assert first["denoising"]["logit_difference"] == pytest.approx(-18 * 6 / 90)
    assert first["first_divergent_token"] is None
    assert data["additivity"] == pytest.approx(2.6 / 3)
    assert data["no_swap_kl"] == 0.0
    assert [other["variant"] for other in data["others"]] == [HOSTILE]
    again = msgspec.convert(data, LayersDocument)
    assert [v.layers for v in again.variants] == [v.layers for v in found.variants]


def test_the_sentence() -> None:
    (relu,) = document(measured("relu")).variants
    said = "Layer 0 mlp makes 77 % of what relu does; one at a time the layers sum to "
    assert summary(relu, "gelu") == f"{said}0.87 of all together."
    flat = document(measured("relu", kls=(3.0, *(1.0, 9.0) * 3))).variants[0]
    assert summary(flat, "gelu").startswith("Layers 0 mlp and 1 mlp make 67 %")
    nothing = document(measured("relu", kls=(0.0,) * 7)).variants[0]
    assert summary(nothing, "gelu") == (
        "relu changes nothing: no swap has a KL above 0 against gelu."
    )
    assert nothing.additivity is None
    empty = document(LayersState(started())).variants[0]
    assert summary(empty, "gelu") == "Of relu there are no figures yet."


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("status", ["completed", "cancelled", "failed"])
def test_reports_fit_and_are_safe(width: int, status: p.Status) -> None:
    state = measured("relu", HOSTILE)
    state.apply(p.LayersFailed(2, ErrorInfo("x", f"It {HOSTILE} fails.", "Try.")))
    state.apply(p.FreeRan(1, 3, (None, 4, 12), 32))
    found = document(state, status)
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(layers_report(found))
    text = capture.get()
    assert all(cell_len(line) <= width for line in text.splitlines())
    assert not UNSAFE.search(text)
    assert ("Interrupted" in text) == (status == "cancelled")
    for name in ("markdown", "html", "csv"):
        assert not UNSAFE.search(LAYERS_FORMATS[name].text(found))


def test_it_goes_on_only_where_it_was_kept() -> None:
    for kept, sentence in (("file", "goes on from there"), ("", "begins anew: no file can")):
        state = LayersState(replace(started(), kept=kept))
        assert sentence in layers_footing(document(state, "cancelled"))[-1]


def test_the_table_fits_into_80_columns() -> None:
    """With standard errors and first divergent tokens too."""
    state = measured("relu")
    state.apply(p.FreeRan(1, 3, (None, 4, 12), 32))
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(layers_report(document(state)))
    lines = capture.get().splitlines()
    header = next(line for line in lines if line.startswith("only in"))
    assert header.split() == ["only", "in", "KL", "±", "%", "Δlogit", "rest", "KL", "rest",
                              "Δlogit", "fork"]  # fmt: skip


def test_csv() -> None:
    text = LAYERS_FORMATS["csv"].text(document(measured("relu", "silu")))
    header, *rows = csv.reader(io.StringIO(text))
    assert tuple(header) == LAYERS_COLUMNS
    assert [(row[0], row[2], row[3]) for row in rows[:4]] == [
        ("relu", "0", "feed-forward"), ("relu", "1", "feed-forward"), ("relu", "1", "experts"),
        ("relu", "all", ""),
    ]  # fmt: skip
    assert len(rows) == 8 and float(rows[3][4]) == pytest.approx(0.2)


@given(st.floats(-1, 2), st.integers(1, 40))
def test_bars(share: float, cells: int) -> None:
    drawn = bar(share, cells)
    assert cell_len(drawn) <= cells
    assert bool(drawn) == (share > 0)
    assert (drawn == "█" * cells) == (round(min(max(share, 0), 1) * cells * 8) == cells * 8)


@pytest.mark.parametrize(
    "events",
    [
        (p.LayersChunk(1, 0, 0, 1, 0, p.Moved(0, 0), p.Moved(0, 0), ()),),
        (p.LayersFailed(2, ErrorInfo("x", "x", "x")),),
        (p.LayersFailed(0, ErrorInfo("x", "x", "x")),),
        (p.FreeRan(1, None, (None,), 3),),
    ],
)
def test_events_that_contradict_the_beginning(events: tuple[p.Event, ...]) -> None:
    state = LayersState(started())
    with pytest.raises(p.ProtocolError):
        for event in events:
            state.apply(event)


@pytest.mark.parametrize(
    ("chosen", "reference", "expected"),
    [
        (("relu",), None, ("gelu_approx", ["relu"])),
        (("relu", "gelu_tanh"), None, ("gelu_approx", ["relu"])),
        (("relu", "silu"), "gelu", ("gelu", ["relu", "silu"])),
        (("relu", "gelu_tanh"), "relu", ("relu", ["gelu_approx"])),
        (("silu@0-1",), "gelu", ("gelu", ["silu@0-1"])),
        (("x*x",), "mine=x", ("mine", ["f1"])),
    ],
)
def test_what_is_compared_with_what(
    chosen: tuple[str, ...], reference: str | None, expected: tuple[str, list[str]]
) -> None:
    asked = RunSettings(activations=chosen, reference=reference)
    for each in (asked, with_reference(asked)):
        found, others = chosen_variants(each, "gelu_approx")
        assert (found.name, [variant.name for variant in others]) == expected


def test_functions_with_limits_need_a_name_for_the_rest() -> None:
    limited = RunSettings(activations=("silu@0-1",))
    assert chosen_variants(limited, "gelu_approx")[0].name == "gelu_approx"
    with pytest.raises(UsageError) as caught:  # the model's own is not known before it is loaded
        with_reference(limited)
    assert "name it as the reference" in caught.value.info.hint


@pytest.mark.parametrize(
    ("chosen", "reference"), [(("gelu",), "gelu"), (("relu", "silu@1"), "silu@1")]
)
def test_what_cannot_be_compared(chosen: tuple[str, ...], reference: str) -> None:
    with pytest.raises(UsageError):
        chosen_variants(RunSettings(activations=chosen, reference=reference), "gelu_approx")
