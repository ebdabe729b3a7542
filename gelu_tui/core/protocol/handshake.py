"""The first line of an engine: its version, behind whatever a shell has printed before it."""

from __future__ import annotations

import re

import msgspec

from gelu_tui import __version__
from gelu_tui.core.protocol.events import Hello
from gelu_tui.core.protocol.wire import PROTOCOL_VERSION, ProtocolError, decode_event
from gelu_tui.core.safe_text import visible_line

_HELLO = re.compile(rb'\{\s*"event"\s*:\s*"hello"')
_EVENT = re.compile(rb'\s*\{\s*"event"\s*:')
_NOISE_LIMIT = 64 * 1024


class _AnyHello(msgspec.Struct):
    """What the handshake of every version has."""

    protocol: int
    versions: dict[str, str] = {}


class Handshake:
    """Takes lines until one is the handshake.

    A login shell may greet: lines that are no events are skipped, up to 64 KiB. `place` is where
    the engine is, for sentences: empty, or e.g. ` on mac`.
    """

    def __init__(self, place: str = "") -> None:
        self._place = place
        self._skipped = 0
        self.noise = ""  # the last line that was skipped and says something

    def take(self, line: bytes) -> Hello | None:
        """Return the handshake if this line ends with it. Raises `ProtocolError`."""
        if found := _HELLO.search(line):
            return self._checked(line[found.start() :])
        if _EVENT.match(line):
            raise ProtocolError("The engine did not begin with its protocol version.")
        self._skipped += len(line)
        self.noise = visible_line(line.decode("utf-8", "replace").strip())[:200] or self.noise
        if self._skipped > _NOISE_LIMIT:
            message = f"Instead of the engine{self._place} something else answers: {self.noise}."
            raise ProtocolError(message, "Look at what the shell there prints when it starts.")
        return None

    def _checked(self, line: bytes) -> Hello:
        try:
            theirs = msgspec.json.decode(line, type=_AnyHello)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            theirs = _AnyHello(PROTOCOL_VERSION)  # the whole is decoded below, and refused
        if theirs.protocol != PROTOCOL_VERSION:
            named = visible_line(theirs.versions.get("gelu_tui", ""))[:40]
            message = (
                f"The engine{self._place} speaks protocol version {theirs.protocol}"
                f"{f' (gelu-tui {named})' if named else ''}, this app {PROTOCOL_VERSION} "
                f"(gelu-tui {__version__})."
            )
            older = theirs.protocol < PROTOCOL_VERSION
            where = (self._place or " where the engine is") if older else " here"
            raise ProtocolError(message, f"Update gelu-tui{where}.")
        hello = decode_event(line)
        assert isinstance(hello, Hello)
        return hello
