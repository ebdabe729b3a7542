"""The user's keys for the app's actions, as Textual's keymap."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

from textual.binding import Binding
from textual.keys import Keys

from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.validation import suggestion

# What the app and its widgets need themselves.
RESERVED = {
    "ctrl+q": "quits",
    "ctrl+c": "copies",
    "ctrl+p": "opens the command palette",
    "ctrl+l": "draws the screen anew",
    "tab": "moves the focus",
    "shift+tab": "moves the focus",
    "enter": "runs the prompt and chooses",
}

# What the panes have without a name of its own: a key here would never come to an action, or
# would take it from them.
_OF_PANES = {
    **dict.fromkeys("12345678", "it chooses a pane"),
    **dict.fromkeys(
        ("up", "down", "left", "right", "home", "end", "pageup", "pagedown", "space"),
        "it moves in the panes",
    ),
}

# What the screens beside the comparison have; only help acts there too.
OF_OTHER_SCREENS = frozenset(
    {*"cdefnpqrstuvx", "slash", "delete", "backspace", "escape", "shift+up", "shift+down",
     "ctrl+g", "f2", "f3", "f4", "f6", "f7", "f8", "f9", "f10"}
)  # fmt: skip

# Terminals send these as another key, or tmux and screen keep them for themselves.
_LOST = {
    "ctrl+a": "screen keeps it for itself",
    "ctrl+b": "tmux keeps it for itself",
    "ctrl+h": "terminals send it as Backspace",
    "ctrl+i": "terminals send it as Tab",
    "ctrl+j": "terminals send it as a line feed",
    "ctrl+m": "terminals send it as Enter",
    "ctrl+z": "it suspends the app",
    "ctrl+left_square_bracket": "terminals send it as Escape",
}
_MODIFIERS = re.compile(r"(?:(?:ctrl|shift|alt|meta|super|hyper)\+)+")
_FUNCTION_KEY = re.compile(r"f([1-9]|1[0-2])")
_CTRL_LETTER = re.compile(r"ctrl\+[a-z]")
_NAMED = frozenset(
    {"enter", "escape", "tab", "space", "backspace", "delete", "insert", "home", "end", "pageup",
     "pagedown", "up", "down", "left", "right", "shift+tab", "shift+up", "shift+down",
     "shift+left", "shift+right"}
)  # fmt: skip


def _character_key(character: str) -> str:
    """Textual's name of the key that types a character: question_mark for ?."""
    (binding,) = Binding.make_bindings([Binding(character, "")])
    return binding.key


# The comma stands between keys, so it has its name only.
_PRINTABLE = frozenset({"comma", *(_character_key(chr(c)) for c in range(0x21, 0x7F) if c != 0x2C)})
_NO_SUCH_KEY = "there is no such key"
_TYPED = "it belongs to typing the prompt"
_ARRIVE = "Letters, F1 to F12 and ctrl with most letters arrive from every terminal."
_WHILE_TYPING = "This action works while one types: choose of F1 to F12 and ctrl with a letter."


class Bindable(Protocol):
    """An action with its default keys, comma separated; its name is the binding's id."""

    @property
    def name(self) -> str:
        """The name that the settings file uses."""
        ...

    @property
    def keys(self) -> str:
        """Textual's names of its keys."""
        ...

    @property
    def before_typing(self) -> bool:
        """Whether its keys come to it before a text field sees them."""
        ...


def keymap(
    wanted: Mapping[str, str],
    actions: Iterable[Bindable],
) -> tuple[dict[str, str], tuple[ErrorInfo, ...]]:
    """What `App.set_keymap` takes, and a sentence for everything that was refused.

    `wanted` maps names of actions to keys, and `actions` are those that can be active together. An
    action none of whose keys is usable keeps its own.
    """
    by_name = {action.name: action for action in actions}
    own = {name: _split(action.keys) for name, action in by_name.items()}
    problems: list[ErrorInfo] = []
    usable: dict[str, list[str]] = {}
    for name, keys in wanted.items():
        if name not in own:
            problems.append(_no_such_action(name, own))
            continue
        found = []
        for key in _split(keys):
            why = _why_not(key) or _why_not_here(key, by_name[name])
            if why:
                problems.append(_refused(name, key, why))
            elif key not in found:
                found.append(key)
        if found:
            usable[name] = found
        elif own[name] and not _split(keys):
            problems.append(_refused(name, keys, "an action needs a key"))
    _without_clashes(usable, own, problems)
    return {name: ",".join(keys) for name, keys in usable.items()}, tuple(problems)


def _without_clashes(
    usable: dict[str, list[str]], own: Mapping[str, list[str]], problems: list[ErrorInfo]
) -> None:
    """Take every key away that another action has; an action that lost all gets its own back.

    Its own may then clash in turn, so this goes on until nothing changes.
    """
    while True:
        taken = {key: name for name, keys in own.items() if name not in usable for key in keys}
        lost: list[tuple[str, str]] = []
        for name, keys in usable.items():
            for key in keys:
                if taken.setdefault(key, name) != name:
                    lost.append((name, key))
                    problems.append(_refused(name, key, f"'{taken[key]}' has it"))
        for name, key in lost:
            usable[name].remove(key)
            if not usable[name]:
                del usable[name]
        if not lost:
            return


def _split(keys: str) -> list[str]:
    parts = (part.strip() for part in keys.split(","))
    return [_normal(part) for part in parts if part]


def _normal(key: str) -> str:
    """Textual's name: `?` is question_mark, and of `Ctrl+R` only a single letter keeps its case."""
    modifiers = _MODIFIERS.match(key.lower())
    head = modifiers.group() if modifiers else ""
    rest = key[len(head) :]
    if len(rest) == 1:
        return head + _character_key(rest.lower() if head else rest)
    return head + rest.lower()


def _why_not(key: str) -> str:
    """Why no action can have a key; empty if one can."""
    if key in RESERVED:
        return f"it {RESERVED[key]}"
    if key in _OF_PANES:
        return _OF_PANES[key]
    if key in _LOST:
        return _LOST[key]
    if (
        key in _NAMED
        or key in _PRINTABLE
        or _FUNCTION_KEY.fullmatch(key)
        or _CTRL_LETTER.fullmatch(key)
    ):
        return ""
    if _exists(_MODIFIERS.sub("", key)):
        return "not every terminal sends it"
    return _NO_SUCH_KEY


def _why_not_here(key: str, action: Bindable) -> str:
    """Why this action cannot have a key that others can; empty if it can."""
    if action.before_typing and (key in _PRINTABLE or key in _NAMED - {"escape", "insert"}):
        return _TYPED
    return "other screens use it" if action.name == "help" and key in OF_OTHER_SCREENS else ""


def _exists(base: str) -> bool:
    known = {key.value for key in Keys if not key.value.startswith("<")}
    return base in known or base in _PRINTABLE or base in _NAMED or len(base) == 1


def _no_such_action(name: str, own: Mapping[str, list[str]]) -> ErrorInfo:
    return ErrorInfo(
        "settings",
        f"In [keys] there is no action named '{visible_line(name)[:40]}'.",
        suggestion(name, own) or "`gelu-tui settings --defaults` lists all.",
    )


def _refused(name: str, key: str, why: str) -> ErrorInfo:
    hints = {_NO_SUCH_KEY: suggestion(key, _NAMED | _PRINTABLE), _TYPED: _WHILE_TYPING}
    return ErrorInfo(
        "settings",
        f"In [keys], {name} cannot have the key '{visible_line(key)[:40]}': {why}.",
        hints.get(why, _ARRIVE),
    )
