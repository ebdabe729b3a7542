"""Memory is the least of the machine's and of every limit that a process is under."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.core.models import memory
from gelu_tui.core.models.memory_limits import (
    ADDRESS_SPACE,
    CONTROL_GROUP,
    DATA,
    MemoryLimit,
    control_group_limits,
)

MB = 1_000_000
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits are read on Linux")


def group(folder: Path, version: int, limit: object, used: int = 0, reclaimable: int = 0) -> None:
    """Write what a control group says of itself."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {reclaimable}\nodd line here\n")


def limits(tmp_path: Path, groups: str) -> list[MemoryLimit]:
    (tmp_path / "groups").write_text(groups)
    return list(control_group_limits(tmp_path / "groups", tmp_path / "mounted"))


def test_version_2_up_to_the_root(tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    group(mounted / "a" / "b", 2, 900 * MB, used=500 * MB, reclaimable=200 * MB)
    group(mounted / "a", 2, "max", used=600 * MB)
    group(mounted, 2, 700 * MB, used=650 * MB)
    assert limits(tmp_path, "0::/a/b\n") == [
        (CONTROL_GROUP, 900 * MB, 600 * MB),
        (CONTROL_GROUP, 700 * MB, 50 * MB),
    ]


def test_version_1_beside_other_controllers(tmp_path: Path) -> None:
    mounted = tmp_path / "mounted" / "memory"
    group(mounted / "jobs", 1, 900 * MB, used=300 * MB, reclaimable=100 * MB)
    group(mounted, 1, 9223372036854771712, used=600 * MB)
    text = "9:name=systemd:/\n4:cpu,memory:/jobs\n0::/\n"
    assert limits(tmp_path, text) == [(CONTROL_GROUP, 900 * MB, 700 * MB)]


def test_a_container_that_does_not_see_the_hosts_path(tmp_path: Path) -> None:
    group(tmp_path / "mounted" / "memory", 1, 900 * MB, used=300 * MB)
    path = "/docker/0123/../.."
    assert limits(tmp_path, f"4:memory:{path}\n") == [(CONTROL_GROUP, 900 * MB, 600 * MB)]


@given(st.text(max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_files_that_make_no_sense_are_no_limit(groups: str, limit: str, used: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mounted").mkdir()
        (folder / "mounted" / "memory.max").write_text(limit, "utf-8", newline="")
        (folder / "mounted" / "memory.current").write_text(used, "utf-8", newline="")
        (folder / "groups").write_text(f"0::/x\n{groups}", "utf-8", newline="")
        for found in control_group_limits(folder / "groups", folder / "mounted"):
            assert 0 <= found.free_bytes <= found.total_bytes


@given(st.lists(st.tuples(st.integers(0, 10**13), st.integers(0, 10**13)), max_size=4))
def test_the_tightest_limit_is_the_memory(found: list[tuple[int, int]]) -> None:
    limits = [MemoryLimit(str(i), max(pair), min(pair)) for i, pair in enumerate(found)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "memory_limits", lambda: iter(limits))
        seen = memory.machine_memory()
    least = min((limit.free_bytes for limit in limits), default=10**15)
    assert seen.free_bytes <= least
    assert seen.usable_bytes <= seen.total_bytes
    if seen.limit:
        assert seen.free_bytes == limits[int(seen.limit)].free_bytes == least


@pytest.mark.parametrize("limit", [ADDRESS_SPACE, DATA])
def test_a_limit_of_the_process_must_hold_a_run_too(limit: str) -> None:
    def of(megabytes: int, limit: str) -> memory.Memory:
        return memory.Memory(9000 * MB, megabytes * MB, megabytes * MB, limit=limit)

    assert of(1900, limit).verdict(1000 * MB) == "too big"
    assert of(1900, CONTROL_GROUP).verdict(1000 * MB) == "tight"
    assert of(2100, limit).verdict(1000 * MB) == "fits"
    assert of(400, limit).verdict(1 * MB) == "tight"


READ = """
import json, resource, sys
from gelu_tui.core.models.memory import machine_memory
kind, limit = getattr(resource, sys.argv[1]), int(sys.argv[2])
resource.setrlimit(kind, (limit, limit))
found = machine_memory()
print(json.dumps([found.limit, found.total_bytes, found.usable_bytes]))
"""


@linux
@pytest.mark.parametrize(("kind", "name"), [("RLIMIT_AS", ADDRESS_SPACE), ("RLIMIT_DATA", DATA)])
def test_limits_of_the_process(kind: str, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ, kind, str(600 * MB)], capture_output=True, check=True
    )
    limit, total, usable = json.loads(done.stdout)
    assert (limit, total) == (name, 600 * MB)
    assert 0 < usable < 600 * MB, "what the process holds counts"
