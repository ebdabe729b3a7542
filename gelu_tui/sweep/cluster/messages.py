"""What travels between the owner of a sweep and its workers: data of ours, as msgpack.

A message begins with the version that wrote it, so that another one is found before the rest of it
is read.
"""

from __future__ import annotations

import functools
import zlib
from importlib import metadata
from typing import Any, TypeVar

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.yardsticks import YardstickName
from gelu_tui.sweep.prompts import Prompt
from gelu_tui.sweep.teacher_forced import Forced

_T = TypeVar("_T")
_FAST = 1  # zlib's level: numbers of a run hardly shrink further


class Setup(msgspec.Struct, frozen=True):
    """What a worker's engine is to be.

    `session` is this sweep and model; `rows` limits a batch; `sharing` is the number of workers on
    the machine, which divide its cores; `topic` is where the worker tells what it does.
    """

    session: str
    model: str
    settings: RunSettings
    rows: int
    engine_command: str | tuple[str, ...] | None
    sharing: int
    topic: str


class Job(msgspec.Struct, frozen=True):
    """A prompt, and the settings with which it is run."""

    prompt: Prompt
    settings: RunSettings


class Group(msgspec.Struct, frozen=True):
    """A few prompts for one worker; without any, its model is loaded and nothing more."""

    setup: Setup
    jobs: tuple[Job, ...] = ()
    full_kl: bool = False
    yardsticks: tuple[YardstickName, ...] = ()
    streams: int = 1


class Computed(msgspec.Struct, frozen=True):
    """A finished prompt; arguments of `Desk.finished`."""

    number: int
    document: ComparisonDocument
    forced: Forced
    seconds: float


class NotRun(msgspec.Struct, frozen=True):
    """A prompt that cannot be run."""

    number: int
    error: ErrorInfo


class GroupResult(msgspec.Struct, frozen=True):
    """What became of a group; prompts that are in neither list are to run elsewhere.

    `error` is why the worker cannot go on. `at_once` is how many prompts its engine runs at once,
    0 if that is not known yet.
    """

    loaded: p.Loaded | None
    at_once: int = 0
    computed: tuple[Computed, ...] = ()
    failed: tuple[NotRun, ...] = ()
    error: ErrorInfo | None = None


class Doing(msgspec.Struct, frozen=True):
    """What a worker does now, in a clause; `lost` is what its engine died of, if it just did."""

    worker: str
    clause: str
    lost: ErrorInfo | None = None


class _Envelope(msgspec.Struct, array_like=True):
    version: str
    content: msgspec.Raw


class OtherVersion(GeluError):
    """The message was written by another version of gelu-tui."""

    def __init__(self, version: str) -> None:
        super().__init__("other_version", f"The other side has gelu-tui {version}.")
        self.version = version


@functools.cache  # each look-up reads the package's metadata
def own_version() -> str:
    """The version of this package."""
    return metadata.version("gelu-tui")


def pack(message: msgspec.Struct, version: str = "") -> bytes:
    """Return a message as bytes."""
    content = msgspec.Raw(msgspec.msgpack.encode(message))
    envelope = _Envelope(version or own_version(), content)
    return zlib.compress(msgspec.msgpack.encode(envelope), _FAST)


def unpack(data: Any, kind: type[_T]) -> _T:
    """Return the message in `data`. Raises `OtherVersion`, and `GeluError` for what is none."""
    try:
        envelope = msgspec.msgpack.decode(zlib.decompress(data), type=_Envelope)
        if envelope.version != own_version():
            raise OtherVersion(envelope.version)
        return msgspec.msgpack.decode(envelope.content, type=kind)
    except (zlib.error, TypeError, ValueError, RecursionError):
        raise GeluError("no_message", "A worker sent something else than a result.") from None
