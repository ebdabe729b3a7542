"""Keys of config.json that change the numbers and that mlx-lm does not read.

transformers 5 writes `rope_parameters`, `layer_types` and `per_layer_config` where mlx-lm reads
older keys. What can be said in mlx-lm's own keys is translated, with the meaning that transformers
gives it; what cannot is told, because mlx-lm runs such a model without it.
"""

from __future__ import annotations

from typing import Any

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.configuration_rules import (
    LAYER_TYPES,
    RULES,
    Values,
    check_scaling,
    is_integer,
    refusal,
    rope_type,
)
from gelu_tui.core.models.json_file import shown

_GEMMA3_THETA = {"rope_theta": 1_000_000.0, "rope_local_base_freq": 10_000.0}
_TASKS = (
    "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMaskedLM",
    "ForMultipleChoice",
)  # fmt: skip

_ROTATED = "partial_rotary_factor"

# The window of every released Gemma 2, which is as long as most contexts.
_GEMMA2_WINDOW = 4096


class Translation:
    """Changes `values` in place; `warnings` are the sentences for the user.

    `values` are those that describe the text model: the configuration, or its `text_config`.
    """

    def __init__(self, values: Values, family: str) -> None:
        self._values = values
        self._family = family
        self.warnings: list[str] = []

    def run(self) -> None:
        """Translate. Raises `GeluError` for a model that is not causal."""
        self._refuse_bidirectional()
        if self._family in ("gemma3", "gemma3_text"):
            self._layer_types_as_pattern()
        if self._family in ("gemma3", "gemma3_text", "gemma3n"):
            self._rope_by_layer_type()
        elif self._family in ("gemma", "gemma2", "recurrent_gemma"):
            self._rope_of_all_layers()
        else:
            self._widths_of_full_attention()
            self._warn_of_flat_rope()
        self._warn_of_what_is_not_computed()

    def _refuse_bidirectional(self) -> None:
        found = self._values.get("use_bidirectional_attention")
        # Gemma 4's `vision` concerns images only.
        if found and not (found == "vision" and self._family.startswith("gemma4")):
            raise GeluError(
                "not_causal",
                f"use_bidirectional_attention is {shown(found)} in config.json: this model makes "
                "embeddings and is no causal language model.",
                "Choose a Gemma that generates text.",
            )

    def _set(self, source: str, key: str, value: Any, own: Any) -> None:
        """Set a key of mlx-lm's from `source`; warn if mlx-lm, by itself, would take another."""
        rule = RULES[self._family][key]
        if not rule.accepts(value):
            raise refusal(source, value, rule.wanted)
        if value != self._values.get(key, own):
            self.warnings.append(
                f"{source} in config.json is obeyed, which mlx-lm itself does not read: "
                f"{key} is {shown(value)} and not {shown(self._values.get(key, own))}."
            )
        self._values[key] = value

    def _ignored(self, key: str, why: str) -> None:
        self.warnings.append(f"{key} in config.json is ignored: {why}.")

    def _layer_types_as_pattern(self) -> None:
        types = self._values.get("layer_types")
        layers = self._values.get("num_hidden_layers", 26)
        if types is None or not is_integer(layers, 1, 1000):
            return
        if types == [LAYER_TYPES[0]] * layers:
            wanted = "a list with full_attention in it, which mlx-lm needs"
            raise refusal("layer_types", types, wanted)
        configured = self._values.get("sliding_window_pattern", 6)
        for pattern in (configured, *range(1, layers + 1)):
            if is_integer(pattern, 1, 1000) and types == [
                LAYER_TYPES[(index + 1) % pattern == 0] for index in range(layers)
            ]:
                self._set("layer_types", "sliding_window_pattern", pattern, 6)
                return
        self._ignored(
            "layer_types", f"mlx-lm computes full attention in one of {shown(configured)} layers"
        )

    def _rope_by_layer_type(self) -> None:
        """Gemma 3 and 3n: full attention may be scaled, sliding attention has a base of its own."""
        found = self._values.get("rope_parameters")
        if found is None:
            return
        parameters = found if isinstance(found, dict) else {}
        if not any(isinstance(parameters.get(each), dict) for each in LAYER_TYPES):
            self._ignored("rope_parameters", f"it is {shown(found)} and names no layer type")
            return
        sliding, full = (self._entry_of(each, parameters) for each in LAYER_TYPES)
        for key, entry, of in (
            ("rope_theta", full, "full_attention"),
            ("rope_local_base_freq", sliding, "sliding_attention"),
        ):
            own = _GEMMA3_THETA[key]
            theta = entry.pop("rope_theta", self._values.get(key, own))
            self._set(f"rope_parameters.{of}.rope_theta", key, theta, own)
        if (kind := rope_type(sliding)) != "default":
            why = f"mlx-lm does not scale positions of sliding attention ({shown(kind)})"
            self._ignored("rope_parameters.sliding_attention", why)
        if rope_type(full) == "default":
            return
        # As transformers joins them: the older key goes before.
        older = self._values.get("rope_scaling")
        scaling = {**full, **(older if isinstance(older, dict) else {})}
        if self._family == "gemma3n":
            self._values["rope_scaling"] = scaling  # told of below
            return
        if scaling == full:
            check_scaling("rope_parameters.full_attention", full)
        self._set("rope_parameters.full_attention", "rope_scaling", scaling, None)

    def _entry_of(self, layer_type: str, parameters: Values) -> Values:
        """The entry of `rope_parameters` for a type of layer, empty if there is none."""
        found = parameters.get(layer_type)
        if isinstance(found, dict):
            return dict(found)
        if found is not None:
            self._ignored(f"rope_parameters.{layer_type}", f"it is {shown(found)}, not an object")
        return {}

    def _rope_of_all_layers(self) -> None:
        """Gemma, Gemma 2 and RecurrentGemma: one base for all layers, and no scaling."""
        key = "rope_scaling" if self._values.get("rope_scaling") else "rope_parameters"
        found = self._values.get(key)
        parameters = found if isinstance(found, dict) else {}
        nested = [
            parameters[each] for each in LAYER_TYPES if isinstance(parameters.get(each), dict)
        ]
        entries = nested or [parameters]
        if found is not None and not isinstance(found, dict):
            self._ignored(key, f"it is {shown(found)}, not an object")
        elif any(entry != entries[0] for entry in entries):
            why = f"mlx-lm has one rope_theta for all layers of {self._family}"
            self._ignored(key, why)
        elif "rope_theta" in entries[0]:
            self._set(f"{key}.rope_theta", "rope_theta", entries[0]["rope_theta"], 10_000.0)
        if self._family == "recurrent_gemma":
            theta = self._values.setdefault("rope_theta", 10_000.0)
            if theta != 10_000:
                why = f"it is {shown(theta)}, and mlx-lm computes recurrent_gemma with 10000"
                self._ignored("rope_theta", why)
            factor = entries[0].get(_ROTATED, self._values.get(_ROTATED, 0.5))
            if factor != 0.5:
                why = f"it is {shown(factor)}, and mlx-lm rotates half of each head"
                self._ignored(_ROTATED, why)
        kind = rope_type(entries[0])
        if kind != "default":
            self._ignored(key, f"mlx-lm does not scale positions in {self._family} ({shown(kind)})")

    def _widths_of_full_attention(self) -> None:
        """Gemma 4: heads of the layers with full attention, which transformers writes by layer."""
        overrides = self._values.get("per_layer_config")
        types = self._values.get("layer_types")
        if overrides is None or not isinstance(types, list):
            return
        full = {str(index) for index, each in enumerate(types) if each == LAYER_TYPES[1]}
        by_layer = overrides if isinstance(overrides, dict) else {}
        entries = list(by_layer.values())
        layers = {layer.lstrip("0") or "0" for layer in by_layer}  # transformers writes "05"
        known = {"head_dim": "global_head_dim", "num_key_value_heads": "num_global_key_value_heads"}
        if (
            not entries
            or layers != full
            or len(layers) != len(entries)
            or any(entry != entries[0] for entry in entries)
            or not isinstance(entries[0], dict)
            or set(entries[0]) - set(known)
        ):
            why = "mlx-lm knows other heads only for all layers with full attention"
            self._ignored("per_layer_config", why)
            return
        for key, value in entries[0].items():
            self._values.setdefault(known[key], value)

    def _warn_of_flat_rope(self) -> None:
        if rope_type(scaling := self._values.get("rope_scaling") or {}) != "default":
            why = f"it is {shown(scaling)}, and mlx-lm reads only rope_parameters in {self._family}"
            self._ignored("rope_scaling", why)
        found = self._values.get("rope_parameters")
        if isinstance(found, dict) and not set(LAYER_TYPES) & set(found):
            self._ignored("rope_parameters", f"it is {shown(found)} and names no layer type")

    def _warn_of_what_is_not_computed(self) -> None:
        values, family = self._values, self._family
        if family in ("gemma3", "gemma3_text"):
            for key in ("attn_logit_softcapping", "final_logit_softcapping"):
                if values.get(key) is not None:
                    self._ignored(key, f"it is {shown(values[key])}, and mlx-lm caps no {family}")
        if family == "gemma3n" and values.get("rope_scaling") is not None:
            kind = rope_type(values["rope_scaling"])
            if kind != "default":
                why = f"mlx-lm does not scale positions in {family} ({shown(kind)})"
                self._ignored("rope_scaling", why)
        window = values.get("sliding_window")
        if family == "gemma2" and is_integer(window, 1, _GEMMA2_WINDOW - 1):
            why = f"it is {shown(window)}, and mlx-lm computes gemma2 with full attention only"
            self._ignored("sliding_window", why)


def refuse_other_tasks(config: Values) -> None:
    """Refuse a model whose architecture is no language model. Raises `GeluError`."""
    found = config.get("architectures")
    names = [found] if isinstance(found, str) else found
    if names is None:
        return
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise refusal("architectures", found, "a list of names")
    if other := next((name for name in names if name.endswith(_TASKS)), None):
        raise GeluError(
            "not_causal",
            f"architectures names {shown(other)} in config.json: this model is no causal language "
            "model.",
            "Choose a Gemma that generates text.",
        )
