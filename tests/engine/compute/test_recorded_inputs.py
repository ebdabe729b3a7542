"""What is recorded at each site, held against what goes into and out of the modules around it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import make_prompt_cache

from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.engine import device
from gelu_tui.engine.compute.activation_sites import rowwise, site_of, sites_of
from gelu_tui.engine.compute.functions import function_of
from gelu_tui.engine.compute.recorded_inputs import recording
from gelu_tui.engine.compute.row_functions import Site
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, tiny_models

TOKENS = [2, *range(5, 60), 7, 8]  # more than 64 pairs of token and expert, so that they are sorted

# Of each site's module: what makes the gate, and what is fed f(x)·u.
AROUND = {
    "feed-forward": ("gate_proj", "down_proj"),
    "per-layer gate": ("per_layer_input_gate", "per_layer_projection"),
    "recurrent block": ("linear_y", "linear_out"),
}


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    device.prepare()


QUANTIZED = "gemma4_text-experts"


@pytest.fixture(params=[*tiny_models.CONFIGS, f"{QUANTIZED}, 4 bit"], scope="module")
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    family, _, bits = request.param.partition(", ")
    folder = tmp_path_factory.mktemp("m")
    return in_process.load(tiny_models.write(folder, family, bits=4 if bits else None))


@contextmanager
def spied(modules: list[Any], seen: dict[int, list[tuple[mx.array, mx.array]]]) -> Iterator[None]:
    """Keep what each of these modules is fed and what it returns, by its identity."""
    kinds = [(module, type(module)) for module in modules]
    for module, kind in kinds:

        def call(self: Any, x: mx.array, *more: Any, _kind: type = kind, **named: Any) -> mx.array:
            result: mx.array = _kind.__call__(self, x, *more, **named)
            seen[id(self)].append((x, result))
            return result

        module.__class__ = type(kind.__name__, (kind,), {"__call__": call})
    try:
        yield
    finally:
        for module, kind in kinds:
            module.__class__ = kind


def around(model: Any) -> dict[Site, tuple[Any, Any, Any]]:
    """Each site's own module, what makes its gate, and what is fed f(x)·u."""
    found = {}
    for path, module in model.named_modules():
        if (site := site_of(path, module)) is None:
            continue
        if site.kind == "experts":
            parent = path.rpartition(".")[0]
            glu = next(m for name, m in model.named_modules() if name == parent)
            found[site] = module, glu.gate_proj, glu.down_proj
        elif getattr(module, "per_layer_input_gate", 0) is not None:
            found[site] = (module, *(getattr(module, name) for name in AROUND[site.kind]))
    return found


def logits(model: Any) -> np.ndarray:
    made = model(mx.array([TOKENS]), cache=make_prompt_cache(model))
    return np.array(made.astype(mx.float32))


@pytest.mark.parametrize("name", ["native", "relu"])
def test_x_is_the_gate_and_u_what_its_result_is_multiplied_with(
    loaded: LoadedModel, name: str
) -> None:
    model = loaded.model
    native = loaded.info.native_activation
    function = function_of(parse_variant(native if name == "native" else name), "model")
    plain = logits(model)
    taken: dict[Site, tuple[mx.array, mx.array]] = {}

    def take(site: Site, x: mx.array, u: mx.array) -> None:
        assert site not in taken, "once in a forward pass"
        mx.eval(x, u)
        taken[site] = x, u

    places = around(model)
    seen: dict[int, list[tuple[mx.array, mx.array]]] = defaultdict(list)
    modules = [module for _, *both in places.values() for module in both]
    with (
        spied(modules, seen),
        rowwise(model) as sites,
        recording(model, function, take) as recorder,
        sites.use(recorder),
    ):
        found = logits(model)
    assert np.array_equal(found, plain) == (name == "native"), "recording changes no bit"
    assert np.array_equal(logits(model), plain), "the model is as before"
    assert taken.keys() == places.keys()
    counts: Counter[str] = Counter()
    for kind, number in sites_of(model).items():
        counts[kind.removeprefix("sparse ")] += number
    assert Counter(site.kind for site in taken) == counts
    for site, (module, gate, after) in places.items():
        x, u = taken[site]
        ((_, expected),) = seen[id(gate)]
        if getattr(module, "activation_sparsity", 0) > 0:
            mean, std = (f(expected, axis=-1, keepdims=True) for f in (mx.mean, mx.std))
            expected = mx.maximum(0, expected - (mean + std * module._std_multiplier))
            assert float(mx.mean(x == 0)) > 0.5, "most are cut off"
        assert mx.array_equal(x, expected), site
        ((product, _),) = seen[id(after)]
        assert mx.array_equal(function(x) * u, product), site
        assert x.shape == u.shape and x.size % len(TOKENS) == 0


def test_a_part_of_the_text_is_recorded_as_the_whole(loaded: LoadedModel) -> None:
    """In chunks, with a cache, the inputs are those of one pass."""
    function = function_of(parse_variant(loaded.info.native_activation), "model")
    whole, parts = defaultdict(list), defaultdict(list)
    for kept, chunk in ((whole, len(TOKENS)), (parts, 16)):

        def take(site: Site, x: mx.array, u: mx.array, kept: Any = kept) -> None:
            kept[site].append(np.sort(np.array(x * 1).ravel()))

        cache = make_prompt_cache(loaded.model)
        with (
            rowwise(loaded.model) as sites,
            recording(loaded.model, function, take) as recorder,
            sites.use(recorder),
        ):
            for start in range(0, len(TOKENS), chunk):
                mx.eval(loaded.model(mx.array([TOKENS[start : start + chunk]]), cache=cache))
    for site, together in whole.items():
        several = np.sort(np.concatenate(parts[site]))
        np.testing.assert_allclose(several, together[0], rtol=1e-3, atol=1e-3)


def test_an_error_in_between_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    loaded = in_process.load(tiny_models.write(tmp_path, "gemma3n"))
    before = [(module, type(module)) for module in loaded.model.modules()]

    def take(site: Site, x: mx.array, u: mx.array) -> None:
        raise RuntimeError

    function = function_of(parse_variant("gelu_approx"), "model")
    with (
        pytest.raises(RuntimeError),
        rowwise(loaded.model) as sites,
        recording(loaded.model, function, take) as recorder,
        sites.use(recorder),
    ):
        logits(loaded.model)
    assert all(type(module) is kind for module, kind in before)
