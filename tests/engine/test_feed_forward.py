"""Installing and removing the row-wise feed-forward modules."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from gelu_tui.core import protocol as p
from gelu_tui.engine.families import layers_of
from gelu_tui.engine.feed_forward import RowwiseFeedForward, rowwise
from gelu_tui.engine.functions import KERNELS
from tests.engine import in_process, tiny_models

KINDS = [(family, bits) for family in tiny_models.CONFIGS for bits in (None, 4)]


@pytest.fixture(params=KINDS, ids=str)
def loaded(request: pytest.FixtureRequest, tmp_path: Path):
    family, bits = request.param
    return in_process.load(tiny_models.write(tmp_path, family, bits=bits))


def logits(model, rows: int = 1) -> np.ndarray:
    return np.array(model(mx.array([[2, 5, 9, 300, 17]] * rows)).astype(mx.float32))


def test_after_removal_the_model_is_what_it_was_bit_for_bit(loaded) -> None:
    before = logits(loaded.model)
    modules = [block.mlp for block in layers_of(loaded.model, loaded.family)]
    classes = [type(module) for module in modules]
    parameters = dict(tree_flatten(loaded.model.parameters()))
    in_process.compare(loaded, p.Compare("the sky", ("relu", "gelu", "m=x*x"), max_tokens=6))
    after = [block.mlp for block in layers_of(loaded.model, loaded.family)]
    assert all(a is b for a, b in zip(after, modules, strict=True))
    assert [type(module) for module in after] == classes
    now = dict(tree_flatten(loaded.model.parameters()))
    assert now.keys() == parameters.keys()
    assert all(now[name] is parameters[name] for name in now)
    assert np.array_equal(logits(loaded.model), before)


def test_removed_also_when_the_body_fails(loaded) -> None:
    before = logits(loaded.model)
    with pytest.raises(RuntimeError), rowwise(loaded.model, loaded.family):
        raise RuntimeError
    assert np.array_equal(logits(loaded.model), before)


def test_weights_are_shared_and_not_copied(loaded) -> None:
    before = dict(tree_flatten(loaded.model.parameters()))
    with rowwise(loaded.model, loaded.family):
        for block in layers_of(loaded.model, loaded.family):
            assert isinstance(block.mlp, RowwiseFeedForward)
        during = dict(tree_flatten(loaded.model.parameters()))
    assert during.keys() == before.keys()
    assert all(during[name] is before[name] for name in before)


def test_each_row_takes_its_own_function_whatever_its_neighbours(loaded) -> None:
    names = ["relu", "gelu", "silu", "identity"]
    alone = {}
    with rowwise(loaded.model, loaded.family) as functions:
        for name in names:
            with functions.use(KERNELS[name]):
                alone[name] = logits(loaded.model)[0]
        for order in (names, names[::-1], ["gelu", "relu", "gelu", "identity"]):
            with functions.use(*(KERNELS[name] for name in order)):
                together = logits(loaded.model, len(order))
            for row, name in enumerate(order):
                np.testing.assert_allclose(together[row], alone[name], rtol=0, atol=2e-4)
    assert not np.allclose(alone["relu"], alone["identity"], atol=1e-2)


def test_a_batch_of_another_size_is_refused(loaded) -> None:
    with rowwise(loaded.model, loaded.family) as functions:
        with functions.use(KERNELS["relu"]), pytest.raises(ValueError, match="2 rows, but 1"):
            logits(loaded.model, 2)
        with pytest.raises(ValueError, match="1 rows, but 0"):
            logits(loaded.model)


def test_the_native_function_in_place_changes_no_bit(loaded) -> None:
    before = logits(loaded.model)
    native = KERNELS[loaded.info.native_activation]
    with rowwise(loaded.model, loaded.family) as functions, functions.use(native):
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
    names = tuple(KERNELS)[:8]
    one, eight = (
        in_process.compare(loaded, p.Compare("the sky", names[:rows], max_tokens=8))
        for rows in (1, 8)
    )
    assert loaded.weight_bytes > 50_000_000
    assert eight.finished.peak_memory_bytes < 1.1 * one.finished.peak_memory_bytes
