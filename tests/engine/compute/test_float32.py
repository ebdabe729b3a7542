"""A model made to compute in float32, against the same weights widened beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map
from mlx_lm.models.cache import make_prompt_cache

from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.engine import device
from gelu_tui.engine.compute.activation_sites import rowwise
from gelu_tui.engine.compute.float32 import in_float32
from gelu_tui.engine.compute.functions import function_of
from tests.support import in_process, tiny_models

TOKENS = [2, *range(40, 62)]  # longer than the sliding windows
KINDS = [
    *((family, None) for family in tiny_models.CONFIGS),
    *((family, 4) for family in ("gemma3n", "gemma4_text-experts", "recurrent_gemma")),
    ("gemma2", 8),
]


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    device.prepare()


def passed(model: Any, rows: int = 1) -> np.ndarray:
    function = function_of(parse_variant("gelu_approx"), "float32")
    with rowwise(model) as sites, sites.use(*[function] * rows):
        logits = model(mx.array([TOKENS] * rows), cache=make_prompt_cache(model))
    return np.array(logits.astype(mx.float32))


def widened(array: mx.array) -> mx.array:
    return array.astype(mx.float32) if mx.issubdtype(array.dtype, mx.floating) else array


@pytest.mark.parametrize(("family", "bits"), KINDS)
def test_logits_are_those_of_widened_weights(family: str, bits: int | None, tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, family, bits=bits, dtype=mx.bfloat16)
    model = in_process.load(folder, "bfloat16").model
    before = dict(tree_flatten(model.parameters()))
    classes = [type(module) for _, module in model.named_modules()]
    with in_float32(model):
        found = passed(model)
    assert [type(module) for _, module in model.named_modules()] == classes
    after = dict(tree_flatten(model.parameters()))
    assert before.keys() == after.keys()
    # These mlx-lm itself widens whenever Gemma 3n is called.
    kept = [name for name in before if "_coefs" not in name]
    assert all(before[name] is after[name] for name in kept)
    assert {str(a.dtype) for a in before.values()} <= {"mlx.core.bfloat16", "mlx.core.uint32"}

    model.update(tree_map(widened, model.parameters()))
    expected = passed(model)
    # Sums in another order; the smallest step of bfloat16 at these logits is 0.004.
    assert np.abs(found - expected).max() < 1e-5 * max(1.0, np.abs(expected).max())


def test_bfloat16_itself_gives_other_logits(tmp_path: Path) -> None:
    model = in_process.load(tiny_models.write(tmp_path, "gemma2", dtype=mx.bfloat16)).model
    model.update(tree_map(lambda a: a.astype(mx.bfloat16), model.parameters()))
    rounded = passed(model)
    with in_float32(model):
        assert np.abs(passed(model) - rounded).max() > 1e-3


@pytest.mark.parametrize("tied", [True, False])
def test_a_large_head_is_widened_in_slices(tied: bool) -> None:
    weight = mx.tile(mx.random.normal((400, 256)).astype(mx.bfloat16), (500, 1))
    bias = mx.arange(len(weight)).astype(mx.bfloat16)
    head = nn.Embedding(1, 1) if tied else nn.Linear(1, 1)
    head.weight = weight
    if not tied:
        head.bias = bias
    hidden = mx.random.normal((1, 2, 256)).astype(mx.bfloat16).astype(mx.float32)
    mx.eval(weight, bias, hidden)
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    with in_float32(head):
        logits = head.as_linear(hidden) if tied else head(hidden)
        mx.eval(logits)
    extra = mx.get_peak_memory() - before
    expected = mx.tile(hidden @ weight[:400].astype(mx.float32).T, (1, 1, 500))
    if not tied:
        expected = expected + bias
    assert mx.abs(logits - expected).max().item() < 1e-4
    assert extra < weight.nbytes, "half of what a widened copy needs"
