"""The text of a scoring: whole, with a glyph for each line feed that is not copied."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.core.safe_text import visible
from gelu_tui.core.scoring.measures import BOUNDS, level
from gelu_tui.tui.lab.text_colouring import levels_of
from gelu_tui.tui.text_view.token_buffer import TokenBuffer

PIECES = [
    "",
    " ",
    "a",
    " word",
    "\n",
    "\n\n",
    "x\ny",
    "\t",
    "空",
    "\x1b[31m",
    "\u202e",
    "↵",
    "\u0301",
]


@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_line_feeds_have_a_glyph_that_is_not_copied(texts: list[str]) -> None:
    buffer = TokenBuffer()
    for text in texts:
        buffer.append(text, "↵")
    copied = "\n".join(buffer.without_marks(line) for line in range(len(buffer.lines)))
    assert copied.replace("◌", "") == visible("".join(texts))
    assert len(buffer.marks) == "".join(texts).count("\n")
    assert all(buffer.text[at : at + 2] == "↵\n" for at in buffer.marks)
    for token, text in enumerate(texts):
        shown = buffer.text[slice(*buffer.span(token))].replace("◌", "")
        assert shown == visible(text).replace("\n", "↵\n")


@pytest.mark.parametrize("measure", ["kl", "delta_p", "top"])
@given(values=st.lists(st.floats(-50, 50), max_size=30))
def test_levels_of_all_are_those_of_each(measure: str, values: list[float]) -> None:
    bounds = BOUNDS[measure]  # type: ignore[index]
    found = levels_of(np.array(values), bounds)
    assert list(found) == [level(value, bounds) for value in values]
