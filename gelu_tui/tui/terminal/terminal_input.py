"""From bytes of a terminal to Textual's messages. No bytes make it raise."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from textual import events
from textual._xterm_parser import XTermParser
from textual.message import Message

from gelu_tui.tui.terminal.pieces import Pasted, Piece, Sequence, Splitter

# Kitty's protocol: key and its other layouts; modifiers and press, repeat or release; text.
_KEY = re.compile(
    r"\x1b\[(\d*)(?::\d*){0,2}(?:;(\d*)(?::(\d*))?(?:;([\d:]*))?)?([u~A-HPQRS])", re.ASCII
)
# xterm's modifyOtherKeys, which tmux sends too: modifiers, then the key in the place of the text.
_OTHER_KEY = re.compile(r"\x1b\[27;(\d+);(\d+)~", re.ASCII)
_RESIZED = re.compile(r"\x1b\[48;(\d+)[:\d]*;(\d+)[:\d]*;(\d+)[:\d]*;(\d+)[:\d]*t", re.ASCII)
_ANSWER = re.compile(r"\x1b\[(?:\?[\d;]*\$y|\d+;\d+R)", re.ASCII)
_SHIFT, _ALT, _CTRL = 1, 2, 4
_COMMAND = 4 | 8 | 16 | 32  # Ctrl, Super, Hyper, Meta; not the locks
_RELEASED = "3"
_MOST_CELLS = 1 << 12  # columns or rows


class _Parser(XTermParser):
    """Textual's parser, which is given whole sequences. It keeps waiting after what it does not
    know, to type it out as text in the end; so it can be begun again, or told that no more comes.
    """

    def begin_again(self) -> None:
        self._tokens.clear()
        self._gen = self.parse(self._tokens.append)
        self._awaiting = next(self._gen)
        self._timeout_time = None

    @property
    def waits(self) -> bool:
        return self._timeout_time is not None

    def no_more(self) -> Iterator[Message]:
        if self._timeout_time is not None:
            self._timeout_time = 0.0
        yield from self.tick()


class TerminalInput:
    """Yields the messages for bytes; what is not understood is dropped."""

    def __init__(self) -> None:
        self._splitter = Splitter()
        self._parser = _Parser()
        self.answers = 0  # to questions about the cursor's place or a mode

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield what `data` completes."""
        for piece in self._splitter.feed(data):
            yield from self._messages(piece)

    def tick(self) -> Iterator[Message]:
        """Yield what no longer waits for more; to be called some times a second."""
        for piece in self._splitter.tick():
            yield from self._messages(piece)

    def _messages(self, piece: Piece) -> Iterator[Message]:
        if isinstance(piece, Pasted):
            yield events.Paste(piece.text)
        elif isinstance(piece, Sequence):
            if _ANSWER.fullmatch(piece.code):
                self.answers += 1
            for code in understood(piece.code):
                yield from self._parsed(code)
        else:
            for character in piece.text:
                yield from self._parsed(character)

    def _parsed(self, code: str) -> list[Message]:
        parser = self._parser
        try:
            messages = list(parser.feed(code))
            if parser.waits:
                if len(code) <= 2:  # Escape, or Alt with a character
                    messages += parser.no_more()
                else:
                    parser.begin_again()
        except Exception:  # whatever a terminal sends, its keys work afterwards
            parser.begin_again()
            return []
        return messages


def understood(code: str) -> list[str]:
    """Return a sequence in the words that Textual understands; none for what means nothing."""
    if len(code) > 2 and code[1] in "]P_":
        return []  # an answer that is a string: another program asked
    try:
        if found := _OTHER_KEY.fullmatch(code):
            return _key(int(found[2]), int(found[1]), found[2], "u")
        if found := _RESIZED.fullmatch(code):
            return _resized(*map(int, found.groups()))
        if code.endswith("u") or (":" in code or code.count(";") > 1):
            if not (found := _KEY.fullmatch(code)):
                # Not a key, or one that Textual would fail on.
                return [] if code.endswith("u") else [code]
            key, modifiers, kind, text, end = found.groups("")
            if kind == _RELEASED:
                return []
            return _key(
                int(key or ("0" if end == "u" else "1")),
                int(modifiers or "1"),
                text if end == "u" else "",
                end,
            )
    except ValueError:  # numbers of thousands of digits
        return []
    return [code]


def _key(key: int, modifiers: int, text: str, end: str) -> list[str]:
    bits = modifiers - 1
    if not 0 <= bits < 256 or not _is_character(key):
        return []
    characters = [int(part) for part in text.split(":") if part]
    if not all(_is_character(x) and chr(x).isprintable() for x in characters):
        characters = []
    if not _is_text(key, bits, characters):
        characters = []
    if key == 0 and not characters:
        return []
    if characters:  # one by one: Textual takes a long sequence for text itself
        shift = 1 + _SHIFT if bits & _SHIFT else ""
        return [f"\x1b[{key};{shift};{character}u" for character in characters]
    pressed = f";{modifiers}" if bits & (_SHIFT | _ALT | _COMMAND) else ""
    return [f"\x1b[{key}{pressed}{end}"]


def _is_text(key: int, bits: int, characters: list[int]) -> bool:
    """Whether the text that came with a key is typed: Ctrl+G comes with a g."""
    if not bits & (_ALT | _COMMAND):
        return True
    if bits & _COMMAND and bits & (_ALT | _COMMAND) != _ALT | _CTRL:
        return False
    # Option on a Mac and AltGr, which some report as Ctrl and Alt, make another character.
    return [chr(x).casefold() for x in characters] != [chr(key).casefold()]


def _is_character(number: int) -> bool:
    return number <= 0x10FFFF and unicodedata.category(chr(number)) != "Cs"


def _resized(rows: int, columns: int, height: int, width: int) -> list[str]:
    if not (0 < rows <= _MOST_CELLS and 0 < columns <= _MOST_CELLS):
        return []
    # Some report no pixels. Textual divides by them: one for each cell is what the mouse says then.
    return [f"\x1b[48;{rows};{columns};{height or rows};{width or columns}t"]
