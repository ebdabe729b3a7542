"""Text files as other systems write them."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gelu_tui.core.errors import UsageError
from gelu_tui.core.text_files import decode_prompt, decode_text, read_prompt_file, read_text_file

LINE_ENDS = ("\n", "\r\n", "\r")
LINES = st.lists(st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8")), max_size=6)
JAPANESE = "空が青いのはなぜですか？\n空が青い。"


@given(lines=LINES, end=st.sampled_from(LINE_ENDS), mark=st.booleans())
def test_marks_and_line_ends_change_nothing(lines: list[str], end: str, mark: bool) -> None:
    assume(not lines or not lines[0].startswith("\ufeff"))
    data = end.join(lines).encode()
    if mark:
        data = codecs.BOM_UTF8 + data
    elif data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return
    assert decode_text(data, "It") == "\n".join(lines)
    assert decode_prompt(data + end.encode(), "It") == "\n".join(lines)


def test_only_one_mark_and_one_line_end_go() -> None:
    assert decode_prompt(b"\xef\xbb\xbf\xef\xbb\xbfa\r\n\r\n", "It") == "\ufeffa\n"


@given(
    text=st.text(st.characters(min_codepoint=9, max_codepoint=0x17F), min_size=1),
    codec=st.sampled_from(["utf-16-le", "utf-16-be", "utf-16", "utf-32"]),
)
def test_other_encodings_are_named(text: str, codec: str) -> None:
    # Without a mark and with few ASCII characters, nothing tells it from other bytes for sure.
    assume(codec in ("utf-16", "utf-32") or sum(char.isascii() for char in text) * 2 >= len(text))
    expected = "UTF-32" if codec == "utf-32" else "UTF-16"
    for decode in (decode_prompt, decode_text):
        with pytest.raises(UsageError) as caught:
            decode(text.encode(codec), "It")
        assert caught.value.info.message == f"It is {expected}, not UTF-8."


@pytest.mark.parametrize(
    ("data", "sentence"),
    {
        "Japanese without a mark": (JAPANESE.encode("utf-16-le"), "It is UTF-16, not UTF-8."),
        "Japanese, the other order": (JAPANESE.encode("utf-16-be"), "It is UTF-16, not UTF-8."),
        "a line end added": ("ab".encode("utf-16-le") + b"\n", "It is UTF-16, not UTF-8."),
        "latin-1": (b"caf\xe9", "It is not valid UTF-8 (byte 3)."),
        "a zero in a text": (b"abc\0def\n", "It is not text: byte 3 is 0."),
        "zeros": (bytes(64), "It is not text: byte 0 is 0."),
        "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xd8\0\xd8\0", "It is not text: byte 8 is 0."),
    }.values(),
)
def test_what_is_no_utf8_is_refused(data: bytes, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode_prompt(data, "It")
    assert caught.value.info.message == sentence


def test_files_are_read_so(tmp_path: Path) -> None:
    file = tmp_path / "p.txt"
    file.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    assert read_prompt_file(str(file)) == "one\ntwo"
    assert read_text_file(str(file)) == "one\ntwo\n"
    file.write_bytes(b"\xef\xbb\xbf\r\n")
    with pytest.raises(UsageError, match="is empty"):
        read_prompt_file(str(file))


def test_no_name_is_no_folder() -> None:
    with pytest.raises(UsageError, match="No file is named"):
        read_text_file("")
