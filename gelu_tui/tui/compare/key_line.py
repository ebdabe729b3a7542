"""The few keys that matter, for the part of the screen that has the focus.

Not Textual's Footer: that one is a widget for each key, created again whenever the focus moves,
which takes a hundred milliseconds while eight panes stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.cells import cell_len
from textual.content import Content
from textual.events import Click
from textual.widgets import Static

from gelu_tui.tui.keys.actions import Action, is_typed, shown_key
from gelu_tui.tui.widgets.kept_lines import KeptLines

_BETWEEN = "  "


class KeyLine(KeptLines, Static):
    """Keys with their labels; those that do not fit are left out, and a click is the key."""

    def __init__(self) -> None:
        super().__init__(id="keys")
        self._shown: tuple[object, ...] = ()
        self._ends: list[tuple[int, str]] = []

    def show(
        self, actions: Iterable[Action], keymap: Mapping[str, str], off: set[str], *, typing: bool
    ) -> None:
        """Draw the keys of `actions`, the most important first; names in `off` are left out.

        While the user is `typing` a letter is no key; else it is the shortest one.
        """
        chosen = tuple(action for action in actions if action.name not in off)
        now = (chosen, self.size.width, typing)
        if now == self._shown:
            return
        self._shown = now
        parts: list[tuple[str, str]] = []
        self._ends = []
        used = 0
        for action in chosen:
            keys = keymap.get(action.name, action.keys).split(",")
            fitting = [key for key in keys if is_typed(key) != typing] or keys
            if typing and is_typed(fitting[0]):
                continue
            pressed = fitting[0]
            key, label = shown_key(pressed), f" {action.label}"
            if used + cell_len(key + label) > self.size.width:
                break
            used += cell_len(key + label) + len(_BETWEEN)
            parts += [(key, "bold $text-accent"), (label + _BETWEEN, "")]
            self._ends.append((used, pressed))
        self.update(Content.assemble(*parts), layout=False)

    def on_click(self, event: Click) -> None:
        for end, key in self._ends:
            if event.x - 1 < end:
                self.app.simulate_key(key)
                return
