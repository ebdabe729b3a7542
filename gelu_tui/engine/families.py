"""Where a family's activation acts."""

from __future__ import annotations

from typing import Any

from gelu_tui.core.families import Family


def layers_of(model: Any, family: Family) -> list[Any]:
    """The transformer blocks, each with its feed-forward module as `mlp`."""
    return (getattr(model, family.inner) if family.inner else model).model.layers
