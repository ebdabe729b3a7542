"""Text from models, prompts and files, made safe to print.

Characters that act on a terminal or on the text around them are replaced by visible glyphs. Line
feeds and tabs stay, and so do the joiners that emoji and several scripts need.
"""

from __future__ import annotations

import json
import re

# The Unicode categories Cc, Cf, Cs, Zl and Zp without \n, \t and the joiners U+200C and U+200D.
# Written out, because Python's own table of categories grows from version to version.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891\u08e2\u180e"
    "\u200b\u200e-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
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
    """Return `text` with a glyph for every character that could act on a terminal."""
    return _UNSAFE.sub(_glyph, text)


def visible_line(text: str) -> str:
    """Like `visible`, on one line: line feeds show as ↵ and tabs as →."""
    return visible(text).replace("\n", "↵").replace("\t", "→")


def quoted(text: str, limit: int) -> str:
    """At most `limit` characters of a text in quotation marks, on one line."""
    shown = visible_line(text)
    return f"“{shown if len(shown) <= limit else shown[: limit - 1] + '…'}”"


def escape_json(document: str) -> str:
    r"""Replace unsafe characters inside a JSON document by `\uXXXX`: same value, safe to print."""
    return _UNSAFE.sub(lambda match: json.dumps(match.group())[1:-1], document)
