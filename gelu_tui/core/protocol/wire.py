"""Messages as lines of JSON."""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec

from gelu_tui.core.errors import GeluError
from gelu_tui.core.protocol.commands import AnyCommand
from gelu_tui.core.protocol.events import AnyEvent

PROTOCOL_VERSION = 2

_T = TypeVar("_T")

_encoder = msgspec.json.Encoder()
_command_decoder: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)
_event_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


class ProtocolError(GeluError):
    """A line that is not what the protocol allows."""

    def __init__(self, message: str) -> None:
        super().__init__(
            "protocol",
            message,
            "Use the same version of gelu-tui on both sides; see the engine log.",
        )


def encode(message: AnyCommand | AnyEvent) -> bytes:
    """Return `message` as one JSON line, newline included.

    What is not valid UTF-8 (a path given on the command line may not be) arrives with `?` in it.
    """
    try:
        return _encoder.encode(message) + b"\n"
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(message), ensure_ascii=False)
        return text.encode("utf-8", "replace") + b"\n"


def _decode(decoder: msgspec.json.Decoder[_T], line: bytes, what: str) -> _T:
    try:
        return decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        shown = line[:60].decode("utf-8", "replace").strip()
        raise ProtocolError(f"The {what} sent a line it should not: {error} ({shown!r}).") from None


def decode_command(line: bytes) -> AnyCommand:
    """Parse and validate one command line. Raises `ProtocolError`."""
    return _decode(_command_decoder, line, "app")


def decode_event(line: bytes) -> AnyEvent:
    """Parse and validate one event line. Raises `ProtocolError`."""
    return _decode(_event_decoder, line, "engine")
