"""Hostile text made visible.

Text from models, prompts and files may carry terminal escapes, bidi overrides and other characters
that act instead of showing. Every such character is replaced by a glyph that shows it; line feeds
and tabs stay, and so do the joiners that emoji and several scripts need.
"""

from __future__ import annotations

import re

# C0 without \t \n, DEL and C1; lone surrogates; line and paragraph separators; invisible formatting:
# bidi marks, embeddings, overrides and isolates, zero-width space, word joiner and other invisible
# operators, BOM, interlinear annotation, soft hyphen, tag characters. Not U+200C and U+200D.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


def _glyph(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"⟨U+{code:04X}⟩"


def visible(text: str) -> str:
    """Return `text` with every character that could act on a terminal shown as a glyph."""
    return _UNSAFE.sub(_glyph, text)


def visible_line(text: str) -> str:
    """Like `visible`, on one line: line feeds show as ↵ and tabs as →."""
    return visible(text).replace("\n", "↵").replace("\t", "→")


def escape_json(document: str) -> str:
    r"""Replace unsafe characters inside a JSON document by `\uXXXX`: same value, safe to print.

    JSON itself already escapes C0; this covers DEL, C1, bidi and the rest.
    """

    def escape(match: re.Match[str]) -> str:
        char = match.group()
        if char in "\r":
            return char
        code = ord(char)
        if code <= 0xFFFF:
            return f"\\u{code:04x}"
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"

    return _UNSAFE.sub(escape, document)
