"""The help of the formula field: complete, and its examples can be typed."""

from __future__ import annotations

import pytest

from gelu_tui.core.functions.expressions import CONSTANTS, FUNCTIONS
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.tui.functions.grammar import EXAMPLES, GRAMMAR
from tests.support.driving import ready
from tests.tui.functions.test_screen import open_picker


def test_the_whole_language_is_explained() -> None:
    text = " ".join(f"{written} {meaning}" for written, meaning in GRAMMAR)
    for name in (*FUNCTIONS, *CONSTANTS, *REGISTRY, "x", "**"):
        assert name in text.replace("(", " ").replace(",", " ").replace(".", " ").split(), name


@pytest.mark.parametrize("example", [written for written, _ in EXAMPLES])
def test_every_example_is_usable(example: str) -> None:
    assert parse_variant(example).is_own


@pytest.mark.parametrize("size", [(60, 20), (200, 50)])
async def test_the_field_explains_formulas_before_keys(size: tuple[int, int]) -> None:
    async with ready(size=size) as it:
        await open_picker(it)
        await it.press("tab", "f1")
        await it.until_shown("Formulas", "+ - * / ** ( )")
        await it.press("escape")
        await it.press("shift+tab", "f1")
        await it.until_shown("On this screen")
        assert "Formulas" not in it.flat().partition("On this screen")[0]
