"""The text that a model is fed, made visible: blanks, special tokens, token boundaries, ids."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from textual.content import Content

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.safe_text import visible
from gelu_tui.tui.text_view.wrapping import wrap

# Of more than this the beginning and the end are shown, half of it each.
CHARACTERS_SHOWN = 40_000
TOKENS_SHOWN = 4_000

Fed = p.PromptRendered | Comparison

_SPECIAL = "bold $text-accent"
_QUIET = "dim"

# What a blank, a line break and a tab are shown as: the first that the text itself does not have.
_SIGNS = {" ": "·␣░", "\n": "↵¶¬", "\t": "→⇥»"}


class Signs(NamedTuple):
    """How the blanks of one text are shown."""

    blank: str
    line_break: str
    tab: str

    @classmethod
    def of(cls, fed: Fed) -> Signs:
        """Return signs that the text does not have itself."""
        pieces = fed.pieces if isinstance(fed, p.PromptRendered) else ()
        found = set(fed.prompt_text).union(*pieces)
        return cls(*(
            next((sign for sign in signs if sign not in found), f"⟨U+{ord(blank):04X}⟩")
            for blank, signs in _SIGNS.items()
        ))  # fmt: skip

    @property
    def legend(self) -> str:
        """Return what they mean, in a sentence."""
        return f"{self.blank} is a blank, {self.line_break} a line break, {self.tab} a tab."

    def inked(self, text: str, *, special: bool = False, breaks: bool = True) -> Content:
        """Return text with every blank visible, a rarer one by its code; a line break breaks."""
        line_break = f"{self.line_break}\n" if breaks else self.line_break
        blanks = {" ": self.blank, "\n": line_break, "\t": self.tab}
        parts = []
        for part in re.split(r"(\s+)", visible(text)):
            style = _QUIET if part.isspace() else _SPECIAL if special else ""
            if part.isspace():
                part = "".join(blanks.get(blank) or f"⟨U+{ord(blank):04X}⟩" for blank in part)
            parts.append((part, style))
        return Content.assemble(*parts)

    def wrapped(self, content: Content, width: int) -> Content:
        """Return what is `inked` in rows of `width` cells, which end after blanks.

        Only a word that is wider than a row is cut; one blank may stand in the last cell.
        """
        room = max(2, width - 1)
        spaces = {ord(sign): " " for sign in self if len(sign) == 1}
        rows: list[Content] = []
        for line in content.split("\n"):
            cuts: list[int] = []
            for row in wrap(line.plain.translate(spaces), room):
                end = row.start + len(row.text)
                cuts += [row.start, *range(row.start + row.shown + 1, end, room + 1)]
            rows += line.divide([cut for cut in cuts if cut])
        return Content("\n").join(rows)


def as_text(fed: Fed) -> Content:
    """The exact text as a whole, blanks and special tokens visible."""
    text, signs = fed.prompt_text, Signs.of(fed)
    names = set()
    if isinstance(fed, p.PromptRendered):
        special = frozenset(fed.special_ids)
        tokens = zip(fed.prompt_tokens, fed.pieces, strict=False)
        names = {piece for token, piece in tokens if token in special and piece}
    longest_first = sorted(map(re.escape, names), key=len, reverse=True)
    # An odd part is a special token. Without names, nothing matches.
    pattern = re.compile(f"({'|'.join(longest_first) or '(?!)'})")

    def parts(start: int, end: int) -> Iterator[Content]:
        for index, part in enumerate(pattern.split(text[start:end])):
            yield signs.inked(part, special=index % 2 == 1)

    return Content.assemble(*_both_ends(len(text), CHARACTERS_SHOWN, "characters", parts))


def as_tokens(fed: p.PromptRendered) -> Content:
    """The text cut into its tokens: every second one is underlined."""
    special, signs = frozenset(fed.special_ids), Signs.of(fed)

    def tokens(start: int, end: int) -> Iterator[Content]:
        for index in range(start, end):
            shown = signs.inked(fed.pieces[index], special=fed.prompt_tokens[index] in special)
            yield shown.stylize("underline") if index % 2 else shown

    return Content.assemble(*_both_ends(len(fed.pieces), TOKENS_SHOWN, "tokens", tokens))


def as_ids(fed: Fed) -> Content:
    """One token a line: position, id, and its text where that is known."""
    pieces = fed.pieces if isinstance(fed, p.PromptRendered) else ()
    special = frozenset(fed.special_ids if isinstance(fed, p.PromptRendered) else ())
    ids, signs = fed.prompt_tokens, Signs.of(fed)
    width = len(f"{len(ids):,}")

    def lines(start: int, end: int) -> Iterator[Content]:
        for index in range(start, end):
            piece = pieces[index] if index < len(pieces) else ""
            text = signs.inked(piece, special=ids[index] in special, breaks=False)
            number = f"{index:>{width},}"
            yield Content.assemble((number, _QUIET), f"  {ids[index]:>7}  ", text, "\n")

    head = f"{'#':>{width}}  {'id':>7}  {'token' if pieces else ''}\n"
    return Content.assemble((head, _QUIET), *_both_ends(len(ids), TOKENS_SHOWN, "tokens", lines))


def _both_ends(
    length: int, limit: int, unit: str, shown: Callable[[int, int], Iterable[Content]]
) -> Iterator[Content]:
    """All that is shown of a range, or of its two ends if it is longer than `limit`."""
    if length <= limit:
        yield from shown(0, length)
        return
    half = limit // 2
    yield from shown(0, half)
    gap = f"\n… {length - 2 * half:,} {unit} are not shown here …\n"
    yield Content.styled(gap, "bold reverse")
    yield from shown(length - half, length)
