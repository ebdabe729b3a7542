"""The Gemma families that are supported, the activation function mlx-lm uses in them, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.json_file import shown


@dataclass(frozen=True)
class Family:
    """A model type of mlx-lm; `native_activation` is the function that mlx-lm itself uses in it.

    `sites` are the places that the family's configuration calls its hidden activation; they are
    swapped together. Not every model of a family has all of them. `context_length` is mlx-lm's own
    where a configuration names none, in tokens; `nested` means that the text model's configuration
    lies in `text_config`.
    """

    name: str
    native_activation: str
    sites: tuple[str, ...] = ("feed-forward",)
    context_length: int = 8192
    nested: bool = False


_GATED = ("feed-forward", "per-layer gate")
FAMILIES = {
    family.name: family
    for family in (
        Family("gemma", "gelu"),
        Family("gemma2", "gelu_approx"),
        Family("gemma3_text", "gelu_approx", context_length=32768),
        Family("gemma3", "gelu_approx", context_length=32768, nested=True),
        Family("gemma3n", "gelu_approx", ("sparse feed-forward", *_GATED), 32768, nested=True),
        Family("gemma4_text", "gelu_approx", (*_GATED, "experts"), 131072),
        Family("gemma4", "gelu_approx", (*_GATED, "experts"), 131072, nested=True),
        Family("gemma4_unified", "gelu_approx", (*_GATED, "experts"), 131072, nested=True),
        Family("recurrent_gemma", "gelu_approx", ("feed-forward", "recurrent block")),
    )
}


def family_of(config: dict[str, Any]) -> Family:
    """The family that config.json names. Raises `GeluError` if it is not supported."""
    model_type = config.get("model_type")
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    if family is None:
        message = f"model_type is {shown(model_type)} in config.json, not the name of a family."
        if isinstance(model_type, str) and model_type:
            named = shown(model_type)[1:].removesuffix('"')
            message = f"This model is of the family '{named}', which gelu-tui does not serve."
        elif model_type is None:
            message = "config.json has no model_type, which names the family of a model."
        raise GeluError("not_served", message, f"Served are {', '.join(FAMILIES)}.")
    if config.get("model_file"):
        message = "This model wants to run Python code of its own, which gelu-tui never does."
        raise GeluError("remote_code", message, "Choose a repo with plain Gemma weights.")
    return family
