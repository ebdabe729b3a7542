"""Yardsticks against what they stand for, such as mlx-lm's own quantized model."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import quantize_model

from gelu_tui.core.errors import GeluError
from gelu_tui.core.protocol import ModelInfo
from gelu_tui.core.settings.yardsticks import YARDSTICKS, YardstickName
from gelu_tui.engine import device
from gelu_tui.engine.compute import yardsticks
from gelu_tui.engine.compute.elsewhere import LayersElsewhere
from gelu_tui.engine.compute.yardsticks import yardstick
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, tiny_models

TOKENS = [2, *range(40, 75)]  # more than are fed at once by `again`, longer than sliding windows
FAMILIES = list(tiny_models.CONFIGS)


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    device.prepare()


def load(folder: Path, family: str, dtype: str = "float32", **how: Any) -> LoadedModel:
    return in_process.load(tiny_models.write(folder, family, **how), dtype)


def passed(model: Any) -> np.ndarray:
    logits = model(mx.array([TOKENS]), cache=make_prompt_cache(model))
    return np.array(logits.astype(mx.float32))


def under(loaded: LoadedModel, name: YardstickName) -> np.ndarray:
    with yardstick(name, loaded.model, loaded.info).applied():
        return passed(loaded.model)


def state(model: Any) -> list[tuple[Any, ...]]:
    """Everything that a yardstick could leave behind, by identity."""
    # The coefficients of Gemma 3n mlx-lm itself replaces at every call.
    return [
        (type(module), name, id(value))
        for path, module in model.named_modules()
        for name, value in [*module.items(), *vars(module).items()]
        if name != "weight" or "coefs" not in path
    ]


def refusal(loaded: LoadedModel, name: YardstickName) -> str:
    with pytest.raises(GeluError) as caught:
        yardstick(name, loaded.model, loaded.info)
    assert caught.value.info.hint
    return caught.value.info.message


# --- against what it stands for -------------------------------------------------------------------


# The family says which matrices there are, the bits what becomes of each.
@pytest.mark.parametrize(("family", "bits"), [*((name, 4) for name in FAMILIES), ("gemma3n", 8)])
def test_fewer_bits_are_mlx_lms_own_quantized_model(family: str, bits: int, tmp_path: Path) -> None:
    loaded = load(tmp_path, family)
    plain, found = passed(loaded.model), under(loaded, f"q{bits}")
    quantized, config = quantize_model(loaded.model, {}, None, bits)
    assert config["quantization"]["group_size"] == 64
    expected = passed(quantized)
    effect = np.abs(expected - plain).max()
    assert np.abs(found - expected).max() < 2e-3 * effect, "sums in another order, no more"


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_is_the_model_of_that_dtype(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(tmp_path, family)
    with yardstick("bf16", loaded.model, loaded.info).applied():
        logits = loaded.model(mx.array([TOKENS]), cache=make_prompt_cache(loaded.model))
    assert logits.dtype == mx.bfloat16, "nothing widened the hidden states"
    found = np.array(logits.astype(mx.float32))
    if family.endswith("experts"):  # of which MLX has no bfloat16 on a CPU
        return
    with monkeypatch.context() as patch:
        patch.setattr(device, "on_gpu", lambda: True)
        as_on_a_gpu = under(loaded, "bf16")
    plain = passed(loaded.model)
    loaded.model.set_dtype(mx.bfloat16)
    expected = passed(loaded.model)
    assert (as_on_a_gpu == expected).all()
    # Sums in another order are seldom rounded otherwise, but then a random model carries it far.
    assert np.abs(found - expected).mean() < 1.1 * np.abs(plain - expected).mean()


@pytest.mark.parametrize("family", ["gemma2", "gemma4_text-experts"])
def test_bfloat16_of_quantized_weights(family: str, tmp_path: Path) -> None:
    loaded = load(tmp_path, family, bits=4)
    found = under(loaded, "bf16")
    loaded.model.set_dtype(mx.bfloat16)
    assert (found == passed(loaded.model)).all()


@pytest.mark.parametrize("kind", [nn.Linear, nn.Embedding])
def test_products_are_rounded_once(kind: Any) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = kind(200, 96) if kind is nn.Linear else kind(96, 200)

    model = Model()
    x = mx.random.normal((7, 200)).astype(mx.bfloat16)
    info = ModelInfo("x", "gemma", "float32", None, "gelu")
    weight = np.array(model.part.weight.astype(mx.bfloat16).astype(mx.float32), np.float64)
    bias = model.part.get("bias")
    with yardstick("bf16", model, info).applied():
        found = model.part(x) if kind is nn.Linear else model.part.as_linear(x)
        assert found.dtype == mx.bfloat16
        if kind is nn.Embedding:
            assert model.part(mx.array([3])).dtype == mx.bfloat16
    exact = np.array(x.astype(mx.float32), np.float64) @ weight.T
    if bias is not None:
        exact += np.array(bias.astype(mx.bfloat16).astype(mx.float32))
    rounded = mx.array(exact, mx.float32).astype(mx.bfloat16)
    same = (found == rounded).mean().item()
    assert same > 0.99


def test_a_model_in_bfloat16_is_held_against_float32(tmp_path: Path) -> None:
    loaded = load(tmp_path, "gemma2", "bfloat16")
    found = under(loaded, "bf16")
    plain = passed(loaded.model)
    loaded.model.set_dtype(mx.float32)
    expected = passed(loaded.model)
    assert np.abs(found - expected).max() < 1e-4 < np.abs(found - plain).max()


# Rounded to bfloat16, √80 becomes smaller and √96 larger; some families round it, others do not.
@pytest.mark.parametrize(
    ("family", "hidden"),
    [*((name, 80) for name in FAMILIES), ("gemma", 96), ("gemma3_text", 96)],
)
def test_the_other_embedding_scale(
    family: str, hidden: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tiny_models.CONFIGS, family, with_hidden_size(family, hidden))
    loaded = load(tmp_path, family)
    exact = math.sqrt(hidden)
    rounded = mx.array(exact, mx.bfloat16).item()
    rounds = family in ("gemma3_text", "gemma3")
    own, other = (rounded, exact) if rounds else (exact, rounded)
    plain, found = passed(loaded.model), under(loaded, "embed-scale")
    # The same by a larger embedding, with a head that does not know it.
    expected = with_larger_embeddings(loaded.model, other / own)
    assert np.abs(found - expected).max() < 0.01 * np.abs(found - plain).max()
    assert f"√{hidden}" in yardstick("embed-scale", loaded.model, loaded.info).description


def with_hidden_size(family: str, hidden: int) -> dict[str, Any]:
    config = copy.deepcopy(tiny_models.CONFIGS[family])
    config.get("text_config", config)["hidden_size"] = hidden
    return config


def with_larger_embeddings(model: Any, factor: float) -> np.ndarray:
    class Larger(nn.Embedding):
        def __call__(self, x: mx.array) -> mx.array:
            return super().__call__(x) * factor

    embedding = next(m for path, m in model.named_modules() if path.endswith("embed_tokens"))
    embedding.__class__ = Larger
    try:
        return passed(model)
    finally:
        embedding.__class__ = nn.Embedding


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_compute_the_same(family: str, tmp_path: Path) -> None:
    loaded = load(tmp_path, family)
    plain, found = passed(loaded.model), under(loaded, "again")
    assert found.shape == plain.shape
    assert np.abs(found - plain).max() < 1e-4


# --- nothing is left behind -----------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_the_model_is_exactly_as_it_was(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tiny_models.CONFIGS, family, with_hidden_size(family, 128))
    loaded = load(tmp_path, family)
    plain, before = passed(loaded.model), state(loaded.model)
    for name in YARDSTICKS:
        under(loaded, name)
        assert state(loaded.model) == before
        with pytest.raises(ZeroDivisionError), yardstick(name, *parts_of(loaded)).applied():
            raise ZeroDivisionError
        assert state(loaded.model) == before
    assert (passed(loaded.model) == plain).all()


def parts_of(loaded: LoadedModel) -> tuple[Any, ModelInfo]:
    return loaded.model, loaded.info


@pytest.mark.parametrize(("name", "fails"), [("q4", "quantize"), ("bf16", "_narrow")])
def test_a_failure_in_the_middle_leaves_nothing_behind(
    name: YardstickName, fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(tmp_path, "gemma3_text")
    before, calls = state(loaded.model), 0
    place = mx if fails == "quantize" else yardsticks
    works = getattr(place, fails)

    def failing(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise MemoryError
        return works(*args, **kwargs)

    monkeypatch.setattr(place, fails, failing)
    with pytest.raises(MemoryError):
        under(loaded, name)
    assert state(loaded.model) == before


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["q8", "q4"])
def test_quantized_weights_are_not_quantized_again(name: YardstickName, tmp_path: Path) -> None:
    loaded = load(tmp_path, "gemma3_text", bits=4)
    message = f"{name} cannot be measured: the weights of this model are 4-bit already."
    assert refusal(loaded, name) == message


@pytest.mark.parametrize("name", ["q8", "q4", "bf16"])
def test_layers_elsewhere_cannot_be_changed_from_here(
    name: YardstickName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(tmp_path, "gemma2")
    monkeypatch.setattr(LayersElsewhere, "of", lambda _: [object()])
    message = f"{name} cannot be measured here: other processes hold layers of this model."
    assert refusal(loaded, name) == message
    assert yardstick("again", loaded.model, loaded.info)


def test_nothing_that_could_be_quantized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = with_hidden_size("gemma", 48) | {"intermediate_size": 80, "head_dim": 12}
    monkeypatch.setitem(tiny_models.CONFIGS, "gemma", config)
    assert refusal(load(tmp_path, "gemma"), "q8") == (
        "q8 would change nothing: none of this model's matrices has rows that groups of 64 fit "
        "into."
    )


def test_a_root_that_is_exact(tmp_path: Path) -> None:
    assert refusal(load(tmp_path, "gemma3_text"), "embed-scale") == (
        "embed-scale would change nothing: √64 is 8 in this model whether it is rounded to "
        "bfloat16 or not, which is exact."
    )


@pytest.mark.parametrize("family", ["gemma", "gemma3_text"])
def test_a_dtype_that_rounds_it_anyway(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tiny_models.CONFIGS, family, with_hidden_size(family, 80))
    assert "since bfloat16 rounds it so too" in refusal(
        load(tmp_path, family, "bfloat16"), "embed-scale"
    )
    assert yardstick("embed-scale", *parts_of(load(tmp_path, family, "float16")))


def test_the_scale_of_quantized_embeddings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tiny_models.CONFIGS, "gemma", with_hidden_size("gemma", 96))
    loaded = load(tmp_path, "gemma", bits=4)
    assert "√96" in yardstick("embed-scale", loaded.model, loaded.info).description
    assert (under(loaded, "embed-scale") != passed(loaded.model)).any()


def test_embeddings_that_are_not_scaled(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "recurrent_gemma")
    config = json.loads((folder / "config.json").read_text())
    config["embeddings_scale_by_sqrt_dim"] = False
    (folder / "config.json").write_text(json.dumps(config))
    message = "embed-scale would change nothing: this model does not scale its embeddings."
    assert refusal(in_process.load(folder), "embed-scale") == message


def test_all_parameters_of_a_tiny_model_are_seen(tmp_path: Path) -> None:
    """The share in the description counts what mlx-lm's own quantization changes."""
    loaded = load(tmp_path, "gemma4_text-experts")
    sizes = {path: array.size for path, array in tree_flatten(loaded.model.parameters())}
    description = yardstick("q8", loaded.model, loaded.info).description
    quantize_model(loaded.model, {}, None, 8)
    changed = [
        sizes[path.removesuffix("scales") + "weight"]
        for path, _ in tree_flatten(loaded.model.parameters())
        if path.endswith("scales")
    ]
    share = 100 * sum(changed) / sum(sizes.values())
    assert f"({len(changed)} matrices, {share:.3g} % of the weights)" in description
