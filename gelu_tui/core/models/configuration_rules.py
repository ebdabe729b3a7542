"""Which keys of config.json mlx-lm reads for each family, and which values it can compute with.

mlx-lm itself checks nothing: a wrong value ends in an exception without the key's name, at load or
at the first step, or fills the memory. `tests/core/models` compares the keys with mlx-lm's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.json_file import shown

Values = dict[str, Any]

LAYER_TYPES = ("sliding_attention", "full_attention")


@dataclass(frozen=True)
class Rule:
    """What a value must be; `wanted` says it, for a sentence."""

    wanted: str
    holds: Callable[[Any], bool]
    required: bool = False
    null: bool = False  # whether null is a value of its own

    def accepts(self, value: object) -> bool:
        """Whether mlx-lm can compute with a value."""
        return (self.null and value is None) or self.holds(value)


def refusal(key: str, value: object, wanted: str) -> GeluError:
    """The error of a value that cannot be computed with."""
    message = f"{key} is {shown(value)} in config.json, not {wanted}."
    return GeluError("config", message, "Take the config.json that belongs to these weights.")


def is_number(value: object) -> bool:
    """Whether it is a number that a float32 can hold; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(value, int):
        return abs(value) < 2**63
    return abs(value) <= 1e30 and not math.isnan(value)


def is_integer(value: object, low: int, high: int) -> bool:
    """Whether it is an integer from `low` to `high`; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _integer(low: int, high: int) -> Rule:
    return Rule(f"an integer from {low:,} to {high:,}", lambda value: is_integer(value, low, high))


def _are(values: Any, holds: Callable[[Any], bool]) -> bool:
    return isinstance(values, list) and bool(values) and all(map(holds, values))


# Gemma's largest dimension is 262,144; more would only be refused later, by the weights.
_DIMENSION = _integer(1, 10_000_000)
_COUNT = _integer(0, 10_000_000)
# Each layer is an object of its own, and is built before the weights are compared with it.
_LAYERS = _integer(1, 1000)
_WINDOW = _integer(1, 2**31 - 1)
_EVEN = Rule("an even integer", lambda value: is_integer(value, 2, 10_000_000) and value % 2 == 0)
# Beyond these, float32 has none or not their squares.
_POSITIVE = Rule("a number from 1e-30 to 1e30", lambda value: is_number(value) and value >= 1e-30)
_SCALE = Rule("a number from 0 to 1e30", lambda value: is_number(value) and value >= 0)
_FLAG = Rule("true or false", lambda value: isinstance(value, bool))
_OBJECT = Rule("an object", lambda value: isinstance(value, dict))
_TYPES = Rule(
    "a list of sliding_attention and full_attention",
    lambda value: _are(value, lambda each: each in LAYER_TYPES),
)
_ANYTHING = Rule("", lambda value: True)  # mlx-lm asks only whether it is true


def _or_null(rule: Rule) -> Rule:
    return replace(rule, null=True, wanted=f"{rule.wanted} or null")


def _required(rules: dict[str, Rule]) -> dict[str, Rule]:
    return {key: replace(rule, required=True) for key, rule in rules.items()}


_SHAPE = {
    "hidden_size": _DIMENSION,
    "num_hidden_layers": _LAYERS,
    "intermediate_size": _DIMENSION,
    "num_attention_heads": _DIMENSION,
    "head_dim": _EVEN,
    "rms_norm_eps": _POSITIVE,
    "vocab_size": _DIMENSION,
    "num_key_value_heads": _DIMENSION,
}
_GEMMA = {**_required(_SHAPE), "rope_theta": _POSITIVE, "rope_traditional": _FLAG}
_CAP = replace(
    _POSITIVE, wanted="a number from 1e-30 to 1e30: mlx-lm has no gemma2 without capping"
)
_GEMMA2 = {
    **_GEMMA,
    "attn_logit_softcapping": _CAP,
    "final_logit_softcapping": _CAP,
    "query_pre_attn_scalar": _POSITIVE,
}
_GEMMA3 = {
    **_SHAPE,
    "rope_theta": _POSITIVE,
    "rope_local_base_freq": _POSITIVE,
    "query_pre_attn_scalar": _POSITIVE,
    "sliding_window": _WINDOW,
    "sliding_window_pattern": _LAYERS,
    "rope_scaling": _or_null(_OBJECT),
}
_GEMMA3N = _required(
    {
        **_SHAPE,
        "intermediate_size": Rule(
            "an integer, or a list of one for each layer",
            lambda value: _DIMENSION.holds(value) or _are(value, _DIMENSION.holds),
        ),
        "num_kv_shared_layers": _COUNT,
        "vocab_size_per_layer_input": _DIMENSION,
        "sliding_window": _WINDOW,
        "rope_local_base_freq": _POSITIVE,
        "rope_theta": _POSITIVE,
        "final_logit_softcapping": _or_null(_POSITIVE),
        "layer_types": _TYPES,
        "activation_sparsity_pattern": _or_null(
            Rule(
                "a list of numbers from -1e30 to below 1",
                lambda value: _are(value, lambda each: is_number(each) and each < 1),
            )
        ),
        "hidden_size_per_layer_input": _DIMENSION,
        "altup_num_inputs": _integer(1, 100),
        "altup_coef_clip": _or_null(Rule("a number from -1e30 to 1e30", is_number)),
        "altup_correct_scale": _ANYTHING,
        "altup_active_idx": _integer(0, 99),
        "laurel_rank": _DIMENSION,
    }
)
_GEMMA4 = {
    **_SHAPE,
    "global_head_dim": _or_null(
        Rule("0 or an even integer", lambda value: is_integer(value, 0, 0) or _EVEN.holds(value))
    ),
    "vocab_size_per_layer_input": _ANYTHING,
    "num_global_key_value_heads": _ANYTHING,
    "num_kv_shared_layers": _COUNT,
    "hidden_size_per_layer_input": _or_null(_COUNT),
    "rope_traditional": _FLAG,
    "rope_parameters": _or_null(_OBJECT),
    "sliding_window": _WINDOW,
    "sliding_window_pattern": _ANYTHING,
    "attention_k_eq_v": _ANYTHING,
    "final_logit_softcapping": _or_null(_POSITIVE),
    "use_double_wide_mlp": _ANYTHING,
    "enable_moe_block": _ANYTHING,
    "num_experts": _ANYTHING,
    "top_k_experts": _ANYTHING,
    "moe_intermediate_size": _ANYTHING,
    "layer_types": _or_null(_TYPES),
    "tie_word_embeddings": _ANYTHING,
}
# Gemma 4's keys that mlx-lm reads only if another one is true, or (with `not`) if it is null.
_GEMMA4_IF = {
    "vocab_size_per_layer_input": ("hidden_size_per_layer_input", _DIMENSION),
    "num_global_key_value_heads": ("attention_k_eq_v", _or_null(_DIMENSION)),
    "sliding_window_pattern": ("not layer_types", _LAYERS),
    "num_experts": ("enable_moe_block", _DIMENSION),
    "top_k_experts": ("enable_moe_block", _DIMENSION),
    "moe_intermediate_size": ("enable_moe_block", _DIMENSION),
}
_BLOCKS = Rule(
    "a list with attention in it", lambda value: isinstance(value, list) and "attention" in value
)
_RECURRENT = {
    **_required({key: rule for key, rule in _SHAPE.items() if key != "head_dim"}),
    # Required, and then not used: it has one head of keys, biases in some layers, a width of 4.
    **_required(
        dict.fromkeys(
            ("num_key_value_heads", "attention_bias", "conv1d_width", "rope_theta"), _ANYTHING
        )
    ),
    **_required(
        {
            "attention_window_size": _WINDOW,
            "logits_soft_cap": _or_null(Rule("a number from -1e30 to 1e30", is_number)),
        }
    ),
    "block_types": _or_null(_BLOCKS),
    "_block_types": _ANYTHING,  # the older name, read if the other is null
    "embeddings_scale_by_sqrt_dim": _ANYTHING,
}

RULES: dict[str, dict[str, Rule]] = {
    "gemma": _GEMMA,
    "gemma2": _GEMMA2,
    "gemma3_text": _GEMMA3,
    "gemma3": _GEMMA3,
    "gemma3n": _GEMMA3N,
    "gemma4_text": _GEMMA4,
    "gemma4": _GEMMA4,
    "gemma4_unified": _GEMMA4,
    "recurrent_gemma": _RECURRENT,
}

# What mlx-lm takes for a key that is absent, as far as keys are compared with each other.
_DEFAULTS: dict[str, Values] = {
    "gemma3_text": {
        "num_hidden_layers": 26,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "sliding_window_pattern": 6,
    },
    "gemma3": {
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "sliding_window_pattern": 6,
    },
    "gemma4_text": {
        "num_hidden_layers": 35,
        "num_attention_heads": 8,
        "num_key_value_heads": 1,
        "num_kv_shared_layers": 20,
        "sliding_window_pattern": 5,
    },
}
_DEFAULTS["gemma4"] = _DEFAULTS["gemma4_unified"] = _DEFAULTS["gemma4_text"]

# The keys of a scaling of positions that must be there, by its kind, and those that may.
_SCALINGS: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": ("factor",),
    "yarn": ("factor",),
    "deepseek_yarn": ("factor",),
    "telechat3-yarn": ("factor",),
    "longrope": ("original_max_position_embeddings", "short_factor", "long_factor"),
    "proportional": (),
    "mrope": ("mrope_section",),
}
_ONE = Rule("a number from 0 to 1", lambda value: is_number(value) and 0 <= value <= 1)
_ABOVE_ONE = Rule("a number above 1, to 1e30", lambda value: is_number(value) and value > 1)
_SCALING = {
    "factor": _POSITIVE,
    "low_freq_factor": _POSITIVE,
    "high_freq_factor": _POSITIVE,
    "original_max_position_embeddings": _ABOVE_ONE,
    "beta_fast": _POSITIVE,
    "beta_slow": _POSITIVE,
    "mscale": _SCALE,
    "mscale_all_dim": _SCALE,
    "partial_rotary_factor": _ONE,
    "rope_theta": _POSITIVE,
}


def rope_type(parameters: Any) -> Any:
    """The kind of a scaling of positions; `default` is none."""
    if not isinstance(parameters, dict):
        return parameters
    return parameters.get("type") or parameters.get("rope_type", "default")


def check(values: Values, family: str, place: str = "config.json") -> None:
    """Check the values that mlx-lm builds the model from, which lie in `place`.

    Raises `GeluError`, by key and value.
    """
    for key, rule in RULES[family].items():
        if key not in values:
            if rule.required:
                message = f"{place} has no {key}, which mlx-lm needs for {family}."
                hint = "Take the config.json that belongs to these weights."
                raise GeluError("config", message, hint)
        elif not rule.accepts(values[key]):
            raise refusal(key, values[key], rule.wanted)
    _check_together({**_DEFAULTS.get(family, {}), **values}, family)
    if family in ("gemma3", "gemma3_text") and values.get("rope_scaling") is not None:
        check_scaling("rope_scaling", values["rope_scaling"], values.get("head_dim", 256))
    if family.startswith("gemma4"):
        for each in LAYER_TYPES:
            parameters = values.get("rope_parameters") or {}
            if each in parameters:
                check_scaling(f"rope_parameters.{each}", parameters[each])


def _check_together(values: Values, family: str) -> None:
    """Check the values that must fit each other."""
    heads, layers = values["num_attention_heads"], values["num_hidden_layers"]
    if family == "recurrent_gemma":
        _check_recurrent(values)
        return
    if family.startswith("gemma4"):
        _check_gemma4(values)
    if heads % values["num_key_value_heads"]:
        wanted = f"a divisor of num_attention_heads, {heads}"
        raise refusal("num_key_value_heads", values["num_key_value_heads"], wanted)
    if family in ("gemma3", "gemma3_text"):
        if values["sliding_window_pattern"] > layers:
            raise refusal(
                "sliding_window_pattern",
                values["sliding_window_pattern"],
                f"at most num_hidden_layers, {layers}: mlx-lm needs a layer with full attention",
            )
    elif "num_kv_shared_layers" in values:
        for key in ("layer_types", "intermediate_size", "activation_sparsity_pattern"):
            if isinstance(found := values.get(key), list) and len(found) < layers:
                raise refusal(key, found, f"a list of num_hidden_layers, {layers}, values")
        _check_shared_layers(values, family, layers)
    if family == "gemma3n" and values["altup_active_idx"] >= values["altup_num_inputs"]:
        raise refusal("altup_active_idx", values["altup_active_idx"], "below altup_num_inputs")


def check_scaling(key: str, scaling: Any, head_dim: int | None = None) -> None:
    """Check a scaling of positions, which `key` holds. Raises `GeluError`, by key and value."""
    if not isinstance(scaling, dict):
        raise refusal(key, scaling, "an object")
    kind = rope_type(scaling)
    if not isinstance(kind, str) or kind not in _SCALINGS:
        raise refusal(f"the rope_type of {key}", kind, f"one of {', '.join(_SCALINGS)}")
    for each in _SCALINGS[kind]:
        if each not in scaling:
            raise refusal(key, scaling, f"an object with {each}, which {kind} needs")
    for each, rule in _SCALING.items():
        if each in scaling and not rule.holds(scaling[each]):
            raise refusal(f"{key}.{each}", scaling[each], rule.wanted)
    factors = scaling.get("long_factor", 1.0)
    if not _POSITIVE.holds(factors) and not (
        _are(factors, _POSITIVE.holds) and len(factors) == (head_dim or 2 * len(factors)) // 2
    ):
        raise refusal(
            f"{key}.long_factor", factors, "a number from 1e-30 to 1e30 for each rotated pair"
        )
    sections = scaling.get("mrope_section", [1, 1, 1])
    if not isinstance(sections, list) or len(sections) != 3:
        raise refusal(f"{key}.mrope_section", sections, "a list of 3 values")


def _check_shared_layers(values: Values, family: str, layers: int) -> None:
    """The last layers take keys and values of the last layer before them of the same type."""
    shared, types = values["num_kv_shared_layers"], values.get("layer_types")
    if types is None:
        pattern = values["sliding_window_pattern"]
        types = [LAYER_TYPES[(index + 1) % pattern == 0] for index in range(layers)]
    own, needed = (
        set(types[: max(layers - shared, 0)]),
        set(types[max(layers - shared, 0) : layers]),
    )
    if family == "gemma3n":
        needed = set(LAYER_TYPES)
    if shared > layers or needed - own:
        wanted = (
            f"a number that leaves layers of each of layer_types among the first of "
            f"num_hidden_layers, {layers}"
        )
        raise refusal("num_kv_shared_layers", shared, wanted)


def _check_gemma4(values: Values) -> None:
    for key, (condition, rule) in _GEMMA4_IF.items():
        of = condition.removeprefix("not ")
        read = values.get(of) is None if condition.startswith("not ") else values.get(of)
        # Of keys that are absent, mlx-lm has defaults, but none for experts.
        missing = of == "enable_moe_block" and values.get(key) is None
        if read and (missing or (key in values and not rule.accepts(values[key]))):
            raise refusal(key, values.get(key), f"{rule.wanted}, as {of} needs it")
    if values.get("enable_moe_block") and values["top_k_experts"] > values["num_experts"]:
        raise refusal("top_k_experts", values["top_k_experts"], "at most num_experts")
    own = values.get("num_global_key_value_heads")
    if values.get("attention_k_eq_v") and own and values["num_attention_heads"] % own:
        raise refusal("num_global_key_value_heads", own, "a divisor of num_attention_heads")


def _check_recurrent(values: Values) -> None:
    heads, width = values["num_attention_heads"], values["hidden_size"]
    # The half of a head's width is rotated, in pairs.
    if width % heads or width // heads < 4 or width // heads // 2 % 2:
        wanted = f"a number of heads that divides hidden_size, {width}, into multiples of 4"
        raise refusal("num_attention_heads", heads, wanted)
    blocks = values.get("block_types")
    key = "_block_types" if blocks is None else "block_types"
    blocks = values.get(key)
    if (
        blocks is None
        or not _BLOCKS.holds(blocks)
        or blocks.index("attention") >= values["num_hidden_layers"]
    ):
        raise refusal(key, blocks, "a list with attention in one of num_hidden_layers")
