"""Ctrl+C where there is nothing to clean up: the process ends at once, without a traceback."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn


def end_at_once() -> None:
    """Let Ctrl+C end the process with exit code 130, instead of raising `KeyboardInterrupt`.

    Nothing changes where it is ignored, or where somebody else handles it.
    """
    _replace(signal.default_int_handler, _end)


class EndsAtOnce:
    """Ctrl+C ends the process while the block runs, which imports modules.

    Python drops some of the interrupts that come while it does, and prints their tracebacks.
    """

    def __enter__(self) -> None:
        end_at_once()

    def __exit__(self, *_: object) -> None:
        _replace(_end, signal.default_int_handler)


def _end(_: int, __: FrameType | None) -> NoReturn:
    os._exit(128 + signal.SIGINT)


def _replace(before: object, handler: signal._HANDLER) -> None:
    if signal.getsignal(signal.SIGINT) is before:
        try:
            signal.signal(signal.SIGINT, handler)
        except ValueError:  # another thread than the main one, where no interrupt is raised
            return
