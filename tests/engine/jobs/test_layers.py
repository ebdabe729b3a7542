"""Swaps of single layers on tiny models, held against plain forward passes and numpy."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import make_prompt_cache

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.core.lab.kept_layers import kept_folder
from gelu_tui.core.lab.layers import LayersDocument, LayersState
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.engine import device
from gelu_tui.engine.compute.activation_sites import rowwise
from gelu_tui.engine.compute.functions import function_of
from gelu_tui.engine.compute.row_functions import RowFunction
from gelu_tui.engine.jobs import layers as job
from gelu_tui.engine.jobs.layers import Except, layers
from gelu_tui.engine.jobs.score import score
from gelu_tui.engine.jobs.windows import windows_of
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, odd_models, tiny_models
from tests.support.commands import comparing, scoring
from tests.support.comparisons import LOADED

TEXT = "Why is the sky blue? 空が青い is the blue, the sky the Why."
CONTEXT = 30  # several windows, longer than the sliding window
SHORT = "Why is the sky blue? 空が青い"  # one window, longer than the sliding window


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    device.prepare()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return in_process.load(tiny_models.write(tmp_path_factory.mktemp("m"), "gemma3_text"))


@pytest.fixture(scope="module")
def whole(loaded: LoadedModel) -> LayersDocument:
    """A measurement of two variants, from beginning to end."""
    return run(loaded, measuring("relu", "silu"))[0]


def measuring(*activations: str, text: str = TEXT, **more: Any) -> p.Layers:
    own = {name: more.pop(name) for name in ("free_running", "restart", "context") if name in more}
    own.setdefault("context", CONTEXT)
    chosen = RunSettings(activations=activations, **more)
    return p.Layers(chosen, text, **own)


def run(
    loaded: LoadedModel, command: p.Layers, cancelled: Callable[[], bool] = lambda: False
) -> tuple[LayersDocument, list[p.Event]]:
    """Measure to the end; the events have been through the wire format."""
    events: list[p.Event] = []
    layers(loaded, command, lambda e: events.append(p.decode_event(p.encode(e))), cancelled)
    assert isinstance(events[0], p.LayersStarted)
    finished = events[-1]
    assert isinstance(finished, p.LayersFinished)
    state = LayersState(events[0])
    for event in events:
        state.apply(event)
    source = ScoreSource("text", "x")
    document = state.document(LOADED, source, status=finished.status, error=finished.error)
    return document, events


class Plain:
    """What whole forward passes of mlx-lm's model give, by numpy in float64."""

    def __init__(self, loaded: LoadedModel, text: str) -> None:
        self._model = loaded.model
        bos = loaded.tokenizer.encode("")
        self._windows = windows_of(loaded.tokenizer.encode(text), bos, CONTEXT)

    def logits(self, function: RowFunction) -> np.ndarray:
        found = []
        with rowwise(self._model) as sites, sites.use(function):
            for window in self._windows:
                cache = make_prompt_cache(self._model)
                logits = self._model(mx.array([window[:-1]]), cache=cache)[0]
                found.append(np.array(logits.astype(mx.float32)))
        return np.concatenate(found).astype(np.float64)

    def moved(self, reference: np.ndarray, variant: np.ndarray) -> tuple[float, float]:
        """Mean KL, and mean change of the true token's logit less the mean of all."""
        targets = [token for window in self._windows for token in window[1:]]
        r, v = (x - np.log(np.exp(x).sum(axis=-1, keepdims=True)) for x in (reference, variant))
        rows = np.arange(len(targets))
        leads = [x[rows, targets] - x.mean(axis=-1) for x in (reference, variant)]
        kl = (np.exp(r) * (r - v)).sum(axis=-1).mean()
        return float(kl), float((leads[1] - leads[0]).mean())


def near(found: Any, expected: tuple[float, float]) -> bool:
    wanted = pytest.approx(expected[0], rel=1e-3, abs=1e-9), pytest.approx(expected[1], abs=2e-6)
    return bool(found.kl == wanted[0] and found.logit_difference == wanted[1])


@pytest.mark.parametrize("family", list(tiny_models.CONFIGS))
def test_every_figure_equals_whole_passes(family: str, tmp_path: Path) -> None:
    """Of several windows in one family: what families have of their own are the passes."""
    loaded = in_process.load(tiny_models.write(tmp_path, family))
    native = loaded.info.native_activation
    text = TEXT if family == "gemma3_text" else SHORT
    document, _ = run(loaded, measuring("relu", text=text))
    plain = Plain(loaded, text)
    r, v = (function_of(parse_variant(name), "float32") for name in (native, "relu"))
    reference = plain.logits(r)
    assert (document.reference, document.variant) == (native, "relu")
    assert document.positions == document.all_positions == len(reference)
    places = loaded.places
    assert [(layer.layer, layer.site) for layer in document.layers] == [*places]
    assert len(places) == sum(loaded.info.sites.values())
    for place, found in zip(places, document.layers, strict=True):
        for swap, function in (
            (found.noising, Except(place, v, r)),
            (found.denoising, Except(place, r, v)),
        ):
            assert near(swap, plain.moved(reference, plain.logits(function))), (place, swap)
            assert swap.kl > 1e-9, "the function must matter, or equality proves nothing"
    assert document.all is not None
    assert near(document.all, plain.moved(reference, plain.logits(v)))
    assert (document.no_swap_kl, document.no_swap_logit_difference) == (0.0, 0.0)
    total = sum(layer.noising.kl for layer in document.layers)
    assert document.additivity == pytest.approx(total / document.all.kl)


@pytest.mark.parametrize(
    ("size", "command"),
    [(1, measuring("relu", text=SHORT)), (7, measuring("relu", "silu"))],
)
def test_windows_of_several_passes(
    size: int, command: p.Layers, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long window is fed in parts, with each row's own keys between them."""
    whole, _ = run(loaded, command)
    monkeypatch.setattr(job, "_PASS", size)
    parts, _ = run(loaded, command)
    assert parts.no_swap_kl == 0.0
    for left, right in zip(whole.variants, parts.variants, strict=True):
        for a, b in zip(left.layers, right.layers, strict=True):
            assert b.noising.kl == pytest.approx(a.noising.kl, rel=1e-3, abs=1e-9)
            assert b.denoising.kl == pytest.approx(a.denoising.kl, rel=1e-3, abs=1e-9)


def test_all_layers_together_are_the_full_swap_of_a_scoring(loaded: LoadedModel) -> None:
    document, _ = run(loaded, measuring("relu", "gelu_fast_approx"))
    events: list[p.Event] = []
    names = (loaded.info.native_activation, "relu", "gelu_fast_approx")
    command = scoring(names, text=TEXT, context=CONTEXT, control=False)
    score(loaded, command, events.append, lambda: False)
    for row, variant in enumerate(document.variants, 1):
        chunks = [event for event in events if isinstance(event, p.ScoreChunk)]
        kls = [kl for c in chunks for each in c.rows if each.variant == row for kl in each.kl]
        assert variant.all is not None
        assert variant.all.kl == pytest.approx(np.mean(kls), rel=1e-4)


@pytest.mark.parametrize(("dtype", "bits"), [("bfloat16", None), ("float32", 4)])
def test_other_weights(dtype: str, bits: int | None, tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "gemma2", bits=bits, dtype=getattr(mx, dtype))
    loaded = in_process.load(folder, dtype)
    document, _ = run(loaded, measuring("relu", activation_precision="model"))
    assert document.no_swap_kl == 0.0
    assert document.all is not None and document.all.kl > 1e-9
    events: list[p.Event] = []
    names = (loaded.info.native_activation, "relu")
    command = scoring(
        names, text=TEXT, context=CONTEXT, control=False, activation_precision="model"
    )
    score(loaded, command, events.append, lambda: False)
    chunks = [event for event in events if isinstance(event, p.ScoreChunk)]
    kls = [kl for each in chunks for row in each.rows for kl in row.kl]
    near = pytest.approx(np.mean(kls), rel=1e-4 if dtype == "float32" else 0.05)
    assert document.all.kl == near


def test_a_variant_that_is_limited_to_layers(loaded: LoadedModel) -> None:
    """Elsewhere its swap is none: all of them together are the one layer."""
    document, _ = run(loaded, measuring("relu@1", reference="gelu"))
    assert (document.variant, document.reference) == ("relu@1", "gelu")
    assert [layer.noising.kl > 0 for layer in document.layers] == [False, True, False, False]
    assert document.all == document.layers[1].noising
    assert document.layers[1].denoising.kl == 0.0
    assert document.additivity == pytest.approx(1.0)


def test_memory_does_not_grow_with_the_text(loaded: LoadedModel) -> None:
    peaks = []
    for times in (2, 8):  # some windows, and many
        gc.collect()
        before = mx.get_active_memory()
        _, events = run(loaded, measuring("relu", text=TEXT * times))
        finished = events[-1]
        assert isinstance(finished, p.LayersFinished)
        peaks.append(finished.peak_memory_bytes - before)
    assert peaks[1] <= 1.1 * peaks[0]


@pytest.mark.parametrize("layer", [0, 2, 3])
def test_a_function_that_matters_in_one_layer_is_found(layer: int, tmp_path: Path) -> None:
    """What all other layers' blocks add is next to nothing."""
    loaded = in_process.load(tiny_models.write(tmp_path, "gemma3_text"))
    for number, block in enumerate(loaded.model.layers):
        norm = block.post_feedforward_layernorm  # computes 1 + weight
        norm.weight = mx.full(norm.weight.shape, 0.0 if number == layer else -0.99)
    document, _ = run(loaded, measuring("relu"))
    kls = [each.noising.kl for each in document.layers]
    others = [each.denoising.kl for each in document.layers]
    assert int(np.argmax(kls)) == layer == int(np.argmin(others))
    assert kls[layer] > 10 * sorted(kls)[-2]


def test_the_model_is_as_it_was(loaded: LoadedModel) -> None:
    kinds = [type(module) for _, module in loaded.model.named_modules()]
    run(loaded, measuring("relu"))
    assert [type(module) for _, module in loaded.model.named_modules()] == kinds


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_it_goes_on_where_it_was_interrupted(
    chunks: int,
    loaded: LoadedModel,
    whole: LayersDocument,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    events: list[p.Event] = []

    def emit(event: p.Event) -> None:
        events.append(event)

    def measured() -> int:
        return sum(isinstance(event, p.LayersChunk) for event in events)

    layers(loaded, measuring("relu", "silu"), emit, lambda: measured() >= chunks)
    finished = events[-1]
    assert isinstance(finished, p.LayersFinished) and finished.status == "cancelled"
    assert measured() == chunks
    assert len(list(kept_folder().glob("*"))) == min(1, chunks)
    other, more = run(loaded, measuring("relu", "gelu"))  # has a file of its own
    assert other.positions == whole.positions
    resumed, more = run(loaded, measuring("relu", "silu"))
    first = [event for event in more if isinstance(event, p.LayersChunk | p.Progress)][:chunks]
    assert all(isinstance(event, p.LayersChunk) for event in first), "what was kept comes at once"
    for a, b in zip(whole.variants, resumed.variants, strict=True):
        assert (a.layers, a.all, a.positions) == (b.layers, b.all, b.positions)
    assert not list(kept_folder().glob("*"))


def test_where_nothing_can_be_kept_that_is_told(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gelu-tui").write_text("no folder")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    events: list[p.Event] = []
    layers(loaded, measuring("relu"), events.append, lambda: False)
    began = next(event for event in events if isinstance(event, p.LayersStarted))
    assert began.kept == ""
    assert isinstance(events[-1], p.LayersFinished) and events[-1].status == "completed"


def test_what_is_kept_and_damaged_is_measured_again(
    loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    whole, events = run(loaded, measuring("relu"))
    chunks = [event for event in events if isinstance(event, p.LayersChunk)]
    started = events[0]
    assert isinstance(started, p.LayersStarted)
    file = Path(started.kept)
    for damaged in (b"not JSON\n", p.encode(chunks[0])[:-20], b"\xff" * 40, p.encode(chunks[-1])):
        file.write_bytes(p.encode(chunks[0]) + damaged)
        again, _ = run(loaded, measuring("relu"))
        assert again.layers == whole.layers
    file.write_bytes(p.encode(chunks[0]))
    _, more = run(loaded, measuring("relu", restart=True))
    assert isinstance(more[1], p.Progress), "nothing of what was kept is used"


def test_free_running_diverges_where_a_comparison_does(loaded: LoadedModel) -> None:
    command = measuring("relu", "silu", free_running=True, context=200, max_tokens=12)
    document, _ = run(loaded, command)
    names = (loaded.info.native_activation, "relu", "silu")
    comparison = in_process.compare(
        loaded, comparing(TEXT, names, max_tokens=12, chat=False, replay=False)
    )
    expected = [stream.first_divergent_token for stream in comparison.streams[1:]]
    assert [v.free_running and v.free_running.first_divergent_token for v in document.variants] == (
        expected
    )
    assert any(token is not None for token in expected)
    layer = document.layers[0]
    assert layer.first_divergent_token is None or layer.first_divergent_token < 12


def test_a_function_that_overflows_is_left_out(tmp_path: Path) -> None:
    loaded = in_process.load(odd_models.loud(tmp_path))
    document, _ = run(loaded, measuring(odd_models.OVERFLOWS, "relu", reference="gelu"))
    over, relu = document.variants
    assert over.error is not None and over.error.kind == "not_finite"
    assert relu.error is None and relu.positions == document.all_positions


@pytest.mark.parametrize(
    ("activations", "more", "kind"),
    [
        (("gelu_approx",), {}, "no_variant"),
        (("gelu",), {"reference": "gelu"}, "no_variant"),
        (("relu",), {"context": 100_000}, "context"),
    ],
)
def test_refusals(
    activations: Sequence[str], more: dict[str, Any], kind: str, loaded: LoadedModel
) -> None:
    with pytest.raises(GeluError) as refused:
        run(loaded, measuring(*activations, **more))
    assert refused.value.info.kind == kind
