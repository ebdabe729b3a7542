"""What this machine computes on: device, BLAS library, memory, chunk sizes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# Nothing more: what is imported before the restart with another BLAS is imported twice.
from gelu_tui.core.models.memory_limits import process_limits

if TYPE_CHECKING:
    from gelu_tui.core.models.memory import Memory

_CHOSEN = "GELU_TUI_BLAS"
_PRELOADED = "GELU_TUI_BLAS_PRELOADED"

# Of address space. Measured with a tiny model: it runs within 350 MB, and within 1.2 GB with
# OpenBLAS on two cores.
_LIBRARIES_BYTES = 400_000_000
_BLAS_BYTES = 2_000_000_000
_BLAS_BYTES_OF_A_CORE = 256_000_000

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
    if sys.platform != "linux" or chosen == "off" or not _room_for_blas():
        return None
    if chosen:
        return chosen if Path(chosen).is_file() else None
    found = (path for pattern in _BLAS_PATTERNS for path in sorted(Path("/").glob(pattern)))
    return next(map(str, found), None)


def _room_for_blas() -> bool:
    """Whether the limits of this process leave room for OpenBLAS.

    It reserves memory for every core when it first computes, and tries for ever if it gets none.
    """
    enough = _BLAS_BYTES + (os.cpu_count() or 1) * _BLAS_BYTES_OF_A_CORE
    return all(limit.free_bytes >= enough for limit in process_limits())


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


def prefer_full_float32() -> None:
    """Switch TF32 off unless the user's MLX_ENABLE_TF32 says otherwise; call before MLX computes.

    GPUs that have it multiply float32 with 10 bits of mantissa by default: more rounding than the
    difference that a replay in float32 is to judge.
    """
    os.environ.setdefault("MLX_ENABLE_TF32", "0")


def on_gpu() -> bool:
    """Whether MLX computes on a GPU: a Mac's, or NVIDIA's with CUDA.

    Both get what mlx-lm itself does on either: weights in their own dtype, prefill in chunks of
    2048 tokens, the next step started before the present one is read, and functions compiled, as
    those of `mlx.nn` are. None of it was measured with CUDA. What needs Metal asks for it.
    """
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

    limit = on_gpu() and mx.device_info().get("max_recommended_working_set_size")
    if limit:  # unified memory: what Metal recommends, whatever the file cache holds now
        return int(limit) - mx.get_active_memory()
    from gelu_tui.core.models.memory import machine_memory

    # CUDA moves to the machine's memory what does not fit into the GPU's: slow, but it runs.
    gpu = on_gpu() and mx.device_info().get("free_memory")
    return machine_memory().free_bytes + int(gpu or 0)


def memory() -> Memory:
    """The memory in which a model is fast: the NVIDIA GPU's own, else the machine's."""
    from gelu_tui.core import backends
    from gelu_tui.core.models.memory import Memory, machine_memory

    if backends.has_cuda() and on_gpu():  # MLX is imported only to ask a GPU
        import mlx.core as mx

        found = mx.device_info()
        free = int(found["free_memory"])
        return Memory(int(found["total_memory"]), free, free, on_cuda=True)
    return machine_memory()


def check_room() -> None:
    """Raise `GeluError` where a limit leaves too little memory to import MLX.

    Such an import may also abort the process, or blame the installation.
    """
    from gelu_tui.core.errors import GeluError
    from gelu_tui.core.models.memory import machine_memory

    memory = machine_memory()
    if memory.limit and "mlx.core" not in sys.modules and memory.free_bytes < _LIBRARIES_BYTES:
        raise GeluError(
            "memory",
            f"MLX and its libraries need {_LIBRARIES_BYTES / 1e6:.0f} MB of memory, and "
            f"{memory.free_bytes / 1e6:.0f} MB are free under {memory.limit}.",
            "Raise that limit.",
        )


def prefill_chunk(dtype: str = "float32") -> int:
    """Prompt tokens in one forward pass of a model of this dtype.

    On a GPU mlx-lm's own 2048. On a CPU a chunk takes seconds, and a cancel waits for it: small,
    and smaller still without a real BLAS, which computes in float32 only.
    """
    if on_gpu():
        return 2048
    return 256 if os.environ.get(_PRELOADED) and dtype == "float32" else 16


def compile_on_gpu_only() -> None:
    """Let functions be computed operation by operation on a CPU.

    Compiling calls a C++ compiler at run time there, 1 to 3.5 s for each function; same bits.
    """
    import mlx.core as mx

    if not on_gpu():
        mx.disable_compile()


def prepare() -> None:
    """Set MLX up for this process; call once, on the main thread, before any computation."""
    import mlx.core as mx
    import numpy as np

    if on_gpu():
        from mlx_lm.utils import maybe_set_recommended_wired_limit

        # As mlx-lm does while it generates: large models stay in memory.
        maybe_set_recommended_wired_limit()
    else:
        compile_on_gpu_only()
        if any(process_limits()):
            # Both BLAS libraries reserve their memory now, before weights take what there is.
            square = mx.ones((512, 512))
            mx.eval(square @ square)
            _ = np.array(square) @ np.array(square)
