"""What a measurement of layers has found so far, kept on disk so that it can go on.

A file for each text, model, functions and settings, in `layers` of the data folder: a line of JSON
for each chunk of positions, a few kilobytes each. It is deleted when the measurement is complete,
and a month after it was last written.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.paths import data_dir

_FORGOTTEN_S = 30 * 24 * 3600.0
_ROOM_BYTES = 1_000_000


def kept_folder() -> Path:
    """The folder of all that is kept."""
    return data_dir() / "layers"


class KeptLayers:
    """The chunks of one measurement. Where the disk fails, nothing is kept and nothing raised."""

    def __init__(self, of: Any) -> None:
        """`of` is all that the figures depend on; equal ones share a file."""
        key = hashlib.sha256(msgspec.json.encode(of, order="deterministic")).hexdigest()
        self.path = kept_folder() / f"{key[:32]}.jsonl"
        _forget_old()

    def can_be_kept(self) -> bool:
        """Return whether there is a folder that can be written, with room."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path.parent):
                return shutil.disk_usage(self.path.parent).free > _ROOM_BYTES
        except OSError:
            return False

    def chunks(self) -> Iterator[p.LayersChunk]:
        """Yield what is kept; a line that is not whole ends it."""
        with contextlib.suppress(OSError, GeluError):
            for line in self.path.read_bytes().splitlines(keepends=True):
                event = p.decode_event(line)
                if not line.endswith(b"\n") or not isinstance(event, p.LayersChunk):
                    return
                yield event

    def add(self, chunk: p.LayersChunk) -> None:
        """Keep one more."""
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(p.encode(chunk))

    def delete(self) -> None:
        """Keep nothing any more."""
        with contextlib.suppress(OSError):
            self.path.unlink()


def _forget_old() -> None:
    with contextlib.suppress(OSError):
        for file in kept_folder().glob("*.jsonl"):
            if time.time() - file.stat().st_mtime > _FORGOTTEN_S:
                file.unlink()
