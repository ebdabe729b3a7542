"""The settings as a commented TOML document."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

import tomlkit

from gelu_tui.core.safe_text import visible, visible_line
from gelu_tui.core.settings import FIELDS, Settings, SettingsFile, allowed

EXPLAINED = {
    "model": "demo, a folder, or the id of a model on the hub.",
    "activations": "The functions to compare, in the order of the panes; NAME=EXPRESSION is one "
    "of your own.",
    "reference": "The function that the others are compared with. Left out: the model's own if "
    "it is chosen, else the first.",
    "max_tokens": "At most so many tokens for each stream.",
    "schedule": "All functions as rows of one batch, or each by itself.",
    "chat": "true uses the model's chat template, false feeds the prompt as it is, auto uses the "
    "template if there is one.",
    "activation_precision": "Evaluate the functions in float32, or in the model's dtype as mlx-lm "
    "does.",
    "temperature": "0 takes the most probable token; above it all functions draw with the same "
    "random numbers.",
    "seed": "Of the random numbers. Left out: a new one for every run, which is told.",
    "top_p": "Draw from the most probable tokens that together have this probability; 1 is off.",
    "top_k": "Draw from so many most probable tokens; 0 is off.",
    "min_p": "Draw from tokens at least this probable, relative to the most probable; 0 is off.",
    "control": "Add a function that differs from the reference in the order of operations only.",
    "replay": "Replay each fork in float32 when all streams have ended, to tell what made it.",
    "dtype": "For floating weights. Left out: as stored; float32 on a CPU.",
    "engine_command": "Start the engine by another command, e.g. ssh mac gelu-tui engine.",
    "color": "Colour on the terminal; with auto, NO_COLOR is respected.",
    "theme": "The app's colours. Left out: what suits the terminal.",
    "refresh": "Frames a second while tokens come; fewer for a slow line.",
    "token_style": "What the look of a token tells: nothing more, its KL divergence from the "
    "reference, its log-probability, or its margin.",
    "scroll": "Whether the panes scroll together, token by token, or each by itself.",
    "save_runs": "Keep every run in the history.",
}
_EXAMPLES: dict[str, object] = {
    "reference": "gelu",
    "seed": 42,
    "dtype": "bfloat16",
    "engine_command": "ssh mac gelu-tui engine",
    "theme": "nord",
}
_KEYS = (
    "Keys of the app's actions; several are comma separated. Not every terminal sends every key: "
    "function keys, letters, and ctrl with most letters always arrive."
)
_WIDTH = 88


def effective_toml(file: SettingsFile) -> str:
    """What counts, value by value; what the file does not decide is marked as a default."""
    parts = [f"# {visible_line(str(file.path))}", ""]
    for name in EXPLAINED:
        value = getattr(file.settings, name)
        default = "" if name in file.given else "  # default"
        parts.append(
            _comment(f"{name} is left out: {_left_out(name)}")
            if value is None
            else f"{_line(name, value)}{default}"
        )
    parts += ["", "[keys]", *(_line(name, keys) for name, keys in file.settings.keys.items())]
    return "\n".join(parts) + "\n"


def default_toml(actions: Iterable[tuple[str, str, str]]) -> str:
    """Every setting explained, with its default commented out: a settings file to begin with.

    `actions` are name, default keys and explanation of what can have other keys.
    """
    defaults = Settings()
    parts = [_comment("Settings of gelu-tui. Take the # away from a line to change it."), ""]
    for name, explanation in EXPLAINED.items():
        value = getattr(defaults, name)
        limits = allowed(FIELDS[name].type)
        parts.append(
            _comment(explanation if limits == "text" else f"{explanation} Allowed: {limits}.")
        )
        parts += [f"# {_line(name, _EXAMPLES[name] if value is None else value)}", ""]
    parts += [_comment(_KEYS), "[keys]"]
    parts += [
        f"# {_line(name, keys)}  # {visible_line(explanation)}"
        for name, keys, explanation in actions
    ]
    return "\n".join(parts) + "\n"


def _left_out(name: str) -> str:
    return EXPLAINED[name].partition("Left out: ")[2] or "the engine of this installation."


def _comment(text: str) -> str:
    lines = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {line}" for line in lines)


def _line(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        shown = f"[{', '.join(_toml(item) for item in value)}]"
    else:
        shown = _toml(value)
    return f"{_toml_key(name)} = {shown}"


def _toml_key(name: str) -> str:
    return _escaped(tomlkit.key(name).as_string())


def _toml(value: Any) -> str:
    return _escaped(tomlkit.item(value).as_string())


def _escaped(text: str) -> str:
    """What acts on a terminal as an escape of TOML: the same value, safe to print."""
    return "".join(c if visible(c) == c else f"\\U{ord(c):08x}" for c in text)
