"""HTML pages: their elements as a parser reads them, and what a browser makes of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")

# Every way into a page that text may look for, and what acts on a terminal or on the text around.
HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src="x" onerror="document.title=\'owned\'">',
    "' onmouseover='document.title=1' x='",
    "</style></title></div></mark><script>document.title='owned'</script>",
    "--><svg onload=\"document.title='owned'\"><!--",
    "<iframe srcdoc='<script>top.document.title=1</script>'>",
    "&lt;b&gt;&amp;&#x3c;script&#62;",
    "<a href='javascript:document.title=1'>x</a><base href=//e.invalid><meta http-equiv=refresh>",
    "}</style><style>*{display:none}",
    "\x1b[31m\r\x00\x7f\u202e\u2066\ufeff\ud800 <![CDATA[x]]> \u05d0\u05d1 a\u0301\u0301\u0301",
    "{{7*7}}{% raw %}${7*7}<%= 7*7 %>",
)

_VOID = {"meta", "br", "input"}


@dataclass
class Parsed(HTMLParser):
    """A page's elements in their order, with their attributes, and its text."""

    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str | None]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, page: str) -> Parsed:
        """Read a page, in which every element must be closed where it should."""
        found = cls()
        HTMLParser.__init__(found, convert_charrefs=True)
        found.open: list[str] = []
        found.feed(page)
        found.close()
        assert not found.open, found.open
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")


def shown_by_a_browser(page: str, folder: Path, *flags: str) -> str:
    """The document of a page, in HTML, after a browser has loaded it."""
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    assert BROWSER is not None
    words = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             f"--user-data-dir={folder / 'profile'}", "--window-size=1200,900", *flags,
             "--dump-dom", file.as_uri()]  # fmt: skip
    done = subprocess.run(words, capture_output=True, timeout=300, check=True)
    return done.stdout.decode("utf-8")


def measured(page: str, script: str, folder: Path, *flags: str) -> object:
    """What an expression in JavaScript finds on a page, which itself allows no script."""
    without = re.sub(r"<meta http-equiv=[^>]*>", "", page)
    assert without != page, "the page has no policy"
    asked = without + f"<script>document.title = JSON.stringify({script})</script>"
    title = re.search(r"<title>(.*?)</title>", shown_by_a_browser(asked, folder, *flags), re.S)
    assert title is not None
    return json.loads(unescape(title[1]))
