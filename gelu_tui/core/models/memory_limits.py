"""Limits of memory below that of the machine: control groups and those of the process (Linux)."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_UNLIMITED = 1 << 60  # version 1 writes a number near 2**63 for no limit

# What each version of control groups calls its files and what can be given back of the usage.
_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")

CONTROL_GROUP = "the limit of its control group"
ADDRESS_SPACE = "the limit of address space (ulimit -v)"
DATA = "the limit of data (ulimit -d)"
OF_PROCESS = (ADDRESS_SPACE, DATA)


class MemoryLimit(NamedTuple):
    """One limit: its name in a sentence, its bytes, and how many of them are free."""

    name: str
    total_bytes: int
    free_bytes: int


def memory_limits() -> Iterator[MemoryLimit]:
    """Yield the limits that this process is under; none elsewhere than on Linux."""
    if sys.platform == "linux":
        yield from process_limits()
        yield from control_group_limits()


def process_limits() -> Iterator[MemoryLimit]:
    """Yield the limits of this process itself."""
    used = _numbers(Path("/proc/self/status"), scale=1024)
    for name, number, key in (
        (ADDRESS_SPACE, resource.RLIMIT_AS, "VmSize:"),
        (DATA, resource.RLIMIT_DATA, "VmData:"),
    ):
        limit, _ = resource.getrlimit(number)
        if limit != resource.RLIM_INFINITY:
            yield MemoryLimit(name, limit, max(0, limit - used.get(key, 0)))


def control_group_limits(
    groups: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")
) -> Iterator[MemoryLimit]:
    """Yield the limits of this process's control groups and of those above them."""
    for line in _text(groups).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            root, names = mounted, _V2
        elif "memory" in controllers.split(","):
            root, names = mounted / "memory", _V1
        else:
            continue
        # In a container the path may be the host's, but the root of the mount is the container's.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            if (found := _of_group(root.joinpath(*parts[:depth]), *names)) is not None:
                yield found


def _of_group(folder: Path, limit: str, usage: str, reclaimable: str) -> MemoryLimit | None:
    total, used = (_text(folder / name).strip() for name in (limit, usage))
    if not total.isdecimal() or int(total) >= _UNLIMITED:
        return None
    # Pages of files that nobody used lately make room by themselves.
    kept = int(used) if used.isdecimal() else 0
    kept -= _numbers(folder / "memory.stat").get(reclaimable, 0)
    return MemoryLimit(CONTROL_GROUP, int(total), max(0, int(total) - max(0, kept)))


def _numbers(file: Path, scale: int = 1) -> dict[str, int]:
    """The lines of a file that hold a word and a number."""
    lines = (line.split() for line in _text(file).splitlines())
    return {x[0]: int(x[1]) * scale for x in lines if len(x) > 1 and x[1].isdecimal()}


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""
