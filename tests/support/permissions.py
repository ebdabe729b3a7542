"""Paths that may not be looked into, for root too; and looks that fail with any error."""

from __future__ import annotations

import builtins
import ctypes
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

_VERSION_3 = 0x20080522
_OVERRIDES = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, by which root may read everything


@contextmanager
def closed(*paths: Path) -> Iterator[None]:
    """Take all permissions from the paths while the block runs, and root's power to ignore that.

    Skips the test where root keeps this power.
    """
    modes = [path.stat().st_mode & 0o7777 for path in paths]
    with _without_overrides() if os.geteuid() == 0 else nullcontext():
        for path in paths:
            path.chmod(0)
        try:
            yield
        finally:
            for path, mode in zip(reversed(paths), reversed(modes), strict=True):
                path.chmod(mode)


@contextmanager
def _without_overrides() -> Iterator[None]:
    """Root without two of its capabilities, in this thread and in those that it starts (Linux)."""
    if sys.platform != "linux":
        pytest.skip("permissions do not stop root here")
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice, for 64 bits
    if libc.capget(header, sets) != 0:
        pytest.skip("root's capabilities cannot be read here")
    effective = sets[0]
    sets[0] &= ~_OVERRIDES
    if libc.capset(header, sets) != 0:
        pytest.skip("root keeps its capabilities here")
    try:
        yield
    finally:
        sets[0] = effective
        libc.capset(header, sets)


@contextmanager
def failing(place: Path, number: int) -> Iterator[None]:
    """Let every look at a path, and at what is below it, fail with the error of this number."""
    with pytest.MonkeyPatch.context() as patch:

        def guard(real: object) -> object:
            def guarded(path: object = ".", *args: object, **kwargs: object) -> object:
                with suppress(TypeError):  # a descriptor
                    name = str(Path(os.fsdecode(path)).absolute())  # type: ignore[arg-type]
                    if name == str(place) or name.startswith(f"{place}{os.sep}"):
                        raise OSError(number, os.strerror(number), os.fspath(path))  # type: ignore[call-overload]
                return real(path, *args, **kwargs)  # type: ignore[operator]

            return guarded

        for module, name in (
            (os, "stat"), (os, "lstat"), (os, "listdir"), (os, "scandir"), (os, "open"),
            (io, "open"), (builtins, "open"),
        ):  # fmt: skip
            patch.setattr(module, name, guard(getattr(module, name)))
        yield
