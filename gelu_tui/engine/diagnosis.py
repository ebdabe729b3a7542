"""What MLX says of this machine, as one JSON object: `python -m gelu_tui.engine.diagnosis`.

In a process of its own, because a broken MLX may abort it.
"""

from __future__ import annotations

import json
import sys

from gelu_tui.engine import device


def diagnosis() -> dict[str, object]:
    """Return the device, whether it is a GPU, the BLAS and the memory. Raises what MLX raises."""
    import mlx.core as mx

    return {
        "device": device.device_name(),
        "on_gpu": device.on_gpu(),
        "blas": device.blas_name(),
        "free_memory_bytes": device.free_memory(),
        "computes": mx.sum(mx.ones((8, 8)) @ mx.ones((8, 8))).item() == 512,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(diagnosis()))
