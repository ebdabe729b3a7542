"""The styles of tokens and their numbers, in the theme's colours or readable without any.

Not Textual's component classes: each pane that gains or loses the focus would recompute all.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from textual.app import App
from textual.style import Style

# fmt: off
_COLOURED = {
    "shared": "dim", "reference": "bold", "total": "bold", "forked": "bold $text-warning",
    "fork": "bold auto on $warning", "error": "bold $text-error",
    "cursor": "$background on $foreground", "echo": "bold underline", "hover": "underline",
    "match": "bold underline auto on $primary", "bar": "$foreground 40%", "bar-focus": "$accent",
    "level1": "on $warning 15%", "level2": "underline on $warning 30%",
    "level3": "bold on $warning 50%", "level4": "bold underline auto on $error",
    "gain1": "italic on $success 15%", "gain2": "italic underline on $success 30%",
    "gain3": "bold italic on $success 50%", "gain4": "bold italic underline auto on $success",
}
# Without colours, or with the terminal's own, the terminal itself draws blocks (reverse): they are
# readable whatever the background is.
_SHAPED = _COLOURED | {
    "cursor": "reverse underline", "fork": "bold reverse", "error": "bold",
    "match": "underline reverse", "bar": "dim", "bar-focus": "bold",
    "level1": "underline", "level2": "bold", "level3": "bold underline", "level4": "bold reverse",
    "gain1": "italic underline", "gain2": "italic bold", "gain3": "italic bold underline",
    "gain4": "italic bold reverse",
}
# The cube of 256 colours has few dark ones, and mixtures would turn out red or olive: a scale of
# colours that it has.
_CUBE_DARK = _COLOURED | {
    "level1": "on #303030", "level2": "underline on #5f5f00", "level3": "bold on #875f00",
    "gain1": "italic on #262626", "gain2": "italic underline on #005f00",
    "gain3": "bold italic on #008700",
}
_CUBE_LIGHT = _COLOURED | {
    "level1": "on #e4e4e4", "level2": "underline on #d7d7af", "level3": "bold on #ffd787",
    "gain1": "italic on #e4e4e4", "gain2": "italic underline on #afd7af",
    "gain3": "bold italic on #87d787",
}
# fmt: on


def token_styles(app: App[None]) -> Mapping[str, Style]:
    """The styles of the present theme, each to be laid on top of the pane's own."""
    return _styles(app, app.theme, app.no_color or app.native_ansi_color)


@lru_cache(maxsize=4)
def _styles(app: App[None], theme: str, shaped: bool) -> Mapping[str, Style]:
    variables = app.theme_variables
    if shaped:
        texts = _SHAPED
    elif app.console.color_system == "256":
        texts = _CUBE_DARK if app.current_theme.dark else _CUBE_LIGHT
    else:
        texts = _COLOURED
    return {name: Style.parse(text, variables) for name, text in texts.items()}
