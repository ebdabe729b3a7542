"""The sections of the help page: keys and what they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widgets import Input

from gelu_tui.tui.compare.labels import NATIVE_MARK
from gelu_tui.tui.keys.actions import (
    COMPARE_ACTIONS,
    MOVING_KEYS,
    OTHER_KEYS,
    PANE_ACTIONS,
    PROMPT_KEYS,
    Action,
    shown_key,
    shown_keys,
)
from gelu_tui.tui.text_view.pieces import FORK_MARK

Section = tuple[str, Sequence[tuple[str, str]]]

_SIGNS = (
    (FORK_MARK, "The first divergent token: here a stream leaves the reference."),
    (NATIVE_MARK, "The function that mlx-lm itself uses for the model."),
    ("▁▃▆█", "KL step by step, a glyph for each decade: ▁ below 1e-6 nats, █ from 1 nat; · is 0."),
    ("TTFT", "Time to first token, from the start of the run; in solo, of the stream."),
)


def comparison_help(keymap: Mapping[str, str], *, in_panes: bool) -> list[Section]:
    """The compare screen's keys; first those of the part that has the focus."""
    prompt = ("In the prompt", PROMPT_KEYS)
    panes = ("In a pane", (*MOVING_KEYS, *_rows(PANE_ACTIONS, keymap)))
    return [
        *((panes, prompt) if in_panes else (prompt, panes)),
        ("Everywhere", (*_rows(COMPARE_ACTIONS, keymap), *OTHER_KEYS)),
        ("Signs", _SIGNS),
    ]


def screen_help(screen: Screen[object]) -> list[Section]:
    """The keys of another screen, from its own bindings; those that only move come last."""
    bindings = sorted(own_bindings(screen), key=lambda each: not is_listed(each[1]))
    rows = [(keys, f"{binding.description}.") for _, binding, keys in bindings]
    # A key that a field handles itself, to keep its turn among letters, is no binding.
    rows = [*getattr(screen, "FIELD_KEYS", ()), *rows]
    keys: Section = ("On this screen", rows)
    written = getattr(screen, "FIELD_HELP", ())  # what a field of the screen takes
    first = isinstance(screen.focused, Input)
    own = (*written, keys) if first else (keys, *written)
    return [*own, ("Everywhere", OTHER_KEYS)]


def is_listed(binding: Binding) -> bool:
    """Whether it is more than a move of a cursor."""
    return binding.show or binding.id == "help"


def own_bindings(screen: Screen[object]) -> list[tuple[DOMNode, Binding, str]]:
    """The actions that a screen offers at present: the node, the binding, and all its keys."""
    found: dict[str, tuple[DOMNode, Binding, list[str]]] = {}
    for active in screen.active_bindings.values():
        node, binding = active.node, active.binding
        action = binding.action, binding.description
        if node is not screen.app and action in _own_actions(type(node)):
            row = found.setdefault(binding.description, (node, binding, []))
            row[2].append(shown_key(binding.key))
    return [(node, binding, ", ".join(keys)) for node, binding, keys in found.values()]


def _own_actions(node: type) -> set[tuple[str, str]]:
    """Actions and descriptions bound by our own classes, not by the Textual classes they extend.

    Textual binds some of the same actions with other descriptions, to keys few terminals send.
    """
    own = (cls for cls in node.__mro__ if cls.__module__.startswith("gelu_tui.tui."))
    tables = (Binding.make_bindings(vars(cls).get("BINDINGS", ())) for cls in own)
    return {(b.action, b.description) for table in tables for b in table if b.description}


def _rows(actions: Sequence[Action], keymap: Mapping[str, str]) -> list[tuple[str, str]]:
    # A user may have put an action on other keys.
    return [
        (shown_keys(keys), action.help)
        for action in actions
        if (keys := keymap.get(action.name, action.keys))
    ]
