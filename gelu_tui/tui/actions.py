"""Everything the user can do, in one table: keys, footer, command palette and help read it."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True)
class Action:
    """`label` stands in the footer and `title` in the palette; empty means not there."""

    name: str
    keys: str
    label: str
    title: str
    help: str

    def binding(self) -> Binding:
        """The key binding on the compare screen."""
        first = self.keys.split(",")[0]
        shown = first.upper() if first.startswith("f") else None
        return Binding(
            self.keys,
            self.name,
            self.label or self.title,
            show=bool(self.label),
            key_display=shown,
        )


# Keys survive SSH, tmux and Terminal.app: no alt, no ctrl with b a h i j m [, no ctrl+arrows.
COMPARE_ACTIONS = (
    Action("run", "ctrl+r", "Run", "Run", "Run the prompt; Enter in the prompt does it too."),
    Action(
        "stop",
        "ctrl+g,escape",
        "Stop",
        "Stop",
        "Stop the run or the load; once more ends an engine that does not answer.",
    ),
    Action(
        "activations",
        "f2",
        "Activations",
        "Activations",
        "Choose and order the activation functions, write your own, choose the reference.",
    ),
    Action(
        "reload",
        "f5",
        "Reload",
        "Reload the model",
        "Start the engine anew and load the model again.",
    ),
    Action("help", "f1,question_mark", "Help", "Help", "This page."),
    Action(
        "reference",
        "r",
        "",
        "Reference: the focused pane",
        "In a pane: make it the reference of the next run.",
    ),
)


# Keys that widgets and Textual bring themselves, for the help page.
OTHER_KEYS = (
    ("enter", "In the prompt: run."),
    ("ctrl+n", "In the prompt: new line. Pasted line breaks are kept."),
    ("tab, shift+tab", "From the prompt to the panes and back; arrows and pages scroll a pane."),
    ("ctrl+c", "Copy what is selected; with nothing selected, stop the run."),
    ("ctrl+q", "Quit; the engine ends too."),
    ("ctrl+p", "Command palette: every action, schedule, chat or raw, tokens, theme."),
)
