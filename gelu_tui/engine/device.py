"""What this machine computes on: device, BLAS library, memory, chunk sizes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_CHOSEN = "GELU_TUI_BLAS"
_PRELOADED = "GELU_TUI_BLAS_PRELOADED"

# Drop-in BLAS builds with the CBLAS interface, as distributions name them.
_BLAS_PATTERNS = (
    "usr/lib/*/openblas-pthread/libblas.so.3",
    "usr/lib/*/openblas-openmp/libblas.so.3",
    "usr/lib64/libopenblasp.so.0",
    "usr/lib64/libopenblas.so.0",
    "usr/lib/libopenblas.so.0",
    "usr/lib/*/libopenblas.so.0",
)


def find_blas() -> str | None:
    """Path of a real BLAS library for MLX's CPU backend on Linux, if there is one.

    The environment variable GELU_TUI_BLAS names another file, or `off`.
    """
    chosen = os.environ.get(_CHOSEN, "")
    if sys.platform != "linux" or chosen == "off":
        return None
    if chosen:
        return chosen if Path(chosen).is_file() else None
    found = (path for pattern in _BLAS_PATTERNS for path in sorted(Path("/").glob(pattern)))
    return next(map(str, found), None)


def restart_with_blas() -> None:
    """Restart the engine's process with a real BLAS in front of the wheel's own.

    MLX's Linux wheel carries the reference BLAS, 2 to 10 times slower; the dynamic linker lets a
    preloaded library answer instead. Returns when there is nothing to do.
    """
    blas = find_blas()
    if blas is None or _PRELOADED in os.environ:
        return
    preload = ":".join(filter(None, (blas, os.environ.get("LD_PRELOAD"))))
    command = [sys.executable, "-P", "-m", "gelu_tui.engine", *sys.argv[1:]]
    os.execve(sys.executable, command, {**os.environ, "LD_PRELOAD": preload, _PRELOADED: blas})


def forget_preload() -> None:
    """Keep the preloaded library out of the environment of processes started from here."""
    if blas := os.environ.get(_PRELOADED):
        parts = os.environ.pop("LD_PRELOAD", "").split(":")
        if rest := ":".join(part for part in parts if part not in ("", blas)):
            os.environ["LD_PRELOAD"] = rest


def on_gpu() -> bool:
    """Whether MLX computes on a GPU."""
    import mlx.core as mx

    return mx.default_device() == mx.gpu


def device_name() -> str:
    """The device as MLX names it."""
    import mlx.core as mx

    return str(mx.device_info().get("device_name") or mx.default_device())


def blas_name() -> str | None:
    """The BLAS in use on a CPU backend, None on a GPU."""
    if on_gpu():
        return None
    chosen = os.environ.get(_CHOSEN, "")
    ignored = f" ({_CHOSEN} names no file)" if chosen not in ("", "off") else ""
    return os.environ.get(_PRELOADED) or f"bundled with MLX{ignored}"


def free_memory() -> int:
    """Bytes that a model may use now."""
    import mlx.core as mx
    import psutil

    limit = on_gpu() and mx.device_info().get("max_recommended_working_set_size")
    if limit:  # unified memory: what Metal recommends, whatever the file cache holds now
        return int(limit) - mx.get_active_memory()
    return int(psutil.virtual_memory().available)


def prefill_chunk(dtype: str = "float32") -> int:
    """Prompt tokens in one forward pass of a model of this dtype.

    On a GPU mlx-lm's own 2048. On a CPU a chunk takes seconds, and a cancel waits for it: small,
    and smaller still without a real BLAS, which computes in float32 only.
    """
    if on_gpu():
        return 2048
    return 256 if os.environ.get(_PRELOADED) and dtype == "float32" else 16


def prepare() -> None:
    """Set MLX up for this process; call once, on the main thread, before any computation."""
    import mlx.core as mx

    if on_gpu():
        from mlx_lm.utils import maybe_set_recommended_wired_limit

        # As mlx-lm does while it generates: large models stay in memory.
        maybe_set_recommended_wired_limit()
    else:
        # Compiling calls a C++ compiler at run time, 1 to 3.5 s for each function; same bits.
        mx.disable_compile()
