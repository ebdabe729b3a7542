"""The wheels that carry MLX's library, one for each backend: which are installed, what is wrong.

On a Mac mlx brings its own. On Linux one is chosen with an extra, and pip installs two without a
word although they hold the same files.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import NamedTuple

from gelu_tui.core.errors import ErrorInfo

WHEELS = ("mlx-cpu", "mlx-cuda", "mlx-cuda-12", "mlx-cuda-13", "mlx-metal")


class ImportFault(NamedTuple):
    """What is wrong where importing MLX raises an error that has one of the words."""

    message: str
    hint: str
    words: tuple[str, ...]


IMPORT_FAULTS = (
    ImportFault(
        "MLX is installed without a backend, or without all of it: {reason}.",
        "Install one: pip install --force-reinstall 'mlx[cpu]', or for an NVIDIA GPU "
        "'mlx[cuda12]' or 'mlx[cuda13]'.",
        ("libmlx", "liblapack", "libblas", "libgfortran"),
    ),
    ImportFault(
        "MLX's CUDA backend lacks a library of NVIDIA's: {reason}.",
        "Install NVIDIA's driver, and the wheel with its libraries: pip install 'mlx[cuda12]' or "
        "'mlx[cuda13]'. Without an NVIDIA GPU: pip uninstall mlx-cuda-12 mlx-cuda-13, then pip "
        "install --force-reinstall 'mlx[cpu]'.",
        ("libcu", "libnv", "libnccl"),
    ),
)


def installed() -> dict[str, str]:
    """Return the version of each wheel that is installed."""
    found = {}
    for name in WHEELS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def has_cuda() -> bool:
    """Whether a CUDA wheel is installed."""
    return any(name.startswith("mlx-cuda") for name in installed())


def problems(mlx: str | None, found: Mapping[str, str]) -> list[ErrorInfo]:
    """Return what is wrong with these wheels and this version of mlx (None: not installed).

    None at all is nothing wrong: an mlx that was built here has its library itself.
    """
    wrong = []
    if len(found) > 1:
        message = (
            f"{' and '.join(found)} are installed together: they hold the same library, and the "
            "one installed last is used."
        )
        extras = " or ".join(f"'mlx[{_extra(name)}]'" for name in found)
        hint = f"Keep one: pip uninstall -y {' '.join(found)}, then pip install {extras}."
        wrong.append(ErrorInfo("backend", message, hint))
    for name, version in found.items():
        if mlx and version != mlx:
            message = f"mlx {mlx} and {name} {version} do not belong together."
            wrong.append(ErrorInfo("backend", message, f"pip install '{name}=={mlx}'"))
    return wrong


def _extra(wheel: str) -> str:
    """E.g. `cuda12` for mlx-cuda-12."""
    return wheel.removeprefix("mlx-").replace("-", "")
