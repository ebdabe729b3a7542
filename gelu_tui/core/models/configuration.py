"""The configuration that a model is built from: config.json, checked and in mlx-lm's own keys."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.configuration_rules import Values, check, is_integer, refusal
from gelu_tui.core.models.configuration_translation import Translation, refuse_other_tasks
from gelu_tui.core.models.families import Family

# The layers of the text model, not those of a vision or audio tower.
_LAYER = re.compile(r"(?:^|\.)(?:model|language_model)\.layers\.(\d{1,9})\.")

_TAGGED = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


@dataclass(frozen=True)
class Configuration:
    """The configuration that mlx-lm gets, and the warnings to show with it.

    `values` holds the keys of config.json, those that mlx-lm does not read as those that it does.
    """

    values: Values
    text: Values  # those of the text model: a part of `values`, or all
    context_length: int  # in tokens
    warnings: tuple[str, ...]


def configure(config: Values, family: Family) -> Configuration:
    """Check config.json of a model and translate it. Raises `GeluError`, by key and value."""
    try:
        values = _decoded(config)
    except RecursionError:  # as mlx-lm's own reader would end
        hint = "Take the config.json that belongs to these weights."
        raise GeluError("config", "config.json is nested too deeply.", hint) from None
    refuse_other_tasks(values)
    if (nested := values.get("text_config", {})) is not None and not isinstance(nested, dict):
        raise refusal("text_config", nested, "an object")
    text = _text_values(values, family)
    translation = Translation(text, family.name)
    translation.run()
    check(text, family.name, "text_config in config.json" if family.nested else "config.json")
    _check_quantization(values)
    key = "max_position_embeddings"
    length = next((each[key] for each in (text, values) if each.get(key) is not None), None)
    if length is None:
        length = text[key] = family.context_length
    if not is_integer(length, 1, 2**31 - 1):
        raise refusal(key, length, "an integer from 1 to 2,147,483,647")
    return Configuration(values, text, length, tuple(translation.warnings))


def _text_values(values: Values, family: Family) -> Values:
    """The values of the text model, with those that mlx-lm takes from around them."""
    if not family.nested:
        values["text_config"] = values.get("text_config") or {}  # mlx-lm looks into it
        return values
    text: Values | None = values.get("text_config")
    if text is None:
        if family.name in ("gemma3", "gemma3n"):
            message = f"config.json has no text_config, which mlx-lm needs for {family.name}."
            hint = "Take the config.json that belongs to these weights."
            raise GeluError("config", message, hint)
        text = values["text_config"] = {}
    text.setdefault("model_type", f"{family.name}_text")
    if family.name != "gemma3n":
        # mlx-lm takes this one from around the text model, and a constant if it is not there.
        if "vocab_size" in text:
            values.setdefault("vocab_size", text["vocab_size"])
        if "vocab_size" in values:
            text["vocab_size"] = values["vocab_size"]
    return text


def _check_quantization(values: Values) -> None:
    found = values.get("quantization")
    if found is None:
        other = values.get("quantization_config")
        if other and not isinstance(other, dict):  # mlx-lm skips an empty one
            raise refusal("quantization_config", other, "an object")
        return
    if not isinstance(found, dict):
        raise refusal("quantization", found, "an object")
    for key in ("group_size", "bits"):
        if not is_integer(found.get(key), 1, 1024):
            raise refusal(f"quantization.{key}", found.get(key), "an integer from 1 to 1,024")


def _decoded(value: Any) -> Any:
    """A copy of `value` with the numbers that JSON does not have, as transformers tags them."""
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"__float__"} and isinstance(tag := value["__float__"], str):
        return _TAGGED.get(tag, value)
    return {key: _decoded(each) for key, each in value.items()}


def check_layers(text: Values, tensors: Iterable[str]) -> None:
    """Compare the number of layers with the names of the stored tensors. Raises `GeluError`.

    mlx-lm builds every layer before it compares the weights with them.
    """
    found = [int(match[1]) for name in tensors if (match := _LAYER.search(name))]
    layers = text.get("num_hidden_layers", max(found, default=0) + 1)
    if found and layers != max(found) + 1:
        wanted = f"{max(found) + 1}, the number of layers in the weights"
        raise refusal("num_hidden_layers", layers, wanted)


# The keys that decide the shape of a tensor beside hidden_size, by a part of the tensor's name;
# the first that matches.
_SHAPED_BY = {
    r"embed_tokens_per_layer|per_layer_(?:model_)?projection|per_layer_input": (
        "hidden_size_per_layer_input, vocab_size_per_layer_input and num_hidden_layers"
    ),
    r"embed_tokens": "vocab_size",
    r"lm_head": "vocab_size and tie_word_embeddings",
    r"[qo]_(?:proj|norm)": "num_attention_heads, head_dim, global_head_dim and layer_types",
    r"[kv]_(?:proj|norm)": (
        "num_key_value_heads, head_dim, num_kv_shared_layers, layer_types, global_head_dim, "
        "num_global_key_value_heads and attention_k_eq_v"
    ),
    r"experts|router|layernorm_[12]": (
        "enable_moe_block, num_experts and moe_intermediate_size"
    ),
    r"mlp": "intermediate_size, num_kv_shared_layers and use_double_wide_mlp",
    r"altup": "altup_num_inputs",
    r"laurel": "laurel_rank",
    r"temporal_block": "block_types, num_attention_heads, lru_width and conv1d_width",
}  # fmt: skip


def keys_behind(tensor: str) -> str:
    """The keys of config.json that decide whether a model has this tensor, and its shape."""
    for pattern, keys in _SHAPED_BY.items():
        if re.search(pattern, tensor):
            return f"hidden_size{',' if ' and ' in keys else ' and'} {keys}"
    return "hidden_size and num_hidden_layers"
