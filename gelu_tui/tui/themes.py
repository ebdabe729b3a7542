"""Which themes are offered, and which one suits the terminal."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from textual.theme import BUILTIN_THEMES, Theme

from gelu_tui.core.errors import UsageError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.validation import suggestion

# One accent for keys, focus and frames; amber is for forks, red for errors. The greys are
# slate; the hues are among a terminal's 256 colours.
_ACCENT_DARK, _ACCENT_LIGHT = "#5fafd7", "#005f87"
_DARK = Theme(
    name="gelu-dark",
    primary=_ACCENT_DARK,
    secondary=_ACCENT_DARK,
    accent=_ACCENT_DARK,
    warning="#ffaf5f",
    error="#d75f5f",
    success="#87af5f",
    foreground="#e4e4e4",
    background="#121212",
    surface="#1c1c1c",
    panel="#24292e",
)
_LIGHT = Theme(
    name="gelu-light",
    primary=_ACCENT_LIGHT,
    secondary=_ACCENT_LIGHT,
    accent=_ACCENT_LIGHT,
    warning="#af5f00",
    error="#af0000",
    success="#5f8700",
    foreground="#262626",
    background="#eeeeee",
    surface="#e4e4e4",
    panel="#d5d9de",
    dark=False,
)
# The terminal's own colours. Textual's ANSI themes draw in blue, which cannot be read on black.
_DARK_16 = replace(
    BUILTIN_THEMES["ansi-dark"],
    name="terminal-dark",
    primary="ansi_cyan",
    secondary="ansi_cyan",
    accent="ansi_cyan",
    error="ansi_bright_red",
)
_LIGHT_16 = replace(
    BUILTIN_THEMES["ansi-light"],
    name="terminal-light",
    primary="ansi_blue",
    secondary="ansi_blue",
    accent="ansi_blue",
    warning="ansi_red",
)
OWN_THEMES: tuple[Theme, ...] = (_DARK, _LIGHT, _DARK_16, _LIGHT_16)
_THEMES = {theme.name: theme for theme in (*OWN_THEMES, *BUILTIN_THEMES.values())}


def offered(*, no_color: bool) -> list[str]:
    """The names of the themes to choose from; the app registers `OWN_THEMES`."""
    # Under NO_COLOR Textual's filter turns every colour of an ANSI theme into black.
    return [name for name, theme in _THEMES.items() if not (theme.ansi and no_color)]


def check_theme(name: str | None) -> None:
    """Raise `UsageError` for a theme that does not exist; None is the terminal's own choice."""
    if name is not None and name not in _THEMES:
        raise UsageError(
            f"There is no theme named '{visible_line(name)[:40]}'.",
            suggestion(name, _THEMES) or f"There are {', '.join(_THEMES)}.",
            kind="theme",
        )


def theme_for(
    wanted: str | None,
    color_system: str | None,
    *,
    no_color: bool,
    environ: Mapping[str, str] = os.environ,
) -> str:
    """Return the wanted theme if it can be shown, else one that suits the terminal.

    `color_system` is Rich's name of the terminal's colours: truecolor, 256, standard or None.
    """
    if wanted in offered(no_color=no_color):
        return wanted
    if color_system in ("truecolor", "256") or no_color:
        return _DARK.name
    # An RGB theme in 16 colours loses its shades; these use the terminal's own colours. Some
    # terminals export theirs as `foreground;background`; an unknown background is taken as dark.
    background = environ.get("COLORFGBG", "").rpartition(";")[2]
    light = background in ("7", "9", "10", "11", "12", "13", "14", "15")
    return (_LIGHT_16 if light else _DARK_16).name
