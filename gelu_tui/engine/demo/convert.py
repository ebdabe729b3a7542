"""The embedded demo model in the user's cache: converted once, checked at every start."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.demo import MANIFEST
from gelu_tui.core.models.demo import folder as demo_folder
from gelu_tui.engine.demo.source import PACKAGED_SHA256, Source, Tick, assemble, packaged_source

CONVERTER_VERSION = 2  # raise it whenever the files would come out different

_REPORT_INTERVAL_S = 0.1
_LOCK_POLL_S = 0.1
_HASH_BLOCK = 1 << 17
_TOKENIZER_BYTES = 64 << 20  # twice what it takes, for the check of free space


class ConversionCancelled(Exception):
    """The user cancelled while the demo model was being prepared; nothing is left behind."""


_Entry = tuple[int, int, int]
"""Size, modification time in nanoseconds, and CRC-32 of a file."""


class _Manifest(msgspec.Struct, frozen=True):
    """What a whole folder holds; it is written last, before the folder gets its name."""

    source_sha256: str
    converter_version: int
    dtype: str
    files: dict[str, _Entry]


class _Progress:
    """Throttles reports to ten a second, and turns a cancel into `ConversionCancelled`."""

    def __init__(
        self, report: Callable[[str, int, int], None], cancelled: Callable[[], bool]
    ) -> None:
        self._report, self._cancelled = report, cancelled
        self._label, self._last = "", 0.0

    def __call__(self, label: str, done: int, total: int) -> None:
        if self._cancelled():
            raise ConversionCancelled
        now = time.monotonic()
        if label != self._label or now - self._last >= _REPORT_INTERVAL_S:
            self._label, self._last = label, now
            self._report(label, done, total)


def ensure_demo(report: Callable[[str, int, int], None], cancelled: Callable[[], bool]) -> Path:
    """Return the folder of Gemma 3 270M (base, float32), converting it first if need be.

    `report(label, done_bytes, total_bytes)` is called at most ten times a second; `cancelled()` is
    polled between chunks. Raises `GeluError` (`demo_missing`, `demo_damaged`, `disk_full`,
    `demo_unwritable`) and `ConversionCancelled`.
    """
    folder = demo_folder()
    if not _is_current(folder, PACKAGED_SHA256):
        prepare(folder, PACKAGED_SHA256, packaged_source, _Progress(report, cancelled))
    return folder


def prepare(folder: Path, sha256: str, find_source: Callable[[], Source], tick: Tick) -> None:
    """Make `folder` hold what comes of the source with this SHA-256; see `ensure_demo`.

    One process at a time; `find_source` is called only if there is something to convert.
    """
    with _disk_errors(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(f".{folder.name}.lock"), tick):
            building = folder.with_name(f".{folder.name}.building")
            _remove(building)  # a killed conversion's
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


# --- is the cache whole? ------------------------------------------------------------------------


def _read_manifest(folder: Path, source_sha256: str) -> _Manifest | None:
    """The folder's manifest, or None if it is missing, garbage, or about something else."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Manifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    expected = (source_sha256, CONVERTER_VERSION, True)
    found = (manifest.source_sha256, manifest.converter_version, bool(manifest.files))
    return manifest if found == expected else None


def _is_current(folder: Path, source_sha256: str) -> bool:
    """Whether sizes and times are as recorded: no file is read, so a warm start costs nothing."""
    manifest = _read_manifest(folder, source_sha256)
    try:
        return manifest is not None and all(
            _size_and_time(folder / name) == (size, time_ns)
            for name, (size, time_ns, _) in manifest.files.items()
        )
    except OSError:
        return False


def _is_intact(folder: Path, source_sha256: str, tick: Tick) -> bool:
    """Whether the contents are as recorded although times differ; then the manifest is renewed."""
    manifest = _read_manifest(folder, source_sha256)
    if manifest is None:
        return False
    try:
        files = _entries(folder, manifest.files, tick)
    except OSError:
        return False
    if any(files[name][2] != crc for name, (_, _, crc) in manifest.files.items()):
        return False
    _write_manifest(folder, msgspec.structs.replace(manifest, files=files))
    return True


def _entries(folder: Path, names: Iterable[str], tick: Tick) -> dict[str, _Entry]:
    """What the manifest has of these files; two are read at once."""
    with ThreadPoolExecutor(2) as pool:
        entries = pool.map(lambda name: (name, _entry(folder / name, tick)), names)
        return dict(entries)


def _entry(path: Path, tick: Tick) -> _Entry:
    """Size, time and CRC of a file.

    A CRC is to find damage, not an attacker (who could write the manifest as well), and reads a
    gigabyte in a fraction of a second.
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


# --- building -----------------------------------------------------------------------------------


def _build(folder: Path, source: Source, tick: Tick) -> None:
    """Fill the new `folder` with every file, synced to the disk, and the manifest last."""
    from gelu_tui.engine.demo import tokenizer as demo_tokenizer  # numpy and gguf
    from gelu_tui.engine.demo import weights as demo_weights

    assembled = folder / "source.gguf"
    tick("checking the packaged model", 0, 0)
    assemble(source, assembled)
    metadata, tensors = demo_weights.read_gguf(assembled)
    assembled.unlink()  # it stays mapped until the tensors are gone
    _refuse_full_disk(folder.parent, demo_weights.result_bytes(tensors))
    demo_weights.write_weights(tensors, folder, tick)
    _write_json(folder / "config.json", demo_weights.config(metadata))
    _write_json(folder / "generation_config.json", demo_weights.end_ids(metadata))
    _write_json(folder / "tokenizer_config.json", demo_tokenizer.tokenizer_config(metadata))
    _write_json(folder / "tokenizer.json", demo_tokenizer.tokenizer_json(metadata, tick))
    files = _entries(folder, sorted(path.name for path in folder.iterdir()), tick)
    for name in files:
        _sync(folder / name)
    _write_manifest(folder, _Manifest(source.sha256, CONVERTER_VERSION, demo_weights.DTYPE, files))
    _sync(folder)


def _refuse_full_disk(folder: Path, weight_bytes: int) -> None:
    needed, free = weight_bytes + _TOKENIZER_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        raise GeluError(
            "disk_full",
            f"The demo model needs {needed / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB are"
            " free.",
            "Make room there and try again.",
        )


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Turn an `OSError` of writing the cache into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            kind, hint = "disk_full", "Make room there and try again."
        else:
            kind, hint = "demo_unwritable", "See that this folder can be written."
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise GeluError(
            kind, f"The demo model could not be written to {folder}: {reason}.", hint
        ) from None


def _locked(path: Path, tick: Tick) -> AbstractContextManager[object]:
    """The acquired lock, released by its context; waiting is reported and can be cancelled."""
    import filelock

    def wait() -> bool:
        tick("waiting for another gelu-tui that converts the demo model", 0, 0)
        return False

    return filelock.FileLock(path).acquire(poll_interval=_LOCK_POLL_S, cancel_check=wait)


def _write_json(path: Path, value: object) -> None:
    path.write_bytes(msgspec.json.encode(value))


def _write_manifest(folder: Path, manifest: _Manifest) -> None:
    new = folder / f"{MANIFEST}.new"
    _write_json(new, manifest)
    _sync(new)
    new.replace(folder / MANIFEST)


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
