"""Importing mlx-lm without transformers, and without the hub's client.

mlx-lm imports transformers for tokenizers that the engine seldom uses (`plain_tokenizer.py`).
Without that import a command reaches its first token in 0.46 of the time of a plain mlx-lm script,
with it in 0.75. So while mlx-lm is imported, empty classes replace the four that it imports from
transformers. A version of mlx-lm that needs any other name gets the real transformers, and a test
compares `TAKEN` with mlx-lm's source.

Of the hub mlx-lm takes one function, which the engine never calls (`hub.py` fetches models). What
that function needs is imported when it is called: it takes two fifths of the time in which an
engine starts and loads a small model.
"""

from __future__ import annotations

import contextlib
import importlib
import resource
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from gelu_tui.engine import device

# The classes that mlx-lm imports from transformers, by module.
TAKEN = {
    "transformers": ("AutoTokenizer", "PreTrainedTokenizer", "PreTrainedTokenizerFast"),
    "transformers.tokenization_utils_base": ("PreTrainedTokenizerBase",),
}


class _Placeholder(ModuleType):
    """A module with empty classes, which can be derived from and registered."""

    def __init__(self, name: str, classes: tuple[str, ...]) -> None:
        super().__init__(name)
        self.enough = True
        for each in classes:
            setattr(self, each, type(each, (), {"register": staticmethod(lambda *_, **__: None)}))

    def __getattr__(self, name: str) -> Any:
        self.enough = self.enough and name.startswith("__")
        raise AttributeError(name)


def import_mlx_lm() -> None:
    """Import `mlx_lm.utils` and prepare MLX, once."""
    if "mlx_lm.utils" not in sys.modules:
        with _lenient_file_limit(), _hub_when_it_is_called():
            if "transformers" in sys.modules or not _import_with_placeholders():
                importlib.import_module("mlx_lm.utils")
    device.prepare()


def complete_tokenizers() -> None:
    """Set the real classes of transformers in mlx-lm's tokenizer module."""
    from mlx_lm import tokenizer_utils

    for module, names in TAKEN.items():
        for name in names:
            setattr(tokenizer_utils, name, getattr(importlib.import_module(module), name))


def _import_with_placeholders() -> bool:
    """Import `mlx_lm.utils`; False, and nothing is imported, if it needs more than `TAKEN`."""
    placeholders = {name: _Placeholder(name, classes) for name, classes in TAKEN.items()}
    sys.modules.update(placeholders)
    try:
        importlib.import_module("mlx_lm.utils")
        complete = all(placeholder.enough for placeholder in placeholders.values())
    except (ImportError, AttributeError, TypeError, ValueError):
        complete = False
    finally:
        for name in TAKEN:
            sys.modules.pop(name, None)
    if not complete:
        for name in [name for name in sys.modules if name.split(".")[0] == "mlx_lm"]:
            del sys.modules[name]
    return complete


def _snapshot_download(*arguments: Any, **options: Any) -> Any:
    """The hub's own function, imported now."""
    return importlib.import_module("huggingface_hub._snapshot_download").snapshot_download(
        *arguments, **options
    )


@contextlib.contextmanager
def _hub_when_it_is_called() -> Iterator[None]:
    """Whoever takes the hub's `snapshot_download` gets ours, unless it is imported already."""
    names = vars(importlib.import_module("huggingface_hub"))
    original = names.setdefault("snapshot_download", _snapshot_download)
    try:
        yield
    finally:
        if original is _snapshot_download:
            names.pop("snapshot_download", None)


@contextlib.contextmanager
def _lenient_file_limit() -> Iterator[None]:
    """mlx_lm raises the limit of open files when imported, and fails where that is forbidden."""
    original = resource.setrlimit

    def lenient(*arguments: Any) -> None:
        with contextlib.suppress(ValueError, OSError):
            original(*arguments)

    resource.setrlimit = lenient
    try:
        yield
    finally:
        resource.setrlimit = original
