"""The handshake behind whatever a shell prints before it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.core import protocol as p

HELLO = p.Hello(p.PROTOCOL_VERSION, {"gelu_tui": "0.1.0"}, 7, "/log")
LINE = p.encode(HELLO)


@given(st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")), max_size=9))
def test_noise_before_it_is_skipped(noise: list[bytes]) -> None:
    handshake = p.Handshake()
    for line in noise:
        if b'"event"' not in line:
            assert handshake.take(line + b"\n") is None
    assert "\n" not in handshake.noise and "\x1b" not in handshake.noise
    before = noise[-1] if noise and b"{" not in noise[-1] else b"$ "
    assert handshake.take(before + LINE) == HELLO


def test_noise_has_a_limit() -> None:
    handshake = p.Handshake(" on mac")
    handshake.take(b"x" * 60_000 + b"\n")
    with pytest.raises(p.ProtocolError, match="Instead of the engine on mac"):
        handshake.take(b"y" * 6_000 + b"\n")


@pytest.mark.parametrize(
    ("number", "place", "hint"),
    [
        (p.PROTOCOL_VERSION + 1, " on mac", "Update gelu-tui here."),
        (p.PROTOCOL_VERSION - 1, " on mac", "Update gelu-tui on mac."),
        (p.PROTOCOL_VERSION - 1, "", "Update gelu-tui where the engine is."),
    ],
)
def test_another_version_names_both_and_the_side_to_update(
    number: int, place: str, hint: str
) -> None:
    # What else another version's handshake has is not known.
    line = (
        b'{"event":"hello","protocol":%d,"versions":{"gelu_tui":"9.\\u001b"},"new":[]}\n' % number
    )
    with pytest.raises(p.ProtocolError) as caught:
        p.Handshake(place).take(line)
    assert f"The engine{place} speaks protocol version {number} (gelu-tui 9.␛)" in str(caught.value)
    assert f"this app {p.PROTOCOL_VERSION} (gelu-tui " in str(caught.value)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    "line", [b'{"event":"hello"}\n', b'{"event":"hello","protocol":"x"}\n', b'{"event":"step"}\n']
)
def test_what_is_an_event_but_no_handshake(line: bytes) -> None:
    with pytest.raises(p.ProtocolError):
        p.Handshake().take(line)


@given(st.builds(lambda n: msgspec.json.encode({"event": "hello", "protocol": n}), st.integers()))
def test_any_number_is_refused_in_a_sentence(line: bytes) -> None:
    with pytest.raises(p.ProtocolError):
        p.Handshake().take(line + b"\n")
