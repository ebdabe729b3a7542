"""The hub's cache on this disk, read as huggingface_hub lays it out, without importing it.

`models--ORG--NAME/refs/main` names a commit, `snapshots/COMMIT/` holds its files (mostly links),
and `blobs/` their contents, `*.incomplete` while they arrive.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "models--"
_COMMIT = re.compile(r"[0-9a-f]{40}")


def cache_dir() -> Path:
    """Where huggingface_hub keeps models: the same variables, in the same order."""
    variable = os.environ.get
    home = variable("HF_HOME", f"{variable('XDG_CACHE_HOME', '~/.cache')}/huggingface")
    legacy = variable("HUGGINGFACE_HUB_CACHE", f"{home}/hub")
    return Path(os.path.expandvars(Path(variable("HF_HUB_CACHE", legacy)).expanduser()))


@dataclass(frozen=True)
class CachedRepo:
    """One repository's folder; `snapshot` is the main branch's files, None while there are none."""

    id: str
    storage: Path
    snapshot: Path | None

    def disk_bytes(self) -> int:
        """What all of it takes on the disk, other commits and unfinished files among it."""
        return sum(map(own_size, _files(self.storage)))


def cached_repos() -> Iterator[CachedRepo]:
    """Every model repository in the cache, whole or not, by name. Raises `OSError`."""
    cache = cache_dir()
    if not cache.is_dir():
        return
    for storage in sorted(cache.iterdir()):
        organization, separator, name = storage.name.removeprefix(_PREFIX).partition("--")
        # An id without an organization is none of a Gemma, and no `--model` takes it.
        if storage.name.startswith(_PREFIX) and separator and storage.is_dir():
            yield CachedRepo(f"{organization}/{name}", storage, _snapshot(storage))


def _snapshot(storage: Path) -> Path | None:
    try:
        commit = (storage / "refs" / "main").read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    folder = storage / "snapshots" / commit
    return folder if _COMMIT.fullmatch(commit) and folder.is_dir() else None


def _files(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        yield from (Path(root, name) for name in names)


def own_size(path: Path) -> int:
    """Bytes of a file, 0 for a link and for what cannot be looked at."""
    try:
        stat = path.lstat()
    except OSError:
        return 0
    return 0 if path.is_symlink() else stat.st_size
