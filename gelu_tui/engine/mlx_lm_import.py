"""Importing mlx-lm without transformers.

mlx-lm imports transformers for its own tokenizers, which takes longer than the rest of a start; the
engine reads tokenizers by itself (`tokenizer.py`). So while mlx-lm is imported, empty classes stand
where it looks for transformers' classes. Afterwards whoever needs the real transformers imports it,
and whoever needs mlx-lm's own tokenizers says so by `complete_tokenizers`.
"""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from gelu_tui.engine import device

_STANDS_FOR = ("transformers", "transformers.tokenization_utils_base")


class _Placeholder(ModuleType):
    """A module whose every attribute is an empty class that can be derived from and registered."""

    __path__: list[str] = []  # noqa: RUF012 - a package, as the import system wants to see it

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"register": staticmethod(lambda *_, **__: None)})


def import_mlx_lm() -> None:
    """Import `mlx_lm.utils` and prepare MLX; nothing is done a second time."""
    if "mlx_lm.utils" not in sys.modules:
        with _lenient_file_limit():
            _import()
    device.prepare()


def complete_tokenizers() -> None:
    """Give mlx-lm's tokenizer module the classes of the real transformers."""
    import transformers
    from mlx_lm import tokenizer_utils
    from transformers.tokenization_utils_base import PreTrainedTokenizerBase

    tokenizer_utils.AutoTokenizer = transformers.AutoTokenizer
    tokenizer_utils.PreTrainedTokenizerFast = transformers.PreTrainedTokenizerFast
    tokenizer_utils.PreTrainedTokenizerBase = PreTrainedTokenizerBase


def _import() -> None:
    if "transformers" not in sys.modules:
        with contextlib.suppress(ImportError, AttributeError, TypeError), _placeholders():
            import mlx_lm.utils

            return
        # A version of mlx-lm that needs more of transformers: again, with the real one.
        for name in [name for name in sys.modules if name.split(".")[0] == "mlx_lm"]:
            del sys.modules[name]
    import mlx_lm.utils  # noqa: F401


@contextlib.contextmanager
def _placeholders() -> Iterator[None]:
    sys.modules.update({name: _Placeholder(name) for name in _STANDS_FOR})
    try:
        yield
    finally:
        for name in _STANDS_FOR:
            sys.modules.pop(name, None)


@contextlib.contextmanager
def _lenient_file_limit() -> Iterator[None]:
    """mlx_lm raises the limit of open files when imported, and fails where it must not."""
    original = resource.setrlimit

    def lenient(*arguments: Any) -> None:
        with contextlib.suppress(ValueError, OSError):
            original(*arguments)

    resource.setrlimit = lenient
    try:
        yield
    finally:
        resource.setrlimit = original
