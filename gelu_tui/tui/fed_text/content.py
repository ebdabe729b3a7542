"""What a model is fed, made visible: blanks, special tokens, token boundaries, ids."""

from __future__ import annotations

import re
from collections.abc import Iterator

from textual.content import Content

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.safe_text import visible

# Of more than this the beginning and the end are shown, halves of it each.
CHARACTERS_SHOWN = 40_000
TOKENS_SHOWN = 4_000

Fed = p.PromptRendered | Comparison

_SPECIAL = "bold $text-accent"
_QUIET = "dim"
_BLANK = re.compile(r"\s")


def has_template(fed: Fed) -> bool:
    """Whether the chat template made the text."""
    return (fed.settings.chat if isinstance(fed, p.Started) else fed.chat) is True


def as_text(fed: Fed) -> Content:
    """The exact text in one, blanks and special tokens visible."""
    text = fed.prompt_text
    head, tail = _ends(len(text), CHARACTERS_SHOWN)
    return Content.assemble(
        *_split(fed, text[:head]), _gap(tail - head, "characters"), *_split(fed, text[tail:])
    )


def as_tokens(fed: p.PromptRendered) -> Content:
    """The text cut into its tokens: every second one is underlined."""
    pieces, special = fed.pieces, frozenset(fed.special_ids)
    head, tail = _ends(len(pieces), TOKENS_SHOWN)

    def token(index: int) -> Content:
        shown = _inked(pieces[index], special=fed.prompt_tokens[index] in special)
        return shown.stylize("underline") if index % 2 else shown

    return Content.assemble(
        *map(token, range(head)), _gap(tail - head, "tokens"), *map(token, range(tail, len(pieces)))
    )


def as_ids(fed: Fed) -> Content:
    """One token a line: position, id, and its text where that is known."""
    pieces = fed.pieces if isinstance(fed, p.PromptRendered) else ()
    special = frozenset(fed.special_ids if isinstance(fed, p.PromptRendered) else ())
    ids = fed.prompt_tokens
    head, tail = _ends(len(ids), TOKENS_SHOWN)
    width = len(f"{len(ids):,}")

    def line(index: int) -> Content:
        piece = pieces[index] if index < len(pieces) else ""
        text = _inked(piece, special=ids[index] in special, breaks=False)
        return Content.assemble((f"{index:>{width},}", _QUIET), f"  {ids[index]:>7}  ", text, "\n")

    return Content.assemble(
        (f"{'#':>{width}}  {'id':>7}  {'token' if pieces else ''}\n", _QUIET),
        *map(line, range(head)),
        _gap(tail - head, "tokens"),
        *map(line, range(tail, len(ids))),
    )


def _ends(length: int, limit: int) -> tuple[int, int]:
    """Where the shown beginning ends and the shown end begins."""
    return (length, length) if length <= limit else (limit // 2, length - limit // 2)


def _gap(count: int, unit: str) -> Content:
    if not count:
        return Content()
    return Content.styled(f"\n… {count:,} {unit} are not shown here …\n", "bold reverse")


def _split(fed: Fed, text: str) -> Iterator[Content]:
    """The text with its special tokens apart."""
    names = set()
    if isinstance(fed, p.PromptRendered):
        special = frozenset(fed.special_ids)
        tokens = zip(fed.prompt_tokens, fed.pieces, strict=False)
        names = {piece for token, piece in tokens if token in special and piece}
    if not names:
        yield _inked(text)
        return
    pattern = re.compile(f"({'|'.join(map(re.escape, sorted(names, key=len, reverse=True)))})")
    for index, part in enumerate(pattern.split(text)):
        yield _inked(part, special=index % 2 == 1)


def _inked(text: str, *, special: bool = False, breaks: bool = True) -> Content:
    """Text with every blank visible: · ↵ → and the code of a rarer one; a line break still breaks.

    Where the text itself has a middle dot, a blank is ␣.
    """
    dot = "␣" if "·" in text else "·"

    def blank(match: re.Match[str]) -> str:
        match match.group():
            case " ":
                return dot
            case "\n":
                return "↵\n" if breaks else "↵"
            case "\t":
                return "→"
            case other:
                return f"⟨U+{ord(other):04X}⟩"

    parts: list[tuple[str, str]] = []
    for part in re.split(r"(\s+)", visible(text)):
        quiet = part.isspace()
        style = _QUIET if quiet else _SPECIAL if special else ""
        parts.append((_BLANK.sub(blank, part), style))
    return Content.assemble(*parts)
