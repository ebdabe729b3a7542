"""Giving every row a function of its own at every site, and taking them away again."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections import Counter
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.core.models.families import FAMILIES
from gelu_tui.engine.compute.activation_sites import SITES, rowwise, sites_of
from gelu_tui.engine.compute.functions import Function, function_of
from gelu_tui.engine.compute.row_functions import FunctionBySite, Site
from tests.support import in_process, tiny_models
from tests.support.commands import comparing

# Of quantized models two: the layers around a site are other ones, and in a block of experts too.
KINDS = [
    *((family, None) for family in tiny_models.CONFIGS),
    ("gemma3_text", 4),
    ("gemma4_text-experts", 4),
]


@pytest.fixture(scope="module", params=KINDS, ids=str)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """One model for all tests: each must leave it as it was."""
    family, bits = request.param
    return in_process.load(tiny_models.write(tmp_path_factory.mktemp("m"), family, bits=bits))


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory):
    folder = tiny_models.write(tmp_path_factory.mktemp("other"), "gemma3_text", seed=8)
    return in_process.load(folder)


def kernel(name: str) -> Function:
    return function_of(parse_variant(name), "model")


def logits(model, rows: int = 1) -> np.ndarray:
    return np.array(model(mx.array([[2, 5, 9, 300, 17]] * rows)).astype(mx.float32))


def test_after_removal_the_model_is_what_it_was_bit_for_bit(loaded) -> None:
    before = logits(loaded.model)
    modules = [(module, type(module)) for _, module in loaded.model.named_modules()]
    parameters = dict(tree_flatten(loaded.model.parameters()))
    in_process.compare(loaded, comparing("the sky", ("relu", "gelu", "m=x*x"), max_tokens=3))
    after = [(module, type(module)) for _, module in loaded.model.named_modules()]
    assert all(a[0] is b[0] and a[1] is b[1] for a, b in zip(after, modules, strict=True))
    now = dict(tree_flatten(loaded.model.parameters()))
    assert now.keys() == parameters.keys()
    # mlx-lm's own Gemma 3n puts these two anew, clipped, in every pass.
    kept = [name for name in now if "prediction_coefs" not in name and "correction_c" not in name]
    assert all(now[name] is parameters[name] for name in kept)
    assert np.array_equal(logits(loaded.model), before)


def test_removed_also_when_the_body_fails(loaded) -> None:
    before = logits(loaded.model)
    with pytest.raises(RuntimeError), rowwise(loaded.model):
        raise RuntimeError
    assert np.array_equal(logits(loaded.model), before)


def test_weights_are_shared_and_not_copied(loaded) -> None:
    before = dict(tree_flatten(loaded.model.parameters()))
    with rowwise(loaded.model):
        during = dict(tree_flatten(loaded.model.parameters()))
    assert during.keys() == before.keys()
    assert all(during[name] is before[name] for name in before)


def test_classes_and_globals_of_mlx_lm_are_not_touched(loaded) -> None:
    files = {sys.modules[type(m).__module__] for _, m in loaded.model.named_modules()}
    before = {file: dict(vars(file)) for file in files if "gemma" in file.__name__}
    calls = {
        value: vars(value)["__call__"]
        for names in before.values()
        for value in names.values()
        if isinstance(value, type) and "__call__" in vars(value)
    }
    assert before and calls
    with rowwise(loaded.model) as functions, functions.use(kernel("relu")):
        logits(loaded.model)
        for file, names in before.items():
            assert dict(vars(file)) == names
        assert all(vars(kind)["__call__"] is call for kind, call in calls.items())


def test_two_installed_models_do_not_leak_into_each_other(loaded, another) -> None:
    expected = {}
    for model in (loaded.model, another.model):
        with rowwise(model) as functions, functions.use(kernel("silu")):
            expected[id(model)] = logits(model)
    before = logits(another.model)
    with rowwise(loaded.model) as functions, functions.use(kernel("silu")):
        assert np.array_equal(logits(another.model), before)
        with rowwise(another.model) as more, more.use(kernel("silu")):
            for model in (loaded.model, another.model):
                assert np.array_equal(logits(model), expected[id(model)])


def test_each_row_takes_its_own_function_whatever_its_neighbours(loaded) -> None:
    names = ["relu", "gelu", "silu", "identity"]
    alone = {}
    with rowwise(loaded.model) as functions:
        for name in names:
            with functions.use(kernel(name)):
                alone[name] = logits(loaded.model)[0]
        for order in (names, names[::-1], ["gelu", "relu", "gelu", "identity"]):
            with functions.use(*(kernel(name) for name in order)):
                together = logits(loaded.model, len(order))
            for row, name in enumerate(order):
                np.testing.assert_allclose(together[row], alone[name], rtol=0, atol=2e-4)
    assert not np.allclose(alone["relu"], alone["identity"], atol=1e-2)


class Only(FunctionBySite):
    """One function at a site, another one elsewhere; it keeps which sites there are."""

    def __init__(self, site: Site | None, inside: Function, elsewhere: Function) -> None:
        self.site, self.inside, self.elsewhere = site, inside, elsewhere
        self.seen: list[Site] = []

    def at(self, site: Site) -> Function:
        self.seen.append(site)
        return self.inside if site == self.site else self.elsewhere


def test_a_row_may_have_another_function_at_each_site(loaded) -> None:
    relu, native = kernel("relu"), kernel(loaded.info.native_activation)
    nowhere = Only(None, relu, native)
    there: Counter[str] = Counter()
    for kind, count in sites_of(loaded.model).items():
        there[kind.removeprefix("sparse ")] += count
    with rowwise(loaded.model) as functions:
        with functions.use(native, native):
            before = logits(loaded.model, 2)
        with functions.use(native, nowhere):
            assert np.array_equal(logits(loaded.model, 2), before)
        counts = Counter(site.kind for site in nowhere.seen)
        assert len(set(nowhere.seen)) == len(nowhere.seen)
        assert counts == there
        assert {site.layer for site in nowhere.seen} == set(range(len(loaded.model.layers)))
        for site in nowhere.seen:
            with functions.use(native, Only(site, relu, native)):
                after = logits(loaded.model, 2)
            assert not np.array_equal(after[1], before[1]), site
            np.testing.assert_allclose(after[0], before[0], rtol=0, atol=2e-4)
        with functions.use(*(Only(site, relu, native) for site in nowhere.seen)):
            assert len(np.unique(logits(loaded.model, len(nowhere.seen)), axis=0)) == len(
                nowhere.seen
            )


def test_a_batch_of_another_size_is_refused(loaded) -> None:
    with rowwise(loaded.model) as functions:
        with functions.use(kernel("relu")), pytest.raises(ValueError, match="2 rows, but 1"):
            logits(loaded.model, 2)
        with pytest.raises(ValueError, match="1 rows, but 0"):
            logits(loaded.model)


def test_the_native_function_in_place_changes_no_bit(loaded) -> None:
    before = logits(loaded.model)
    native = kernel(loaded.info.native_activation)
    with rowwise(loaded.model) as functions, functions.use(native):
        assert np.array_equal(logits(loaded.model), before)


def test_eight_variants_take_the_memory_of_one_and_the_caches(tmp_path: Path) -> None:
    # Large enough that a second copy of the weights could not hide behind the activations.
    tiny_models.CONFIGS["large"] = {
        **tiny_models.CONFIGS["gemma3_text"],
        "intermediate_size": 16384,
        "model_type": "gemma3_text",
    }
    tiny_models.MODULES["large"] = tiny_models.MODULES["gemma3_text"]
    try:
        loaded = in_process.load(tiny_models.write(tmp_path, "large"))
    finally:
        del tiny_models.CONFIGS["large"], tiny_models.MODULES["large"]
    names = tuple(REGISTRY)[:8]
    one, eight = (
        in_process.compare(loaded, comparing("the sky", names[:rows], max_tokens=3))
        for rows in (1, 8)
    )
    assert loaded.weight_bytes > 50_000_000
    assert eight.peak_memory_bytes < 1.1 * one.peak_memory_bytes


# --- which places these are -----------------------------------------------------------------------

FILES = ("gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma4", "gemma4_text")
NAMES = {"gelu", "gelu_approx", "gelu_fast_approx", "GELU", "geglu", "gelu_topk", "silu", "relu"}


@pytest.mark.parametrize("name", [*FILES, "recurrent_gemma"])
def test_no_activation_in_the_code_of_mlx_lm_is_forgotten(name: str) -> None:
    """Every class whose code names a function of this kind is a site, and no site is invented."""
    source = inspect.getsource(importlib.import_module(f"mlx_lm.models.{name}"))
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            used = {
                inner.attr if isinstance(inner, ast.Attribute) else inner.id
                for inner in ast.walk(node)
                if isinstance(inner, ast.Attribute | ast.Name)
            }
            if used & NAMES:
                found.add(f"{name}.{node.name}")
    assert found == {site for site in SITES if site.startswith(f"{name}.")}


def test_each_model_has_the_sites_of_its_family(loaded) -> None:
    found = sites_of(loaded.model)
    assert found.keys() <= set(loaded.family.sites)
    assert sum(count for site, count in found.items() if "feed-forward" in site) == len(
        loaded.model.layers
    )


def test_every_site_of_every_family_is_in_some_model_of_these_tests(tmp_path: Path) -> None:
    found: dict[str, set[str]] = {}
    for name in tiny_models.CONFIGS:
        loaded = in_process.load(tiny_models.write(tmp_path / name, name))
        found.setdefault(loaded.family.name, set()).update(sites_of(loaded.model))
    for family in FAMILIES.values():
        wrapped = {"gemma4": "gemma4_text", "gemma4_unified": "gemma4_text"}
        assert found[wrapped.get(family.name, family.name)] == set(family.sites)


def test_another_way_of_writing_the_model_is_noticed(loaded, monkeypatch) -> None:
    """Should mlx-lm name its function otherwise, that is an error and not the native function."""
    kind = type(loaded.model.layers[0].mlp if hasattr(loaded.model.layers[0], "mlp") else
                loaded.model.layers[0].mlp_block)  # fmt: skip
    monkeypatch.setattr(kind, "__call__", lambda self, x: x)
    with pytest.raises(GeluError, match="in another way"), rowwise(loaded.model):
        pass
    assert logits(loaded.model).shape
