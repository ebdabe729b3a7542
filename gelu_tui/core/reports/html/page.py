"""The parts that HTML pages are made of: text, elements, tables, and the page around them.

All text from models, prompts, files and errors goes through `escaped` or `element`'s attributes,
and nothing else makes markup. A page may load and run nothing (its Content-Security-Policy).
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path

from rich.text import Text

from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.safe_text import visible, visible_line

_FEED = '<i class="feed">↵</i>\n'
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def escaped(text: str) -> str:
    """Any text as the content of an element or of an attribute, with its line feeds."""
    return html.escape(visible(text))


def element(name: str, content: str = "", **attributes: str | float) -> str:
    """An element around `content`, which is markup; an attribute's value is text.

    `class_` is `class`, and other underscores are hyphens.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(str(value))}"'
        for key, value in attributes.items()
    )
    return f"<{name}{written}>{content}</{name}>"


def text_content(text: str) -> str:
    """Any text as content, with a glyph for each line feed that is seen and not copied."""
    return escaped(text).replace("\n", _FEED)


def words(name: str, text: str, **attributes: str) -> str:
    """An element that holds one line of text; of another script too, it keeps to its place."""
    return element(name, escaped(visible_line(text)), dir="auto", **attributes)


def words_with_code(name: str, text: str, **attributes: str) -> str:
    """The same, but what stands between two backticks in the text is code."""
    parts = re.split("`([^`]+)`", visible_line(text))
    made = (element("code", escaped(x)) if i % 2 else escaped(x) for i, x in enumerate(parts))
    return element(name, "".join(made), dir="auto", **attributes)


def error_words(error: ErrorInfo | None) -> str:
    """What happened and what helps, as a paragraph; empty without an error."""
    return words("p", f"{error.message} {error.hint}".strip(), class_="error") if error else ""


def table(
    rows: Sequence[Mapping[str, str | Text]],
    left: Collection[str] = (),
    footer: Mapping[str, str] | None = None,
) -> str:
    """A table whose headers are the keys of each row; at least one row.

    The first column and those in `left` are aligned left, all others right.
    """
    is_left = {name: not number or name in left for number, name in enumerate(rows[0])}

    def line(tag: str, cells: Mapping[str, str | Text], **attributes: str) -> str:
        made = (words(tag, str(cell), **_aligned(is_left[name])) for name, cell in cells.items())
        return element("tr", "".join(made), **attributes)

    head = element("thead", line("th", {name: name for name in rows[0]}))
    body = [line("td", row) for row in rows]
    if footer is not None:
        body.append(line("td", footer, class_="foot"))
    whole = element("table", head + element("tbody", "\n".join(body)))
    return element("div", whole, class_="wide")


def _aligned(is_left: bool) -> dict[str, str]:
    return {"class_": "left"} if is_left else {}


def section(title: str, *parts: str) -> str:
    """A heading and what follows it; empty if nothing does."""
    content = "\n".join(filter(None, parts))
    return element("section", f"{element('h2', escaped(title))}\n{content}") if content else ""


def fragment(*parts: str) -> str:
    """The parts with their style, for a page that is not ours."""
    content = "\n".join(filter(None, parts))
    return f"<style>{_style()}</style>\n{element('div', content, class_='gelu-tui')}"


def page(title: str, content: str) -> str:
    """A whole file around a fragment."""
    body = "margin: 0; background: light-dark(#ffffff, #14161c); color-scheme: light dark"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escaped(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{element('title', escaped(visible_line(title)))}\n</head>\n"
        f"{element('body', content, style=body)}\n</html>\n"
    )


@cache
def _style() -> str:
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")
