"""The memory that a model needs, against the memory that this process may use."""

from __future__ import annotations

import sys
from typing import Literal

import msgspec

from gelu_tui.core.models.memory_limits import OF_PROCESS, memory_limits

Verdict = Literal["fits", "tight", "too big"]

# Beside the weights: tokenizer, caches, logits, libraries. With the demo, 0.3 GB for 4 functions
# and 0.5 GB for 8 were measured; larger models have larger caches.
ALLOWANCE_BYTES = 1_000_000_000


class Memory(msgspec.Struct, frozen=True):
    """Bytes: all, those free now, and those that a model may take.

    `limit` names in a sentence the limit whose bytes these are; empty for those of the machine.
    """

    total_bytes: int
    free_bytes: int
    usable_bytes: int
    on_metal: bool = False
    limit: str = ""
    on_cuda: bool = False

    @property
    def on_gpu(self) -> bool:
        """Whether models run on a GPU there."""
        return self.on_metal or self.on_cuda

    def plus(self, freed_bytes: int) -> Memory:
        """The memory after a model of this size is unloaded."""
        free = min(self.total_bytes, self.free_bytes + freed_bytes)
        usable = self.usable_bytes if self.on_metal else free
        return msgspec.structs.replace(self, free_bytes=free, usable_bytes=usable)

    def reserve(self, weight_bytes: int) -> int:
        """What must be free beside weights of this size.

        Where the process itself is limited, an allocation that fails aborts it.
        """
        return min(weight_bytes, ALLOWANCE_BYTES) if self.limit in OF_PROCESS else 0

    def verdict(self, weight_bytes: int) -> Verdict:
        """Whether weights of this size and a comparison fit.

        The engine refuses to load `too big`; `tight` loads, but a long comparison may run out.
        """
        if weight_bytes + self.reserve(weight_bytes) > self.usable_bytes:
            return "too big"
        return "tight" if weight_bytes + ALLOWANCE_BYTES > self.usable_bytes else "fits"


def machine_memory() -> Memory:
    """The memory that this process may use now: the machine's, or that of the tightest limit."""
    import psutil

    found = psutil.virtual_memory()
    # Metal recommends a working set of 2/3 to 3/4 of a Mac's memory, however much is free now.
    on_metal = sys.platform == "darwin"
    usable = round(found.total * 2 / 3) if on_metal else found.available
    memory = Memory(found.total, found.available, usable, on_metal)
    for name, total, free in memory_limits():
        if free < memory.free_bytes:
            memory = Memory(min(total, found.total), free, free, limit=name)
    return memory
