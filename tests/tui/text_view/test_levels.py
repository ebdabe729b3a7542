"""Quantised statistics of tokens."""

from __future__ import annotations

import math

import pytest

from gelu_tui.core import protocol as p
from gelu_tui.tui.text_view.levels import TOKEN_STYLES, TOP_LEVEL, TokenStyle, legend, level


def step(**values: float | None) -> p.StreamStep:
    given = {"logprob": -0.01, "margin": 9.0, "kl": 0.0, **values}
    return p.StreamStep(stream=0, token=1, text="a", decode_s=0.1, **given)


@pytest.mark.parametrize(
    ("style", "values", "expected"),
    [
        ("plain", {"kl": 5.0}, 0),
        ("kl", {"kl": 0.0}, 0),
        ("kl", {"kl": 1e-6}, 1),
        ("kl", {"kl": 0.5}, 3),
        ("kl", {"kl": 7.0}, TOP_LEVEL),
        ("kl", {"kl": None}, None),
        ("logprob", {"logprob": math.log(0.95)}, 0),
        ("logprob", {"logprob": math.log(0.6)}, 1),
        ("logprob", {"logprob": math.log(0.3)}, 2),
        ("logprob", {"logprob": math.log(0.05)}, 3),
        ("logprob", {"logprob": math.log(0.001)}, TOP_LEVEL),
        ("margin", {"margin": 6.0}, 0),
        ("margin", {"margin": 3.0}, 1),
        ("margin", {"margin": 0.0}, TOP_LEVEL),
        ("margin", {"margin": None}, None),
    ],
)
def test_levels(style: TokenStyle, values: dict[str, float | None], expected: int | None) -> None:
    assert level(step(**values), style) == expected


@pytest.mark.parametrize("style", TOKEN_STYLES)
def test_every_level_has_a_legend(style: TokenStyle) -> None:
    assert len(legend(style)) == (0 if style == "plain" else TOP_LEVEL + 1)
