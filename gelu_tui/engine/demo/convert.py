"""The embedded demo model in the user's cache: converted once and checked at every start.

Its contents are checked once a week.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from gelu_tui.core import paths
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.models import demo
from gelu_tui.engine.demo.source import PACKAGED_SHA256, Source, Tick, packaged_source
from gelu_tui.engine.failures import Interrupted

CONVERTER_VERSION = 2  # increase it whenever the files would come out different

_REPORT_INTERVAL_S = 0.1
_LOCK_POLL_S = 0.1
_HASH_BLOCK = 1 << 17
_CHECKED_FOR_S = 7 * 24 * 3600
_TOKENIZER_BYTES = 64 << 20  # twice the size of its files, for the check of free space

_Entry = tuple[int, int, int]
"""Size, modification time in nanoseconds, and CRC-32 of a file."""


class _Manifest(msgspec.Struct, frozen=True):
    """The files of a whole folder; it is written last, before the folder gets its name."""

    source_sha256: str
    converter_version: int
    files: dict[str, _Entry]
    dtype: str = "float32"


def ensure_demo(report: Callable[[p.Progress], None], cancelled: Callable[[], bool]) -> Path:
    """Return the folder of Gemma 3 270M (base, float32), converting it first if needed.

    `report` is called at most ten times a second; `cancelled` is polled between chunks. Raises
    `GeluError` (`demo_missing`, `demo_damaged`, `disk_full`, `demo_unwritable`) and `Interrupted`.
    """
    folder = demo.folder()
    if not _is_current(folder, PACKAGED_SHA256):
        prepare(folder, PACKAGED_SHA256, packaged_source, throttled(report, cancelled))
    return folder


def throttled(report: Callable[[p.Progress], None], cancelled: Callable[[], bool]) -> Tick:
    """Return a tick that reports ten times a second and raises `Interrupted` on a cancel."""
    last_label, reported_at = "", 0.0

    def tick(label: str, done: int, total: int) -> None:
        nonlocal last_label, reported_at
        if cancelled():
            raise Interrupted
        now = time.monotonic()
        if label != last_label or now - reported_at >= _REPORT_INTERVAL_S:
            last_label, reported_at = label, now
            report(p.Progress("convert", label, done, total, "bytes"))

    return tick


def prepare(folder: Path, sha256: str, find_source: Callable[[], Source], tick: Tick) -> None:
    """Make `folder` hold the conversion of the source with this SHA-256; see `ensure_demo`.

    One process at a time; `find_source` is called only if there is something to convert.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(f".{folder.name}.lock"), tick):
            building = folder.with_name(f".{folder.name}.building")
            _remove(building)  # left by a killed conversion
            if _is_current(folder, sha256) or _is_intact(folder, sha256, tick):
                return
            source = find_source()
            _remove(folder)
            try:
                building.mkdir()
                _build(building, source, tick)
                building.rename(folder)
                _sync(folder.parent)
            finally:
                _remove(building)
    except OSError as error:
        kind, hint = "demo_unwritable", "Check that this folder can be written."
        if variable := paths.variable_of(folder):
            hint = f"Set {variable} to a folder that can be written, or unset it."
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            kind, hint = "disk_full", "Make room there and try again."
        reason = os.strerror(error.errno) if error.errno else str(error)
        message = f"The demo model could not be written to {folder.parent}: {reason}."
        raise GeluError(kind, message, hint) from None


def _recorded(folder: Path, source_sha256: str) -> dict[str, _Entry]:
    """The files of the folder's manifest; none if it is missing, garbage, or of another source."""
    try:
        manifest = msgspec.json.decode((folder / demo.MANIFEST).read_bytes(), type=_Manifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    origin = (manifest.source_sha256, manifest.converter_version)
    return manifest.files if origin == (source_sha256, CONVERTER_VERSION) else {}


def _is_current(folder: Path, source_sha256: str) -> bool:
    """Whether sizes and times are as recorded: no file is read, so a warm start costs nothing.

    Bits that rot on a disk change neither, so a check of the contents counts for a week only.
    """
    recorded = _recorded(folder, source_sha256)
    try:
        age_s = time.time() - (folder / demo.MANIFEST).stat().st_mtime
        due = age_s > _CHECKED_FOR_S and os.access(folder, os.W_OK)
        return (
            bool(recorded)
            and not due
            and all(_size_and_time(folder / name) == entry[:2] for name, entry in recorded.items())
        )
    except OSError:
        return False


def _is_intact(folder: Path, source_sha256: str, tick: Tick) -> bool:
    """Whether the contents are as recorded; then record the new times and that of this check."""
    recorded = _recorded(folder, source_sha256)
    try:
        files = _entries(folder, recorded, tick)
    except OSError:
        return False
    if not recorded or any(files[name][2] != crc for name, (_, _, crc) in recorded.items()):
        return False
    with contextlib.suppress(OSError):  # a cache that can only be read is checked each time
        _write_manifest(folder, source_sha256, files)
    return True


def is_damaged(cancelled: Callable[[], bool]) -> bool:
    """Whether the demo's contents are not as they were written; the next load converts it then.

    Raises `Interrupted`.
    """
    folder = demo.folder()
    if _is_intact(folder, PACKAGED_SHA256, throttled(lambda _: None, cancelled)):
        return False
    with contextlib.suppress(OSError):
        (folder / demo.MANIFEST).unlink(missing_ok=True)
    return True


def _entries(folder: Path, names: Iterable[str], tick: Tick) -> dict[str, _Entry]:
    """What the manifest records of these files; two are read at once."""
    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(lambda name: (name, _entry(folder / name, tick)), names))


def _entry(path: Path, tick: Tick) -> _Entry:
    """Size, time and CRC of a file.

    A CRC finds damage, not an attacker (who could write the manifest as well), and reads a gigabyte
    in a fraction of a second.
    """
    crc, (size, time_ns) = 0, _size_and_time(path)
    with path.open("rb", buffering=0) as file:
        while block := file.read(_HASH_BLOCK):
            crc = zlib.crc32(block, crc)
            tick("checking the demo model", file.tell(), size)
    return size, time_ns, crc


def _size_and_time(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _build(folder: Path, source: Source, tick: Tick) -> None:
    """Fill the new `folder` with every file, synced to the disk, and the manifest last."""
    from gelu_tui.engine.demo import tokenizer, weights  # numpy and gguf

    assembled = folder / "source.gguf"
    tick("checking the packaged model", 0, 0)
    source.assemble(assembled)
    metadata, tensors = weights.read_gguf(assembled)
    assembled.unlink()  # it stays mapped until the tensors are gone
    needed = weights.result_bytes(tensors) + _TOKENIZER_BYTES
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise GeluError(
            "disk_full",
            f"The demo model needs {needed / 1e9:.1f} GB in {folder.parent}, "
            f"where {free / 1e9:.1f} GB are free.",
            "Make room there and try again.",
        )
    weights.write_weights(tensors, folder, tick)
    _write_json(folder / "config.json", weights.config(metadata))
    _write_json(folder / "generation_config.json", weights.end_ids(metadata))
    _write_json(folder / "tokenizer_config.json", tokenizer.tokenizer_config(metadata))
    _write_json(folder / "tokenizer.json", tokenizer.tokenizer_json(metadata, tick))
    files = _entries(folder, sorted(path.name for path in folder.iterdir()), tick)
    for name in files:
        _sync(folder / name)
    _write_manifest(folder, source.sha256, files)
    _sync(folder)


def _locked(path: Path, tick: Tick) -> AbstractContextManager[object]:
    """The acquired lock, released by its context; waiting is reported and can be cancelled."""
    import filelock

    def wait() -> bool:
        tick("waiting for another gelu-tui that converts the demo model", 0, 0)
        return False

    return filelock.FileLock(path).acquire(poll_interval=_LOCK_POLL_S, cancel_check=wait)


def _write_json(path: Path, value: object) -> None:
    path.write_bytes(msgspec.json.encode(value))


def _write_manifest(folder: Path, source_sha256: str, files: dict[str, _Entry]) -> None:
    new = folder / f"{demo.MANIFEST}.new"
    _remove(new)  # not to be written through, should it be a link
    _write_json(new, _Manifest(source_sha256, CONVERTER_VERSION, files))
    _sync(new)
    new.replace(folder / demo.MANIFEST)


def _sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
