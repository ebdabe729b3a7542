"""Bytes of a terminal as Textual's messages: none make it raise, and later keys work."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events
from textual.message import Message

from gelu_tui.tui.terminal.terminal_input import TerminalInput
from tests.support.terminal_bytes import SEQUENCES, TERMINAL_BYTES


def keys(messages: list[Message]) -> list[tuple[str, str | None]]:
    """The keys, and what each of them types."""
    found = [message for message in messages if isinstance(message, events.Key)]
    return [(key.key, key.character if key.is_printable else None) for key in found]


def sent(*reads: bytes) -> list[Message]:
    terminal = TerminalInput()
    return [message for read in reads for message in terminal.feed(read)]


@given(TERMINAL_BYTES, st.lists(st.integers(0, 200), max_size=4))
def test_whatever_comes_the_next_keys_work(data: bytes, cuts: list[int]) -> None:
    terminal = TerminalInput()
    at = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    for begin, end in pairwise(at):
        list(terminal.feed(data[begin:end]))
    # The end of whatever has begun: a paste, a string, three bytes of a mouse report.
    list(terminal.feed(b"\x1b[201~\x1b\\\x1b[201~"))
    assert keys(list(terminal.feed(b"a\x1b[A\r"))) == [("a", "a"), ("up", None), ("enter", None)]


@given(TERMINAL_BYTES)
def test_what_comes_can_be_typed_and_saved(data: bytes) -> None:
    for message in sent(data):
        if isinstance(message, events.Paste):
            message.text.encode()
        if isinstance(message, events.Key):
            (message.character or "").encode()
        if isinstance(message, events.Resize):
            assert 0 < message.size.width <= 4096
            assert 0 < message.size.height <= 4096


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_sequence_is_the_same_wherever_it_is_cut(sequence: bytes) -> None:
    if sequence == b"\x1b[200~" or len(sequence) < 3:
        return  # goes on until its end; Escape itself
    whole = [str(message) for message in sent(sequence)]
    for cut in range(1, len(sequence)):
        assert [str(message) for message in sent(sequence[:cut], sequence[cut:])] == whole


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        # Keys with text: a command is no text
        ("103;5;103u", [("ctrl+g", None)]),
        ("103;6;71u", [("ctrl+shift+g", None)]),
        ("103;3;103u", [("alt+g", None)]),
        ("103;9;103u", [("super+g", None)]),
        ("103:71;5:1;103u", [("ctrl+g", None)]),
        ("103;69;103u", [("ctrl+g", None)]),
        ("27;5;103~", [("ctrl+g", None)]),
        ("27;2;13~", [("shift+enter", None)]),
        # what other layouts make is
        ("97;2;65u", [("A", "A")]),
        ("27;2;65~", [("A", "A")]),
        ("103;3;169u", [("copyright_sign", "©")]),
        ("113;7;64u", [("at", "@")]),
        ("0;;12371:12435:12395:12385:12399u", [(char, char) for char in "こんにちは"]),
        ("57399;129;48u", [("0", "0")]),
        # Presses, repeats and releases
        ("97;1:1u", [("a", "a")]),
        ("97;1:2u", [("a", "a")]),
        ("97;1:3u", []),
        ("1;1:1A", [("up", None)]),
        ("1;5:2A", [("ctrl+up", None)]),
        ("1;5:3A", []),
        ("3;1:1~", [("delete", None)]),
        ("13;1:1u", [("enter", None)]),
        # No characters
        ("97;1;13u", [("a", "a")]),
        ("97;1;55296u", [("a", "a")]),
        ("55296u", []),
        ("99999999999u", []),
        ("97;99999u", []),
        ("9" * 5000 + "u", []),
        ("u", []),
        ("97;1:1;2;3u", []),
        ("999z", []),
    ],
)
def test_keys(code: str, expected: list[tuple[str, str | None]]) -> None:
    assert keys(sent(f"\x1b[{code}".encode())) == expected


def test_sizes_are_believed_if_they_can_be() -> None:
    (resize,) = sent(b"\x1b[48;30;100;0;0t")
    assert isinstance(resize, events.Resize)
    assert resize.size == (100, 30)
    assert resize.pixel_size is not None and resize.pixel_size.area, "it is divided by"
    assert not sent(b"\x1b[48;99999999;99999999;1;1t")
    assert not sent(b"\x1b[48;0;0;0;0t")


def test_answers_are_counted() -> None:
    terminal = TerminalInput()
    list(terminal.feed(b"a\x1b[?2026;0$y\x1b[A\x1b[2;5R\x1b[<0;5;5M"))
    assert terminal.answers == 2
