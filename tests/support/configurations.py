"""Configurations with one value changed to any JSON, and what becomes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
from hypothesis import strategies as st
from mlx_lm.generate import generate_step
from mlx_lm.utils import load_model

from gelu_tui.core.models.configuration_rules import LAYER_TYPES, RULES
from gelu_tui.core.models.families import FAMILIES
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, tiny_models
from tests.support.commands import comparing

PROMPT = "Why is the sky blue the sky"
COUNT = 3

# Keys beside those that mlx-lm reads of the text model.
OTHER_KEYS = (
    "rope_parameters", "rope_scaling", "layer_types", "per_layer_config", "rope_theta",
    "use_bidirectional_attention", "hidden_act", "hidden_activation", "attn_logit_softcapping",
    "final_logit_softcapping", "max_position_embeddings", "sliding_window", "model_type",
)  # fmt: skip
AROUND = ("architectures", "text_config", "quantization", "eos_token_id", "vocab_size")

_numbers = st.one_of(
    st.integers(-2, 70),
    st.sampled_from([0, 1, 2, 8, 15, 16, 64, 380, 384, 10**6, 10**9, 2**31, 2**63, 10**400]),
    st.floats(),
    st.sampled_from([0.5, 30.0, 1e-6, 1e300, -0.0]),
)
_texts = st.sampled_from(["", "x", "default", "linear", "yarn", "vision", "silu", *LAYER_TYPES])
_scalars = st.one_of(st.none(), st.booleans(), _numbers, _texts)
_layers = st.lists(st.sampled_from(LAYER_TYPES), min_size=1, max_size=8)
_scaling_keys = st.sampled_from(
    ["type", "rope_type", "factor", "rope_theta", "original_max_position_embeddings",
     "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim",
     "partial_rotary_factor", "long_factor", "short_factor", "mrope_section"]
)  # fmt: skip
_kinds = st.sampled_from(["default", "linear", "dynamic", "llama3", "yarn", "longrope",
                          "proportional", "mrope"])  # fmt: skip
_scalings = st.builds(
    lambda kind, rest: {**rest, "rope_type": kind},
    _kinds,
    st.dictionaries(
        _scaling_keys,
        st.one_of(st.floats(0.1, 100), _scalars, st.lists(st.floats(0.5, 9), max_size=8)),
        max_size=5,
    ),
)
values = st.one_of(
    _scalars,
    _layers,
    _scalings,
    st.fixed_dictionaries({}, optional=dict.fromkeys(LAYER_TYPES, _scalings | _scalars)),
    st.lists(_scalars, max_size=7),
    st.dictionaries(_texts, _scalars, max_size=3),
    st.recursive(_scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=6),
)


@st.composite
def changes(draw: st.DrawFn, families: tuple[str, ...]) -> tuple[str, bool, str, Any]:
    """A model of `tiny_models`, whether the key lies around the text model, the key, a value."""
    model = draw(st.sampled_from(families))
    family = tiny_models.CONFIGS[model]["model_type"]
    around = draw(st.integers(0, 9)) == 0
    keys = AROUND if around else (*RULES[family], *OTHER_KEYS)
    return model, around, draw(st.sampled_from(keys)), draw(values)


def changed(model: str, around: bool, key: str, value: Any) -> dict[str, Any]:
    """The configuration of a tiny model with one value changed."""
    config = json.loads(json.dumps(tiny_models.CONFIGS[model]))
    nested = FAMILIES[config["model_type"]].nested and not around
    (config["text_config"] if nested else config)[key] = value
    return config


def ours(loaded: LoadedModel) -> list[int]:
    """The first tokens with the native function; an error of the stream is raised."""
    command = comparing(
        PROMPT,
        (loaded.info.native_activation,),
        activation_precision="model",
        replay=False,
        max_tokens=COUNT,
    )
    [stream] = in_process.compare(loaded, command).streams
    if stream.error is not None:
        raise AssertionError(stream.error)
    return stream.tokens


def theirs(folder: Path, ids: list[int], end_ids: frozenset[int]) -> list[int] | None:
    """The same by mlx-lm alone; None if it cannot, or if its numbers are none."""
    try:
        model, _ = load_model(folder)
        model.set_dtype(mx.float32)
        tokens: list[int] = []
        for token, logprobs in generate_step(mx.array(ids), model, max_tokens=COUNT):
            if not mx.isfinite(logprobs).all().item():
                return None
            tokens.append(token)
            if token in end_ids:
                break
    except Exception:  # whatever a configuration may raise in it
        return None
    return tokens
