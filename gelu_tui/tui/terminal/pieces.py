"""Bytes of a terminal, cut into text, control sequences and pastes, whatever the bytes are."""

from __future__ import annotations

import re
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from textual.constants import ESCAPE_DELAY

_PASTE_BEGINS, _PASTE_ENDS = b"\x1b[200~", b"\x1b[201~"
# A sequence that stops in its middle will not be finished by a person's keys.
_UNFINISHED_S = 1.0
# So long a silence inside a paste: its end was lost, and keys must work again.
_PASTE_SILENCE_S = 5.0
_LONGEST = 1 << 20  # bytes of one sequence; answers with the clipboard in them are long

# Alt and one of these is also how a sequence begins: only time tells.
_ALT_OR_MORE = (b"\x1b[", b"\x1bO", b"\x1b]", b"\x1bP", b"\x1b_")
_PAYLOAD = rb"(?:\][0-9]|P[01>!]|_G)[ -~\x80-\xff]*"
# ECMA-48, with what terminals do beside it: function keys of the Linux console, keypad keys, mouse
# reports of three bytes as they are, answers that are strings, and Alt with a character.
_WHOLE = re.compile(
    rb"\x1b(?:\[\[[A-E]|\[M[\x00-\xff]{3}|\[(?![M\[])[0-?]*[ -/]*[@-~]|O[0-9]?[@-~]"
    rb"|" + _PAYLOAD + rb"(?:\x07|\x1b\\)|(?![\[O\]P_])[\x00-\x1a\x1c-\x7f]"
    rb"|(?!\][0-9]|P[01>!]|_G)[\]P_](?=[\x00-\xff])"
    rb"|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})"
)
_BEGUN = re.compile(
    rb"\x1b(?:\[\[|\[M[\x00-\xff]{0,2}|\[[0-?]*[ -/]*|O[0-9]?|" + _PAYLOAD + rb"\x1b?"
    rb"|[\]P_]|[\xf0-\xf4][\x80-\xbf]{0,2}|[\xe0-\xef][\x80-\xbf]?|[\xc2-\xdf])?"
)


@dataclass(frozen=True)
class Text:
    """Characters that were typed, or sent as if they were."""

    text: str


@dataclass(frozen=True)
class Sequence:
    """Escape alone, Alt with a character, or a whole control sequence."""

    code: str


@dataclass(frozen=True)
class Pasted:
    """What stood between the brackets of a paste."""

    text: str


Piece = Text | Sequence | Pasted


class Splitter:
    """Cuts a stream of bytes; reads may end anywhere. Raises nothing.

    What is no UTF-8 becomes U+FFFD; a control sequence that is broken off is dropped.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._held = b""  # a sequence that has begun
        self._paste: bytearray | None = None
        self._heard_at = 0.0

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Yield what `data` completes."""
        self._heard_at = self._clock()
        data, self._held = self._held + data, b""
        at = 0
        while at < len(data):
            if self._paste is not None:
                at = yield from self._take_paste(data, at)
            elif data[at] != 0x1B:
                end = data.find(b"\x1b", at)
                text = self._decoder.decode(data[at : end if end >= 0 else len(data)])
                if text:
                    yield Text(text)
                at = end if end >= 0 else len(data)
            elif found := _WHOLE.match(data, at):
                yield from self._end_of_text()
                at = found.end()
                if found[0] == _PASTE_BEGINS:
                    self._paste = bytearray()
                else:
                    yield Sequence(found[0].decode("utf-8", "replace"))
            else:
                yield from self._end_of_text()
                begun = _BEGUN.match(data, at)
                assert begun is not None  # it matches Escape alone
                if begun.end() == len(data) and len(begun[0]) < _LONGEST:
                    self._held = begun[0]
                    return
                # Something came in its middle: an Escape of a string may begin the next one.
                broken = begun[0][:-1] if begun[0][1:].endswith(b"\x1b") else begun[0]
                yield from _broken_off(broken)
                at += len(broken)

    def tick(self) -> Iterator[Piece]:
        """Yield what no longer waits for more; to be called some times a second."""
        silent_s = self._clock() - self._heard_at
        if self._paste is not None:
            if silent_s >= _PASTE_SILENCE_S:
                yield self._end_paste()
        elif self._held:
            short = len(self._held) == 1 or self._held in _ALT_OR_MORE
            if silent_s >= (ESCAPE_DELAY if short else _UNFINISHED_S):
                held, self._held = self._held, b""
                yield from _broken_off(held)
        elif silent_s >= _UNFINISHED_S:
            yield from self._end_of_text()

    def _end_of_text(self) -> Iterator[Piece]:
        if text := self._decoder.decode(b"", final=True):
            yield Text(text)

    def _take_paste(self, data: bytes, at: int) -> Generator[Piece, None, int]:
        """Add to the paste; return where it ends in `data`."""
        paste = self._paste
        assert paste is not None
        known = len(paste)
        paste += data[at:]
        end = paste.find(_PASTE_ENDS, max(0, known - len(_PASTE_ENDS)))
        if end < 0:
            return len(data)
        rest = len(paste) - end - len(_PASTE_ENDS)
        del paste[end:]
        yield self._end_paste()
        return len(data) - rest

    def _end_paste(self) -> Pasted:
        paste, self._paste = self._paste or bytearray(), None
        return Pasted(paste.decode("utf-8", "replace").replace("\x00", ""))


def _broken_off(begun: bytes) -> Iterator[Piece]:
    """Yield the key that `begun` is if nothing follows; a longer one is no key."""
    if len(begun) == 1 or begun in _ALT_OR_MORE:
        yield Sequence(begun.decode())
