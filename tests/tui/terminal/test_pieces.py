"""Bytes of a terminal, cut into pieces: the same ones wherever the reads end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.tui.terminal.pieces import Pasted, Piece, Sequence, Splitter, Text
from tests.support.terminal_bytes import TERMINAL_BYTES


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def joined(pieces: list[Piece]) -> list[Piece]:
    """Texts that follow each other as one, for reads may end between them."""
    found: list[Piece] = []
    for piece in pieces:
        if found and isinstance(piece, Text) and isinstance(found[-1], Text):
            piece = Text(found.pop().text + piece.text)
        found.append(piece)
    return found


def pieces_of(*reads: bytes) -> list[Piece]:
    """The pieces of these reads, and of ten silent seconds after them."""
    clock = Clock()
    splitter = Splitter(clock)
    found = [piece for read in reads for piece in splitter.feed(read)]
    clock.now += 10
    return joined([*found, *splitter.tick(), *splitter.tick()])


@given(TERMINAL_BYTES, st.data())
def test_where_a_read_ends_changes_nothing(sent: bytes, data: st.DataObject) -> None:
    whole = pieces_of(sent)
    at = data.draw(st.integers(0, len(sent)))
    assert pieces_of(sent[:at], sent[at:]) == whole
    assert pieces_of(*(sent[i : i + 1] for i in range(len(sent)))) == whole


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_a_paste_is_text_in_order_whatever_is_in_it(before: bytes, pasted: bytes) -> None:
    pasted = pasted.replace(b"\x1b[201~", b"")
    text = pasted.decode("utf-8", "replace").replace("\x00", "")
    sent = b"\x1b[200~" + pasted + b"\x1b[201~after"
    assert pieces_of(sent) == [Pasted(text), Text("after")]
    every = pieces_of(before, b"\x18\x1b\\", sent)  # whatever has begun ends before
    assert every[-2:] == [Pasted(text), Text("after")] or b"\x1b[200~" in before


@given(TERMINAL_BYTES)
def test_after_a_silence_keys_work(sent: bytes) -> None:
    clock = Clock()
    splitter = Splitter(clock)
    list(splitter.feed(sent))
    clock.now += 10
    list(splitter.tick())
    assert list(splitter.feed(b"a\x1b[A\r")) == [Text("a"), Sequence("\x1b[A"), Text("\r")]


@given(st.text(st.characters(exclude_characters="\x1b", exclude_categories=["Cs"])))
def test_text_is_kept(text: str) -> None:
    assert pieces_of(text.encode()) == ([Text(text)] if text else [])


@pytest.mark.parametrize(
    ("sent", "pieces"),
    [
        (b"\xff", [Text("\ufffd")]),
        (b"caf\xe9\r", [Text("caf\ufffd\r")]),
        (b"\xc3\x1b[A\xa9", [Text("\ufffd"), Sequence("\x1b[A"), Text("\ufffd")]),
        (b"\x1b[M\xe3\xff\x80a", [Sequence("\x1b[M\ufffd\ufffd\ufffd"), Text("a")]),
        (b"\x1b", [Sequence("\x1b")]),
        (b"\x1b\x1b[A", [Sequence("\x1b"), Sequence("\x1b[A")]),
        (b"\x1b[", [Sequence("\x1b[")]),
        (b"\x1b[3", []),
        (b"\x1b[3\rb", [Text("\rb")]),
        (b"\x1b\xc3\xa9", [Sequence("\x1bé")]),
        (b"\x1b]11;rgb:00/00/00\x07a", [Sequence("\x1b]11;rgb:00/00/00\x07"), Text("a")]),
        (b"\x1bP>|term\x1b\\a", [Sequence("\x1bP>|term\x1b\\"), Text("a")]),
        (b"\x1bP1\x1b[A", [Sequence("\x1b[A")]),
        (b"\x1b]a", [Sequence("\x1b]"), Text("a")]),
        (b"\x1b[200~one\x1b[31mred\rtwo\x1b[201~", [Pasted("one\x1b[31mred\rtwo")]),
        (b"\x1b[200~lost end", [Pasted("lost end")]),
    ],
)
def test_pieces(sent: bytes, pieces: list[Piece]) -> None:
    assert pieces_of(sent) == pieces
