"""The user's keys for the app's actions, as Textual's keymap."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from textual.binding import Binding
from textual.keys import Keys

from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.validation import suggestion
from gelu_tui.tui.keys.actions import Action, is_typed

_MOVING = ("up", "down", "left", "right", "home", "end", "pageup", "pagedown", "space")

# Keys that no action can have, and why.
RESERVED = {
    # The app and its widgets use these themselves.
    "ctrl+q": "it quits",
    "ctrl+c": "it copies",
    "ctrl+p": "it opens the command palette",
    "ctrl+l": "it redraws the screen",
    "tab": "it moves the focus",
    "shift+tab": "it moves the focus",
    "enter": "it runs the prompt and chooses",
    # The panes bind these: one of them would never reach an action, or would block the panes'.
    **dict.fromkeys("12345678", "it chooses a pane"),
    **dict.fromkeys(_MOVING, "it moves in the panes"),
    # Terminals send these as another key, or tmux and screen keep them for themselves.
    "ctrl+a": "screen keeps it for itself",
    "ctrl+b": "tmux keeps it for itself",
    "ctrl+h": "terminals send it as Backspace",
    "ctrl+i": "terminals send it as Tab",
    "ctrl+j": "terminals send it as a line feed",
    "ctrl+m": "terminals send it as Enter",
    "ctrl+z": "it suspends the app",
    "ctrl+left_square_bracket": "terminals send it as Escape",
}
# What the screens beside the comparison bind; only help acts there too.
_OF_OTHER_SCREENS = frozenset(
    {*"cdefnpqrstuvx", "slash", "delete", "backspace", "escape", "shift+up", "shift+down",
     "ctrl+g", "f2", "f3", "f4", "f6", "f7", "f8", "f9", "f10"}
)  # fmt: skip

_MODIFIERS = re.compile(r"((ctrl|shift|alt|meta|super|hyper)\+)*")
_FROM_EVERY_TERMINAL = re.compile(r"f([1-9]|1[0-2])|ctrl\+[a-z]")
_NAMED = frozenset(
    {*_MOVING, "enter", "escape", "tab", "backspace", "delete", "insert", "shift+tab", "shift+up",
     "shift+down", "shift+left", "shift+right"}
)  # fmt: skip


def _character_key(character: str) -> str:
    """Textual's name of the key that types a character: question_mark for ?."""
    (binding,) = Binding.make_bindings([Binding(character, "")])
    return binding.key


# The comma separates keys, so only its name is accepted.
_PRINTABLE = frozenset({"comma", *(_character_key(chr(c)) for c in range(0x21, 0x7F) if c != 0x2C)})
_KEYS = _NAMED | _PRINTABLE
# What a text field makes of these: letters, moving, deleting, the clipboard, undo, a line feed.
_FOR_TYPING = (_KEYS - {"escape", "insert"}) | {f"ctrl+{letter}" for letter in "deknsuvwxy"}
_NO_SUCH_KEY = "there is no such key"
_TYPED = "it belongs to typing the prompt"
_ARRIVE = "Letters, F1 to F12 and ctrl with most letters arrive from every terminal."
_WHILE_TYPING = (
    "This action works while one types: choose from F1 to F12, or ctrl with a letter that does not "
    "edit text, e.g. ctrl+t."
)


def keymap(
    wanted: Mapping[str, str], actions: Iterable[Action]
) -> tuple[dict[str, str], tuple[ErrorInfo, ...]]:
    """The argument of `App.set_keymap`, and an error for each name or key that was refused.

    `wanted` maps names of actions to keys, and `actions` are those that can be active together. An
    action none of whose keys is usable keeps its own. An action of the whole screen leaves the
    letters that it has in the panes to who wants them.
    """
    by_name = {action.name: action for action in actions}
    own = {name: _split(action.keys) for name, action in by_name.items()}
    problems: list[ErrorInfo] = []
    usable: dict[str, list[str]] = {}
    for name, keys in wanted.items():
        if name not in own:
            problem = f"In [keys] there is no action named '{visible_line(name)[:40]}'."
            hint = suggestion(name, own) or "`gelu-tui settings --defaults` lists all."
            problems.append(ErrorInfo("settings", problem, hint))
            continue
        found = []
        for key in _split(keys):
            if why := _why_not(key, by_name[name]):
                problems.append(_refused(name, key, why))
            elif key not in found:
                found.append(key)
        if found:
            usable[name] = found
        elif own[name] and not _split(keys):
            problems.append(_refused(name, keys, "an action needs a key"))
    taken = {key for keys in usable.values() for key in keys if is_typed(key)}
    for name, defaults in own.items():
        left = [key for key in defaults if key not in taken]
        if name not in usable and by_name[name].while_typing and 0 < len(left) < len(defaults):
            usable[name] = left
    _without_clashes(usable, own, problems)
    return {name: ",".join(keys) for name, keys in usable.items()}, tuple(problems)


def _without_clashes(
    usable: dict[str, list[str]], own: Mapping[str, list[str]], problems: list[ErrorInfo]
) -> None:
    """Remove every key that another action has; an action that lost all gets its own back.

    Its own may then clash in turn, so this goes on until nothing changes. Two actions that share a
    key by default, as Escape, may share it.
    """
    while True:
        taken = {key: name for name, keys in own.items() if name not in usable for key in keys}
        lost: list[tuple[str, str]] = []
        for name, keys in usable.items():
            for key in keys:
                other = taken.setdefault(key, name)
                if other != name and not (key in own[name] and key in own[other]):
                    lost.append((name, key))
                    problems.append(_refused(name, key, f"'{other}' has it"))
        for name, key in lost:
            usable[name].remove(key)
            if not usable[name]:
                del usable[name]
        if not lost:
            return


def _split(keys: str) -> list[str]:
    return [_normal(key.strip()) for key in keys.split(",") if key.strip()]


def _normal(key: str) -> str:
    """Textual's name: `?` is question_mark, and of `Ctrl+R` only a single letter keeps its case."""
    base = _MODIFIERS.sub("", key.lower(), count=1)
    head, rest = key[: len(key) - len(base)].lower(), key[len(key) - len(base) :]
    if len(rest) == 1:
        return head + _character_key(rest.lower() if head else rest)
    return head + rest.lower()


def _why_not(key: str, action: Action) -> str:
    """Why an action cannot have a key; empty if it can."""
    if key in RESERVED:
        return RESERVED[key]
    if key not in _KEYS and not _FROM_EVERY_TERMINAL.fullmatch(key):
        base = _MODIFIERS.sub("", key)
        known = {key.value for key in Keys if not key.value.startswith("<")} | _KEYS
        exists = base in known or len(base) == 1
        return "not every terminal sends it" if exists else _NO_SUCH_KEY
    if action.name == "help" and key in _OF_OTHER_SCREENS:
        return "other screens use it"
    is_typed = action.while_typing and key in _FOR_TYPING and key not in _split(action.keys)
    return _TYPED if is_typed else ""


def _refused(name: str, key: str, why: str) -> ErrorInfo:
    hints = {_NO_SUCH_KEY: suggestion(key, _KEYS), _TYPED: _WHILE_TYPING}
    problem = f"In [keys], {name} cannot have the key '{visible_line(key)[:40]}': {why}."
    return ErrorInfo("settings", problem, hints.get(why, _ARRIVE))
