"""Files of our own: written whole or not at all, never through a link; told by their schema."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

import msgspec


class _Head(msgspec.Struct):
    schema: str = ""


def schema_of(data: bytes) -> str:
    """Return the schema of our JSON documents, as `gelu-tui.score/1`; "" of anything else."""
    try:
        schema = msgspec.json.decode(data, type=_Head).schema
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return schema if schema.startswith("gelu-tui.") else ""


def encoded(text: str) -> bytes:
    """Any text as UTF-8, a lone surrogate as a question mark."""
    return text.encode("utf-8", errors="replace")


def replace_file(path: Path, content: str | Iterable[bytes], *, mode: int = 0o666) -> None:
    """Write a file through a new one beside it, which takes its place when it is whole.

    A link at `path` is replaced, what it leads to is not touched. `mode` is reduced by the umask.
    Raises `OSError`, also where something else than a file or a link is at `path`.
    """
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISLNK(found.st_mode):
            raise _no_file(path)
    new = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.partial")
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
    try:
        with new.open("wb") as file:
            file.writelines((encoded(content),) if isinstance(content, str) else content)
        new.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise


def open_log(path: Path) -> int:
    """A descriptor that appends to a log that only its owner can read.

    Raises `OSError`, also where a link or something else than a file is at `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # O_NONBLOCK: a pipe that nobody reads must not hold up the start.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _no_file(path)
    return descriptor


def _no_file(path: Path) -> OSError:
    return OSError(errno.EINVAL, "it is not a file", str(path))
