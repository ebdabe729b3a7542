"""No character that acts on a terminal gets through; every other one does."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelu_tui.core.safe_text import escape_json, visible, visible_line

ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
JOINERS = "\u200c\u200d"
# unassigned among format characters, or format characters that an older Python does not know yet
LATER = {0x2065, *range(0x13439, 0x13440), *range(0xE0000, 0xE0080)}


def acting(text: str) -> list[str]:
    """The characters of `text` that could act, and are not allowed to stay."""
    return [c for c in text if unicodedata.category(c) in ACTING and c not in JOINERS + "\n\t"]


def test_no_code_point_acts() -> None:
    for code in range(0x110000):
        shown = visible(chr(code))
        if unicodedata.category(chr(code)) in ACTING and chr(code) not in JOINERS + "\n\t":
            assert shown != chr(code), f"U+{code:04X}"
            assert not acting(shown), f"U+{code:04X}"
        elif code not in LATER:
            assert shown == chr(code), f"U+{code:04X}"


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x1b]52;c;aGk=\x1b\\", "␛]52;c;aGk=␛\\"),
        ("\x9b31m", "⟨U+009B⟩31m"),
        ("a\rb\x08c\x7f\x00", "a␍b␈c␡␀"),
        ("user\u202etxt.exe", "user⟨U+202E⟩txt.exe"),
        ("\u2066x\u2069", "⟨U+2066⟩x⟨U+2069⟩"),
        ("a\u200bb\ufeffc\u00add", "a⟨U+200B⟩b⟨U+FEFF⟩c⟨U+00AD⟩d"),
        ("\U000e0041\U000e0042", "⟨U+E0041⟩⟨U+E0042⟩"),
        ("a\u2028b\u2029c", "a⟨U+2028⟩b⟨U+2029⟩c"),
        ("\ud83d", "\ufffd"),
    ],
)
def test_hostile_text_is_shown(hostile: str, shown: str) -> None:
    assert visible(hostile) == shown


@pytest.mark.parametrize(
    "harmless",
    [
        "plain\ttext\n",
        "空が青いのはなぜですか？",
        "👩‍👩‍👧‍👦 🇩🇪 👍🏽 ❤️",
        "می‌خواهم",
        "नमस्ते क्‍ष",
        "e\u0301 ñ",
        "<start_of_image> [bold]",
        "¥ € ↵ → ␛ ⟨U+0000⟩",
        "𝒳 \U0001f9d1\U0010ffff",
    ],
)
def test_harmless_text_stays(harmless: str) -> None:
    assert visible(harmless) == harmless


def test_one_line() -> None:
    assert visible_line("a\n\tb\r\n") == "a↵→b␍↵"


@given(st.text(st.characters()))
def test_visible_is_safe_and_final(text: str) -> None:
    shown = visible(text)
    assert not acting(shown)
    assert visible(shown) == shown
    assert "\n" not in visible_line(text)
    assert "\t" not in visible_line(text)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(deadline=1000)
@given(_values)
def test_escaped_json_is_the_same_and_safe(value: object) -> None:
    for indent in (None, 2):
        document = escape_json(json.dumps(value, ensure_ascii=False, indent=indent))
        assert json.loads(document) == value
        assert not acting(document)


def test_escaped_json_of_every_code_point() -> None:
    text = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF)
    document = escape_json(json.dumps(text, ensure_ascii=False))
    assert json.loads(document) == text
    assert not acting(document)


@pytest.mark.parametrize(
    "text", ["👩‍👩‍👧 空", "\U000e0041", "\u202e", "\x7f\x9b", "a\ud800b", "\\u202e", '"\\\u2066"']
)
def test_escaped_json_by_example(text: str) -> None:
    document = escape_json(json.dumps({text: [text]}, ensure_ascii=False))
    assert json.loads(document) == {text: [text]}
    assert not acting(document)


def test_escaped_json_keeps_what_can_be_read() -> None:
    assert escape_json('"空 👩‍👧 é"') == '"空 👩‍👧 é"'
