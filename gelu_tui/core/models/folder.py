"""The files of a model folder beside its weights: its config, and those that must be there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.json_file import read_object, read_regular
from gelu_tui.core.models.weights import refuse_adapter, refuse_pointer
from gelu_tui.core.paths import look
from gelu_tui.core.safe_text import visible_line

_TOKENIZERS = ("tokenizer.json", "tokenizer.model")


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


def check_tokenizer(folder: Path) -> None:
    """Raise `GeluError` if a folder has no tokenizer that can be read, and `OSError`."""
    files = [folder / name for name in _TOKENIZERS if look(folder / name) == "file"]
    if not files:
        where, names = visible_line(str(folder)), " nor ".join(_TOKENIZERS)
        message = f"'{where}' has no tokenizer (neither {names})."
        hint = "Finish the download, or copy the original model's tokenizer beside the weights."
        raise GeluError("tokenizer_missing", message, hint)
    refuse_pointer(files[0])
    read_regular(files[0], 0)  # raises what reading all of it would raise
