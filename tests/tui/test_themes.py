"""Which theme the app opens with, and which ones it offers."""

from __future__ import annotations

import pytest
from textual.theme import BUILTIN_THEMES

from gelu_tui.core.errors import UsageError
from gelu_tui.tui.fed_text.screen import FedTextScreen
from gelu_tui.tui.themes import OWN_THEMES, check_theme, offered, theme_for
from tests.support.driving import ScreenApp

LIGHT = {"COLORFGBG": "0;15"}
DARK = {"COLORFGBG": "15;default;0"}


@pytest.mark.parametrize(
    ("wanted", "system", "no_color", "environ", "theme"),
    [
        (None, "truecolor", False, {}, "gelu-dark"),
        (None, "256", False, LIGHT, "gelu-dark"),
        (None, "standard", False, {}, "terminal-dark"),
        (None, "standard", False, DARK, "terminal-dark"),
        (None, "standard", False, LIGHT, "terminal-light"),
        (None, None, False, {"COLORFGBG": "x"}, "terminal-dark"),
        (None, "standard", True, LIGHT, "gelu-dark"),
        ("nord", "256", False, {}, "nord"),
        ("nord", "standard", False, {}, "nord"),
        ("nord", "256", True, {}, "nord"),
        ("terminal-light", "truecolor", False, {}, "terminal-light"),
        ("terminal-light", "truecolor", True, {}, "gelu-dark"),
        ("ansi-dark", "standard", True, {}, "gelu-dark"),
        ("no such theme", "256", False, {}, "gelu-dark"),
    ],
)
def test_the_theme_suits_the_terminal(
    wanted: str | None, system: str | None, no_color: bool, environ: dict[str, str], theme: str
) -> None:
    assert theme_for(wanted, system, no_color=no_color, environ=environ) == theme


def test_a_theme_that_does_not_exist_is_refused_with_the_nearest() -> None:
    check_theme(None)
    check_theme("terminal-dark")
    with pytest.raises(UsageError, match="no theme named 'drakula'") as caught:
        check_theme("drakula")
    assert caught.value.info.hint == "Did you mean 'dracula'?"
    with pytest.raises(UsageError) as caught:
        check_theme("\x1b[31m")
    assert "\x1b" not in caught.value.info.message
    assert "textual-dark" in caught.value.info.hint


def test_without_colour_no_theme_of_the_terminals_colours_is_offered() -> None:
    themes = {**BUILTIN_THEMES, **{theme.name: theme for theme in OWN_THEMES}}
    assert set(offered(no_color=False)) == set(themes)
    assert not any(themes[name].ansi for name in offered(no_color=True))
    assert "textual-light" in offered(no_color=True)


def test_every_theme_of_ours_has_one_accent() -> None:
    for theme in OWN_THEMES:
        assert theme.primary == theme.secondary == theme.accent
        assert theme.accent not in (theme.warning, theme.error)


def test_on_a_dark_terminal_nothing_is_written_in_dark_blue() -> None:
    (dark,) = [theme for theme in OWN_THEMES if theme.dark and theme.ansi]
    named = {dark.primary, dark.secondary, dark.warning, dark.error, dark.success, dark.accent}
    assert not named & {"ansi_blue", "ansi_black"}


async def test_textual_takes_every_theme_that_is_offered() -> None:
    app = ScreenApp(FedTextScreen())
    async with app.run_test():
        for theme in OWN_THEMES:
            app.register_theme(theme)
        for name in offered(no_color=False):
            app.theme = name
            assert app.current_theme.name == name
