"""RGB colours in a terminal with 256 colours keep their hue."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.color import Color as TextualColor
from textual.theme import BUILTIN_THEMES

from gelu_tui.tui.app import GeluApp
from gelu_tui.tui.terminal.cube_colours import CubeColours, nearest
from gelu_tui.tui.themes import OWN_THEMES
from tests.support.driving import driven

BLACK = TextualColor(0, 0, 0)
channels = st.integers(0, 255)


def rgb(number: int) -> tuple[int, int, int]:
    return tuple(Color.from_ansi(number).get_truecolor())


def spread(colour: tuple[int, ...]) -> int:
    return max(colour) - min(colour)


def test_a_colour_that_the_terminal_has_stays() -> None:
    assert {rgb(nearest(*rgb(number))) == rgb(number) for number in range(16, 256)} == {True}


@given(channels, st.integers(-12, 12), st.integers(-12, 12))
def test_a_dull_colour_turns_grey_and_not_navy_or_olive(red: int, green: int, blue: int) -> None:
    wanted = tuple(min(255, max(0, red + more)) for more in (0, green, blue))
    assert spread(rgb(nearest(*wanted))) <= 40 + spread(wanted)


THEMES = {theme.name: theme for theme in (*BUILTIN_THEMES.values(), *OWN_THEMES) if not theme.ansi}


@pytest.mark.parametrize("name", THEMES)
def test_the_panels_of_every_theme_keep_their_look(name: str) -> None:
    for part in ("panel", "surface", "background"):
        text = THEMES[name].to_color_system().generate()[part]
        wanted = TextualColor.parse(text).rgb
        assert spread(rgb(nearest(*wanted))) <= 20 + spread(wanted), (part, text)


@given(st.text(max_size=3), channels, channels, channels)
def test_only_rgb_colours_are_replaced_and_all_else_stays(
    text: str, r: int, g: int, b: int
) -> None:
    own = Style(color="cyan", bgcolor="default", bold=True)
    mixed = Style(color=Color.from_rgb(r, g, b), underline=True, meta={"offset": (1, 2)})
    segments = [Segment(text, own), Segment(text, mixed), Segment(text)]
    first, second, third = CubeColours().apply(segments, BLACK)
    assert (first, third) == (segments[0], segments[2])
    assert second.text == text
    assert second.style is not None
    assert second.style.color == Color.from_ansi(nearest(r, g, b))
    assert second.style.underline
    assert second.style.meta == {"offset": (1, 2)}


@pytest.mark.parametrize("system", ["truecolor", "256"])
async def test_the_app_uses_it_in_256_colours(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textual.constants.COLOR_SYSTEM", system)
    async with driven() as it:
        assert isinstance(it.app, GeluApp)
        found = [type(one) for one in it.app.get_line_filters()]
        assert (CubeColours in found) == (system == "256")
