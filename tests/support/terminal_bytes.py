"""What a terminal may send: keys, answers and pastes of every kind, whole, mutated and cut."""

from __future__ import annotations

from hypothesis import strategies as st
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS

SEQUENCES = (
    *sorted(key.encode() for key in ANSI_SEQUENCES_KEYS if key.startswith("\x1b")),
    # Kitty's keys: with text, other layouts, presses and releases; functional keys
    b"\x1b[103;5;103u",
    b"\x1b[97:65:113;2:1;65u",
    b"\x1b[97;1:1u",
    b"\x1b[97;;97:769u",
    b"\x1b[0;;12371:12435:12395:12385:12399u",
    b"\x1b[57414;129:3u",
    b"\x1b[1;5:2A",
    b"\x1b[27;5;103~",
    # reports of the mouse, the size, the focus, the cursor's place, modes, colours, the terminal
    b"\x1b[M !!",
    b"\x1b[M\xe3\xff\x80",
    b"\x1b[<0;5;5M",
    b"\x1b[<65;-5;99999m",
    b"\x1b[32;5;5M",
    b"\x1b[48;24;80;0;0t",
    b"\x1b[48;99999999;99999999;1;1t",
    b"\x1b[I",
    b"\x1b[2;5R",
    b"\x1b[?2026;2$y",
    b"\x1b[?2048;2$y",
    b"\x1b]11;rgb:0000/0000/0000\x1b\\",
    b"\x1bP>|XTerm(390)\x1b\\",
    b"\x1b[?64;1;2c",
    # pastes
    b"\x1b[200~",
    b"\x1b[201~",
    b"\x1b[200~one\x1b[31mred\rtwo\x1b[201~",
    b"\x1b[200~caf\xe9\x1b[201~",
)
_TEXTS = st.sampled_from(
    (b"a", b"\r", b"\x11", "é".encode(), "👍🏽".encode(), b"\xff", b"\xed\xa0\x80")
)


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """A sequence with some bytes dropped, doubled or replaced."""
    sequence = bytearray(draw(st.sampled_from(SEQUENCES)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(0, len(sequence) - 1)))
        some = st.sampled_from((b"", b";", b":", b"9" * 20, b"9" * 5000, b"\x1b", b"-", b"<", b"0"))
        sequence[at : at + draw(st.integers(0, 2))] = draw(st.one_of(some, st.binary(max_size=2)))
    return bytes(sequence)


TERMINAL_BYTES = st.lists(
    st.one_of(st.sampled_from(SEQUENCES), _mutated(), _TEXTS, st.binary(max_size=8)), max_size=8
).map(b"".join)
