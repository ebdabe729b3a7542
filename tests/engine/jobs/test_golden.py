"""The engine against PyTorch transformers: logits and greedy tokens of every family and form.

What is compared with was made by `tests/golden/make_golden.py`, in float32.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import make_prompt_cache

from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.engine import device
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.activation_sites import rowwise
from gelu_tui.engine.compute.decode import decode, prefill
from gelu_tui.engine.compute.functions import function_of
from gelu_tui.engine.models.loading import LoadedModel
from tests.golden.weights import tensor
from tests.support import in_process, tiny_models

GOLDEN = Path(__file__).parents[2] / "golden"
DOCUMENT = json.loads((GOLDEN / "golden.json").read_text())
MODELS: dict[str, dict[str, Any]] = DOCUMENT["models"]
INEXACT: dict[str, dict[str, Any]] = DOCUMENT["inexact"]
PROMPT: list[int] = DOCUMENT["prompt"]
MIDDLE = len(PROMPT) // 2

# Largest absolute difference of any logit, both sides in float32; logits reach from −1.5 to 1.5.
# Found was 5.4e-6, from the order of sums; exact and tanh GELU differ by 1.8e-4 and more.
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def logits() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "logits.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module", params=MODELS)
def golden(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, LoadedModel]:
    device.prepare()
    return request.param, _load(request.param, tmp_path_factory.mktemp("golden"))


def _load(name: str, parent: Path) -> LoadedModel:
    folder = parent / name
    tiny_models.write_tokenizer(folder)
    weights = {_name(name, key): mx.array(value) for key, value in _tensors(name).items()}
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(_config(name)))
    return in_process.load(folder, "float32")


def _described(model: str) -> dict[str, Any]:
    return (MODELS | INEXACT)[model]


def _family(model: str) -> str:
    return model.partition("-")[0]


def _tensors(model: str) -> dict[str, np.ndarray]:
    shapes: dict[str, list[int]] = _described(model)["shapes"]
    found = {key: tensor(model, key, tuple(shape)) for key, shape in shapes.items()}
    config = _described(model)["config"]
    layers = config["num_hidden_layers"]
    shared = config.get("num_kv_shared_layers", 0)
    if _family(model) == "gemma3n":
        # mlx-lm wants keys and values of layers that use those of others; they must not matter.
        for layer in range(layers - shared, layers):
            for name in ("k_proj", "v_proj", "k_norm"):
                own, others = (f"model.layers.{i}.self_attn.{name}.weight" for i in (layer, 0))
                found[own] = tensor(model, own, tuple(shapes[others]))
    if model.startswith("gemma4"):
        # A buffer of ones to transformers.
        found |= {f"model.layers.{i}.layer_scalar": np.ones(1, np.float32) for i in range(layers)}
    return found


def _name(model: str, key: str) -> str:
    """A text model's tensor, as a checkpoint of the whole family names it."""
    return key.replace("model.", "model.language_model.", 1) if _family(model) == "gemma3n" else key


def _config(model: str) -> dict[str, Any]:
    """The configuration as mlx-lm wants it: with the thetas that are transformers' defaults."""
    family = _family(model)
    config = {**_described(model)["config"], "model_type": family}
    if family in ("gemma3_text", "gemma3n"):
        config |= {"rope_theta": 1_000_000.0, "rope_local_base_freq": 10_000.0}
    if family == "recurrent_gemma":
        config |= {"rope_theta": 10_000.0}
    return {"model_type": family, "text_config": config} if family == "gemma3n" else config


def passed(model: Any, rows: int) -> np.ndarray:
    # With a cache: without one mlx-lm's Gemma 3n takes other keys and values.
    return np.array(model(mx.array([PROMPT] * rows), cache=make_prompt_cache(model)))


def test_logits(golden: tuple[str, LoadedModel], logits: dict[str, np.ndarray]) -> None:
    name, loaded = golden
    functions = list(MODELS[name]["tokens"])
    worst = 0.0
    with rowwise(loaded.model) as rows:
        own = [function_of(parse_variant(function), "float32") for function in functions]
        with rows.use(*own):
            found = passed(loaded.model, len(own))
    for row, function in enumerate(functions):
        expected = logits[f"{name}/{function}"]
        worst = max(worst, np.abs(found[row, [MIDDLE, -1]] - expected).max())
    assert worst < TOLERANCE
    by_function = [logits[f"{name}/{function}"] for function in ("gelu", "relu", "silu")]
    apart = [np.abs(one - other).max() for one in by_function for other in by_function]
    assert min(filter(None, apart)) > 50 * TOLERANCE, "or equality would prove nothing"


def test_exact_and_tanh_are_told_apart(
    golden: tuple[str, LoadedModel], logits: dict[str, np.ndarray]
) -> None:
    name, loaded = golden
    found = {}
    with rowwise(loaded.model) as rows:
        for function in ("gelu", "gelu_approx"):
            with rows.use(function_of(parse_variant(function), "float32")):
                found[function] = passed(loaded.model, 1)[0, [MIDDLE, -1]]
    for function, other in (("gelu", "gelu_approx"), ("gelu_approx", "gelu")):
        own = np.abs(found[function] - logits[f"{name}/{function}"]).max()
        others = np.abs(found[function] - logits[f"{name}/{other}"]).max()
        assert own < others / 3


def test_greedy_tokens(golden: tuple[str, LoadedModel]) -> None:
    name, loaded = golden
    expected: dict[str, list[int]] = MODELS[name]["tokens"]
    own = [function_of(parse_variant(function), "float32") for function in expected]
    with rowwise(loaded.model) as rows:
        prefilled = []
        for function in own:
            with rows.use(function):
                # In chunks, so that the sliding windows are met in the middle of one.
                prefilled.append(prefill(loaded.model, PROMPT, 5, lambda _: None, lambda: False))
        with rows.use(*own):
            last = PROMPT[-1:] * len(own)
            steps = decode(loaded.model, caches.join(prefilled), last, ahead=False)
            found = [next(steps).tokens for _ in range(len(expected["gelu"]))]
    streams = np.array(found).T.tolist()
    assert dict(zip(expected, streams, strict=True)) == expected
    assert len(set(map(tuple, streams))) >= 4


# Which of the two rounds the embedding normalizer √hidden to bfloat16, whatever the weights' dtype.
ROUNDED_BY_MLX_LM = {"gemma3_text"}
ROUNDED_BY_TRANSFORMERS = {"recurrent_gemma"}


@pytest.mark.parametrize("name", INEXACT)
def test_where_the_normalizer_is_rounded(
    name: str, logits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """mlx-lm equals PyTorch with the normalizer that mlx-lm has, and not with the other."""
    device.prepare()
    loaded = _load(name, tmp_path)
    found = passed(loaded.model, 1)[0, [MIDDLE, -1]]
    if _family(name) == "gemma":  # mlx-lm's own is the exact GELU
        with (
            rowwise(loaded.model) as rows,
            rows.use(function_of(parse_variant("gelu_approx"), "float32")),
        ):
            found = passed(loaded.model, 1)[0, [MIDDLE, -1]]

    def apart(label: str, other: np.ndarray = found) -> float:
        return float(np.abs(other - logits[f"{name}/{label}"]).max())

    own = "rounded" if _family(name) in ROUNDED_BY_MLX_LM else "exact"
    theirs = "rounded" if _family(name) in ROUNDED_BY_TRANSFORMERS else "exact"
    unlike = {"rounded": "exact", "exact": "rounded"}
    assert apart(own) < TOLERANCE
    assert apart(unlike[own]) > 10 * TOLERANCE
    assert apart(theirs, logits[f"{name}/transformers"]) == 0
    assert (apart("transformers") < TOLERANCE) is (own == theirs)


def test_all_families_that_transformers_has_are_here() -> None:
    assert {name.partition("-")[0] for name in MODELS} == {
        "gemma", "gemma2", "gemma3_text", "gemma3n", "gemma4_text", "recurrent_gemma",
    }  # fmt: skip
