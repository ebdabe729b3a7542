"""Messages as lines of JSON."""

from __future__ import annotations

import functools
import json
import operator
import re
from typing import TypeVar

import msgspec

from gelu_tui.core.errors import GeluError
from gelu_tui.core.protocol import lab_events  # noqa: F401  its messages are decoded too
from gelu_tui.core.protocol.commands import Command
from gelu_tui.core.protocol.events import Event

PROTOCOL_VERSION = 3

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")  # inside strings only

_T = TypeVar("_T")


def _decoder(base: type[_T]) -> msgspec.json.Decoder[_T]:
    """Return a decoder of a class of messages."""
    return msgspec.json.Decoder(functools.reduce(operator.or_, messages_of(base)))


def messages_of(base: type[_T]) -> list[type[_T]]:
    """Return the subclasses of a class of messages that have none of their own."""
    below = [message for kind in base.__subclasses__() for message in messages_of(kind)]
    return below or [base]


_command_decoder = _decoder(Command)
_event_decoder = _decoder(Event)


class ProtocolError(GeluError):
    """A line that the protocol does not allow."""

    def __init__(self, message: str, hint: str = "") -> None:
        hint = hint or "Use the same version of gelu-tui on both sides; see the engine log."
        super().__init__("protocol", message, hint)


def encode(message: Command | Event) -> bytes:
    """Return `message` as one JSON line, newline included; invalid UTF-8 in it becomes `?`."""
    try:
        return msgspec.json.encode(message) + b"\n"
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(message), ensure_ascii=False)
        return text.encode("utf-8", "replace") + b"\n"


def encode_ascii(message: Command | Event) -> bytes:
    """Return `message` as `encode` does, with ASCII characters only."""
    text = encode(message).decode()
    return _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text).encode()


def _decode(decoder: msgspec.json.Decoder[_T], line: bytes, what: str) -> _T:
    try:
        return decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        shown = line[:60].decode("utf-8", "replace").strip()
        raise ProtocolError(f"The {what} sent a line it should not: {error} ({shown!r}).") from None


def decode_command(line: bytes) -> Command:
    """Parse and validate one command line. Raises `ProtocolError`."""
    return _decode(_command_decoder, line, "app")


def decode_event(line: bytes) -> Event:
    """Parse and validate one event line. Raises `ProtocolError`."""
    return _decode(_event_decoder, line, "engine")
