"""The inputs of tiny models, the functions on them, against numpy over the inputs."""

from __future__ import annotations

import tracemalloc
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import make_prompt_cache
from scipy.special import erf, expit

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.core.lab.inputs import InputsDocument, ReadInputs
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.engine import device
from gelu_tui.engine.compute.activation_sites import rowwise
from gelu_tui.engine.compute.functions import function_of
from gelu_tui.engine.compute.recorded_inputs import recording
from gelu_tui.engine.compute.row_functions import Site
from gelu_tui.engine.jobs.gate_inputs import gate_inputs
from gelu_tui.engine.jobs.windows import windows_of
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, odd_models, tiny_models
from tests.support.brute_force_score import log_probabilities
from tests.support.comparisons import LOADED
from tests.support.subclasses import FUNCTIONS

TEXT = "Why is the sky blue? 空が青い is the blue, the sky the Why.\n" * 3
CONTEXT = 40  # several chunks of 16, several windows, and longer than the sliding window
SHORT = TEXT[: len(TEXT) // 3] + "the sky is blue"  # two windows
CHOSEN = ("gelu", "gelu_approx", "gelu_fast_approx", "relu")
Array = np.ndarray

# From their definitions, in float64.
PLAIN: dict[str, Callable[[Array], Array]] = {
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "gelu_approx": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "gelu_fast_approx": lambda x: x * expit(1.702 * x),
    "relu": lambda x: np.maximum(x, 0),
}


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    device.prepare()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return in_process.load(tiny_models.write(tmp_path_factory.mktemp("m"), "gemma3_text"))


def command(activations: tuple[str, ...] = CHOSEN, **parts: Any) -> p.GateInputs:
    own = {k: parts.pop(k) for k in ("text", "tokens", "context", "documents", "causal")
           if k in parts}  # fmt: skip
    own.setdefault("context", CONTEXT)
    if "documents" not in own and "tokens" not in own:
        own.setdefault("text", TEXT)
    return p.GateInputs(RunSettings(activations=activations, **parts), **own)


def events_of(
    loaded: LoadedModel, asked: p.GateInputs, cancelled: Callable[[], bool] = lambda: False
) -> list[p.Event]:
    """All events; they have been through the wire format."""
    events: list[p.Event] = []
    gate_inputs(loaded, asked, lambda e: events.append(p.decode_event(p.encode(e))), cancelled)
    return events


def as_document(events: list[p.Event]) -> InputsDocument:
    assert isinstance(events[0], p.InputsStarted)
    read = ReadInputs(events[0])
    for event in events:
        read.apply(event)
    finished = events[-1]
    assert isinstance(finished, p.InputsFinished)
    source = ScoreSource("text", "x")
    return read.document(LOADED, source, status=finished.status, error=finished.error)


def run(loaded: LoadedModel, asked: p.GateInputs) -> InputsDocument:
    return as_document(events_of(loaded, asked))


def stored(loaded: LoadedModel, windows: list[list[int]]) -> dict[Site, tuple[Array, Array]]:
    """All x and u of every site, flat: each window in one pass, all but its last token."""
    kept: dict[Site, list[tuple[mx.array, mx.array]]] = defaultdict(list)

    def take(site: Site, x: mx.array, u: mx.array) -> None:
        mx.eval(x, u)
        kept[site].append((x, u))

    function = function_of(parse_variant(loaded.info.native_activation), "float32")
    with (
        rowwise(loaded.model) as sites,
        recording(loaded.model, function, take) as recorder,
        sites.use(recorder),
    ):
        for window in windows:
            cache = make_prompt_cache(loaded.model)
            mx.eval(loaded.model(mx.array([window[:-1]]), cache=cache))
    return {site: tuple(map(_joined, zip(*pairs, strict=True))) for site, pairs in kept.items()}


def _joined(arrays: tuple[mx.array, ...]) -> Array:
    parts = [np.array(a.astype(mx.float32)).ravel() for a in arrays]
    return np.concatenate(parts).astype(np.float64)


def windows(loaded: LoadedModel, text: str = TEXT) -> list[list[int]]:
    bos, *tokens = loaded.tokenizer.encode(text)
    return windows_of(tokens, [bos], CONTEXT)


def check_statistics(found: p.InputStatistics, x: Array, *, exact: bool) -> None:
    """`exact`: of a 16-bit model, whose chunks may round otherwise, so that inputs move a step."""
    near = 2e-2 if exact else 1e-5
    assert found.count == x.size
    assert found.mean == pytest.approx(x.mean(), abs=near)
    assert found.std == pytest.approx(x.std(), rel=near)
    assert (found.minimum, found.maximum) == pytest.approx((x.min(), x.max()), rel=near, abs=near)
    for share, value in found.quantiles.items():
        quantile = np.quantile(x, float(share), method="inverted_cdf")
        assert value == pytest.approx(quantile, rel=2**-6, abs=near), share
    edges, counts = found.histogram.edges, np.array(found.histogram.counts)
    assert counts.sum() == x.size
    expected = np.histogram(x, (-np.inf, *edges[1:-1], np.inf))[0]
    moved = np.abs(expected - counts).sum() / x.size
    assert moved < (0.1 if exact else 1e-3)


@pytest.mark.parametrize(
    ("family", "dtype"),
    [*((family, "float32") for family in tiny_models.CONFIGS), ("gemma3_text", "bfloat16"),
     ("gemma2", "float16")],
)  # fmt: skip
def test_every_figure_equals_numpy_over_the_inputs(family: str, dtype: str, tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, family, dtype=getattr(mx, dtype))
    loaded = in_process.load(folder, dtype)
    reference = loaded.info.native_activation
    text = TEXT if family == "gemma3_text" else SHORT
    document = run(loaded, command(reference=reference, text=text))
    assert (document.status, document.error, document.reference) == ("completed", None, reference)
    parts = windows(loaded, text)
    kept = stored(loaded, parts)
    assert document.positions == sum(len(window) - 1 for window in parts)
    assert {(s.layer, s.site) for s in document.layers} == set(kept)
    assert [s.layer for s in document.layers] == sorted(s.layer for s in document.layers)
    exact = dtype != "float32"
    for site in document.layers:
        check_statistics(site, kept[Site(site.layer, site.site)][0], exact=exact)
    x, u = (np.concatenate(parts) for parts in zip(*kept.values(), strict=True))
    assert document.all is not None
    check_statistics(document.all, x, exact=exact)
    near = 1e-2 if exact else 1e-3
    for f in document.functions:
        errors = PLAIN[f.name](x) - PLAIN["gelu"](x)
        assert f.weighted_rmse == pytest.approx(np.sqrt((errors**2).mean()), rel=near, abs=1e-6)
        geglu = np.sqrt(((errors * u) ** 2).mean() / ((PLAIN["gelu"](x) * u) ** 2).mean())
        assert f.geglu_relative_error == pytest.approx(geglu, rel=near, abs=1e-5)
        largest = np.abs(errors).max()
        assert f.max_abs_error == pytest.approx(largest, rel=near, abs=1e-6)
        if f.name != "gelu":
            assert abs(PLAIN[f.name](f.at) - PLAIN["gelu"](f.at)) == pytest.approx(
                f.max_abs_error, rel=1e-2
            )
            assert x.min() - 0.1 <= f.at <= x.max() + 0.1
            check_bins(f, x, u, errors, PLAIN[f.name](x) - PLAIN[reference](x), exact)
        for site in f.layers:
            inside = kept[Site(site.layer, site.site)][0]
            own = PLAIN[f.name](inside) - PLAIN["gelu"](inside)
            assert site.weighted_rmse == pytest.approx(
                np.sqrt((own**2).mean()), rel=2 * near, abs=1e-6
            )
        for name, share in ((dtype, f.differs_in_dtype), ("bfloat16", f.differs_in_bfloat16)):
            rounded = mx.array(x.astype(np.float32)).astype(getattr(mx, name))
            own, gelu = (function_of(parse_variant(n), "model")(rounded) for n in (f.name, "gelu"))
            differs = float(np.array(own != gelu).mean())
            assert share == pytest.approx(differs, abs=5e-3), name


def check_bins(f: Any, x: Array, u: Array, errors: Array, differences: Array, exact: bool) -> None:
    assert 8 <= len(f.bins) <= 12
    assert [b.high for b in f.bins[:-1]] == [b.low for b in f.bins[1:]]
    edges = [-np.inf, *(b.low for b in f.bins[1:]), np.inf]
    place = np.digitize(x, edges) - 1
    wholes = {
        "share_of_inputs": np.ones_like(x),
        "share_of_error": errors**2,
        "share_of_geglu_error": (errors * u) ** 2,
        "share_of_difference": differences**2,
    }
    for name, whole in wholes.items():
        shares = np.bincount(place, whole, minlength=len(f.bins)) / (whole.sum() or 1)
        found = [getattr(b, name) for b in f.bins]
        if f.error is None and whole.sum() > 1e-12:
            assert found == pytest.approx(shares.tolist(), abs=2e-2 if exact else 2e-3), name


def test_a_limited_function_is_measured_where_it_is_used(tmp_path: Path) -> None:
    loaded = in_process.load(tiny_models.write(tmp_path, "gemma3n"))
    document = run(loaded, command(("gelu_approx", "relu@1-2", "relu@gate@0", "relu")))
    kept = stored(loaded, windows(loaded))
    for name, inside in {
        "relu@1-2": [s for s in kept if s.layer in (1, 2)],
        "relu@gate@0": [Site(0, "per-layer gate")],
        "relu": list(kept),
    }.items():
        f = next(f for f in document.functions if f.name == name)
        assert {(each.layer, each.site) for each in f.layers} == set(inside)
        x = np.concatenate([kept[site][0] for site in inside])
        errors = PLAIN["relu"](x) - PLAIN["gelu"](x)
        assert f.weighted_rmse == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-3)


def test_a_limited_function_is_off_where_the_sentence_says_there(loaded: LoadedModel) -> None:
    names = ("gelu_approx", *(f"identity@{layer}" for layer in range(4)))
    document = run(loaded, command(names))
    assert document.all is not None
    low, high = (document.all.quantiles[share] for share in ("0.005", "0.995"))
    kept = stored(loaded, windows(loaded))
    for f in document.functions[1:]:
        x = np.concatenate([kept[Site(each.layer, each.site)][0] for each in f.layers])
        x = x[(low <= x) & (x <= high)]
        assert f.inner_max_abs_error is not None and f.inner_at is not None
        assert f.inner_max_abs_error >= 0.999 * np.abs(x - PLAIN["gelu"](x)).max()
        assert 1.01 * low <= f.inner_at <= 1.01 * high  # within a step of the grid


# --- what is read ---------------------------------------------------------------------------------


def test_documents_and_tokens_are_read_as_a_scoring_reads_them(loaded: LoadedModel) -> None:
    texts = ("Why is the sky blue? " * 5, "空が青い " * 12, "")
    document = run(loaded, command(documents=texts))
    parts = [w for text in texts for w in windows(loaded, text)]
    kept = stored(loaded, parts)
    assert document.positions == sum(len(part) - 1 for part in parts)
    assert document.all is not None
    assert document.all.count == sum(x.size for x, _ in kept.values())
    assert document.all.mean == pytest.approx(
        np.concatenate([x for x, _ in kept.values()]).mean(), rel=1e-4
    )
    tokens = tuple(loaded.tokenizer.encode(TEXT))
    assert run(loaded, command(tokens=tokens)).all == run(loaded, command()).all


def test_the_reference_is_what_computes(loaded: LoadedModel) -> None:
    native, relu = (run(loaded, command(reference=name)) for name in ("gelu_approx", "relu"))
    assert (native.reference, relu.reference) == ("gelu_approx", "relu")
    unnamed = run(loaded, command(("gelu", "relu")))
    assert unnamed.reference == "gelu_approx", "the model's own, which need not be chosen"
    assert [f.name for f in unnamed.functions] == ["gelu", "relu", "gelu_approx"]
    assert unnamed.all == native.all
    first = [{s.layer: s.mean for s in document.layers} for document in (native, relu)]
    assert first[0][0] == first[1][0], "before the first one nothing differs"
    assert first[0][1] != first[1][1]


def test_results_stream_and_the_summary_says_them(loaded: LoadedModel, monkeypatch: Any) -> None:
    monkeypatch.setattr("gelu_tui.engine.jobs.gate_inputs._BETWEEN_RESULTS_S", 0.0)
    events = events_of(loaded, command())
    found = [event for event in events if isinstance(event, p.InputsFound)]
    assert len(found) == sum(-(-(len(w) - 1) // 16) for w in windows(loaded))
    assert [f.positions for f in found] == sorted({f.positions for f in found})
    assert all(f.all.count == f.positions * 4 * 128 for f in found)
    document = as_document(events)
    (worst, *_) = sorted(document.functions, key=lambda f: -(f.inner_max_abs_error or 0))
    assert document.all is not None
    low, high = (document.all.quantiles[share] for share in ("0.005", "0.995"))
    assert document.summary.startswith(
        f"99 % of this model's gate inputs lie in [{low:.3g}, {high:.3g}]; there relu is off by up "
        f"to 0.17, at x = ".replace("-", "−")
    )
    assert worst.name == "relu" and abs(worst.inner_at or 0) == pytest.approx(0.75, abs=0.01)


# --- one bin alone --------------------------------------------------------------------------------


def test_kl_by_bin_is_that_of_where(loaded: LoadedModel) -> None:
    names = ("gelu_approx", "relu", "again=gelu_approx(x)")
    document = run(loaded, command(names, causal=True, text=SHORT))
    native, relu, again = document.functions
    assert native.kl is None and all(b.kl is None for b in native.bins)
    assert again.kl == 0.0 and [b.kl for b in again.bins] == [0.0] * len(again.bins)
    parts = windows(loaded, SHORT)

    def mean_kl(name: str, function: Callable[[mx.array], mx.array]) -> float:
        FUNCTIONS[name] = function
        try:
            total, count = 0.0, 0
            for part in parts:
                r = log_probabilities(loaded.model, "gelu_approx", part)
                v = log_probabilities(loaded.model, name, part)
                total += float((np.exp(r) * (r - v)).sum())
                count += len(r)
            return total / count
        finally:
            del FUNCTIONS[name]

    other, own = FUNCTIONS["gelu_approx"], FUNCTIONS["relu"]
    assert relu.kl == pytest.approx(mean_kl("all", own), rel=1e-2)
    assert relu.kl_positions == document.positions
    for number in (0, 3, 4, 5, len(relu.bins) - 1):
        each = relu.bins[number]
        low = each.low if number else -np.inf
        high = each.high if number < len(relu.bins) - 1 else np.inf

        def swapped(x: mx.array, low: float = low, high: float = high) -> mx.array:
            return mx.where((x >= low) & (x < high), own(x), other(x))

        assert each.kl == pytest.approx(mean_kl("bin", swapped), rel=2e-2, abs=1e-9), each
    assert max(b.kl or 0 for b in relu.bins) > 1e-6, "the function must matter"


def test_a_bin_within_limits(loaded: LoadedModel) -> None:
    names = ("gelu_approx", "relu@1", "relu@0-3", "relu")
    document = run(loaded, command(names, causal=True, text=SHORT))
    found = {f.name: f for f in document.functions}
    assert found["relu@0-3"].kl == found["relu"].kl
    assert [b.kl for b in found["relu@0-3"].bins] == [b.kl for b in found["relu"].bins]
    assert 0 < (found["relu@1"].kl or 0) < (found["relu"].kl or 0)


# --- failures and cancels -------------------------------------------------------------------------


def test_a_function_that_is_no_number_here_fails_alone(tmp_path: Path) -> None:
    loaded = in_process.load(odd_models.loud(tmp_path))
    names = ("gelu", odd_models.OVERFLOWS, "relu")
    document = run(loaded, command(names, reference="gelu"))
    assert (document.status, document.error) == ("completed", None)
    gelu, over, relu = document.functions
    assert over.error is not None and over.error.kind == "not_finite"
    assert "'over' is not a number at x = " in over.error.message
    assert over.weighted_rmse is None and relu.weighted_rmse is not None
    assert gelu.max_abs_error == 0

    document = run(loaded, command(names, reference="over"))
    assert document.status == "failed"
    assert document.error is not None and "'over'" in document.error.message
    assert document.functions[0].error is None, "what was read before is kept"


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    loaded = in_process.load(tiny_models.write(tmp_path, "gemma3_text"))
    layer = loaded.model.layers[2].mlp.gate_proj
    weight = np.array(layer.weight)
    weight[3, 3] = np.nan
    layer.weight = mx.array(weight)
    document = run(loaded, command())
    assert document.status == "failed" and document.all is None and document.summary == ""
    assert document.error is not None
    assert "layers.2.mlp.gate_proj" in document.error.message, document.error


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (command(text="x", context=257), "context"),
        (command(text=""), "too_short"),
        (command(("gelu", "nope")), "unknown_activation"),
        (command(("gelu", "relu@9")), "limits"),
    ],
)
def test_what_cannot_begin(loaded: LoadedModel, asked: p.GateInputs, kind: str) -> None:
    events: list[p.Event] = []
    with pytest.raises(GeluError) as caught:
        gate_inputs(loaded, asked, events.append, lambda: False)
    assert caught.value.info.kind == kind
    assert events == []


def test_a_model_that_is_split_over_processes_is_refused(loaded: LoadedModel) -> None:
    split = replace(loaded, ranks=(p.Rank("here", 0, 2, 1), p.Rank("there", 2, 4, 1)))
    with pytest.raises(GeluError, match="layers that other processes hold") as caught:
        gate_inputs(split, command(), lambda _: None, lambda: False)
    assert caught.value.info.hint == "Load the model in one process."


def test_one_token_and_inputs_that_are_all_equal(tmp_path: Path) -> None:
    loaded = in_process.load(tiny_models.write(tmp_path, "gemma3_text"))
    for layer in loaded.model.layers:
        layer.mlp.gate_proj.weight = mx.zeros_like(layer.mlp.gate_proj.weight)
    document = run(loaded, command(text="the", causal=True))
    assert (document.status, document.positions) == ("completed", 1)
    every = document.all
    assert every is not None and every.count == 4 * 128
    assert (every.minimum, every.maximum, every.mean, every.std) == (0, 0, 0, 0)
    assert set(every.quantiles.values()) == {0} and every.histogram.counts == (512,)
    for f in document.functions:
        assert (f.max_abs_error, f.at, f.weighted_rmse, f.geglu_relative_error) == (0, 0, 0, None)
        assert [b.share_of_inputs for b in f.bins] == [1.0]
        assert f.kl in (None, 0.0)


def test_tokens_of_another_model(loaded: LoadedModel) -> None:
    document = run(loaded, command(tokens=(2, 5, 384)))
    assert document.status == "failed"
    assert document.error is not None and document.error.kind == "tokens"


@pytest.mark.parametrize("polls", [0, 1, 6, 40])
def test_a_cancel_keeps_what_was_found(loaded: LoadedModel, polls: int, monkeypatch: Any) -> None:
    monkeypatch.setattr("gelu_tui.engine.jobs.gate_inputs._BETWEEN_RESULTS_S", 0.0)
    left = chain([False] * polls)
    before = [(module, type(module)) for module in loaded.model.modules()]
    events = events_of(loaded, command(causal=True), lambda: next(left, True))
    document = as_document(events)
    assert document.status == "cancelled"
    chunks = min(polls // 4, 8)  # a poll at each site
    assert sum(isinstance(event, p.InputsFound) for event in events) == chunks
    assert document.positions == [0, 16, 32, 39, 55, 71, 78, 94, 96][chunks]
    assert all(type(module) is kind for module, kind in before)


def test_memory_does_not_grow_with_the_text(loaded: LoadedModel, monkeypatch: Any) -> None:
    # Of values that have inputs for the first time: soon there are none, but not in a short text.
    monkeypatch.setattr("gelu_tui.engine.compute.function_errors._POINTS", 1)

    def peaks(repeat: int) -> tuple[int, int]:
        tracemalloc.start()
        events = events_of(loaded, command(text=TEXT * repeat))
        _, python = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        finished = events[-1]
        assert isinstance(finished, p.InputsFinished)
        return finished.peak_memory_bytes, python

    peaks(1)
    short, long = peaks(2), peaks(12)
    inputs = 2 * 10 * len(loaded.tokenizer.encode(TEXT)) * 4 * 128 * 4  # x and u of what is more
    for before, after in zip(short, long, strict=True):  # in MLX; in numpy, events and tokens
        assert inputs > 0.12 * before
        assert after < 1.1 * before
