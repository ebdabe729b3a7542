"""The configuration of a model folder, and the dtype that its weights get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.json_file import read_object
from gelu_tui.core.models.weights import refuse_adapter, refuse_pointer
from gelu_tui.core.safe_text import visible_line


def default_dtype(*, on_gpu: bool) -> str | None:
    """The dtype of floating weights unless the user names one; None means as stored.

    MLX's CPU backend is fast with float32 only.
    """
    return None if on_gpu else "float32"


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json of a model folder. Raises `GeluError`."""
    refuse_pointer(folder / "config.json")
    found = read_object(folder / "config.json", "not_a_model")
    if found is not None:
        return found.content
    refuse_adapter(folder)
    message = f"'{visible_line(str(folder))}' has no config.json, so it is not a model folder."
    hint = "Give the folder that holds config.json, the weights and the tokenizer."
    raise GeluError("config_missing", message, hint)
