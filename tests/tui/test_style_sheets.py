"""A screen's style sheet is for that screen: Textual applies every one to the whole app."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gelu_tui.tui

FOLDER = Path(gelu_tui.tui.__file__).parent
SHEETS = sorted(FOLDER.rglob("*.tcss"))


def outermost(text: str) -> str:
    """A style sheet without what stands in braces: rules within others are of those."""
    before = ""
    while before != text:
        before, text = text, re.sub(r"\{[^{}]*\}", ";", text)
    return text


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.name)
def test_every_rule_names_a_screen_or_a_widget(sheet: Path) -> None:
    text = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
    selectors = [each.strip() for each in re.split("[,;]", outermost(text)) if each.strip()]
    assert selectors
    # `#message` alone would be every screen's message, once this screen has been opened.
    assert [each for each in selectors if not each[:1].isupper()] == []
