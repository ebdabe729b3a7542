"""Which Gemma families are served, and which activation function mlx-lm gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gelu_tui.core.errors import GeluError


@dataclass(frozen=True)
class Family:
    """A model type of mlx-lm; `native_activation` is what mlx-lm itself computes for it.

    `inner` names the attribute that holds the text model where the family wraps one.
    """

    name: str
    native_activation: str
    inner: str | None = None


# The one list of what is served; everything else asks here.
FAMILIES = {
    family.name: family
    for family in (
        Family("gemma", "gelu"),
        Family("gemma2", "gelu_approx"),
        Family("gemma3_text", "gelu_approx"),
        Family("gemma3", "gelu_approx", inner="language_model"),
    )
}


def family_of(config: dict[str, Any]) -> Family:
    """The family that config.json names. Raises `GeluError` for anything that is not served."""
    model_type = config.get("model_type")
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    if family is None:
        named = f"is of the family '{model_type}'" if model_type else "names no family"
        raise GeluError(
            "not_served",
            f"This model {named}, which gelu-tui does not serve.",
            f"Served are {', '.join(FAMILIES)}.",
        )
    if config.get("model_file"):
        raise GeluError(
            "remote_code",
            "This model wants to run Python code of its own, which gelu-tui never does.",
            "Choose a repo with plain Gemma weights.",
        )
    return family
