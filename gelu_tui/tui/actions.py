"""Everything the user can do, in tables: keys, footer, command palette, help and settings."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True)
class Action:
    """`label` stands in the footer and `title` in the palette; empty means not there.

    `call` is the action with its parameters where several rows share one; the name is what the
    settings file uses.
    """

    name: str
    keys: str
    label: str
    title: str
    help: str
    call: str = ""

    def binding(self) -> Binding:
        """The key binding; its id is what a keymap of the user's own addresses."""
        return Binding(
            self.keys,
            self.call or self.name,
            self.label or self.title or self.help,
            show=bool(self.label),
            key_display=_shown_in_footer(self.keys),
            # A text field has uses of its own for some function keys.
            priority=all(_is_function_key(key) for key in self.keys.split(",")),
            id=self.name,
        )


def _shown_in_footer(keys: str) -> str | None:
    first = keys.split(",")[0]
    return first.upper() if _is_function_key(first) else None


def _is_function_key(key: str) -> bool:
    return key[:1] == "f" and key[1:].isdigit()


# Keys survive SSH, tmux and Terminal.app: no alt, no ctrl with b a h i j m [, no ctrl+arrows.

COMPARE_ACTIONS = (
    Action("run", "ctrl+r", "", "Run", "Run the prompt; Enter in the prompt does it too."),
    Action(
        "stop",
        "ctrl+g,escape",
        "Stop",
        "Stop",
        "Stop the run or the load; once more ends an engine that does not answer.",
    ),
    Action(
        "help",
        "f1,question_mark",
        "Help",
        "Help",
        "Help for what has the focus.",
        call="app.open('help')",
    ),
    Action(
        "activations",
        "f2",
        "Functions",
        "Activation functions",
        "Choose and order the activation functions, write your own, choose the reference.",
        call="app.open('activations')",
    ),
    Action(
        "prompts",
        "f3",
        "Prompts",
        "Prompts: recent, presets, from a file",
        "Take a recent prompt, a preset, or the text of a file.",
        call="app.open('prompts')",
    ),
    Action(
        "models",
        "f4",
        "Models",
        "Models",
        "Choose another model: what is on this machine, what it needs, what can be fetched.",
        call="app.open('models')",
    ),
    Action(
        "history",
        "f6",
        "History",
        "History",
        "Saved runs: search, reopen without the model, run again, export, delete.",
        call="app.open('history')",
    ),
    Action(
        "fork",
        "f7",
        "Fork",
        "Fork of this pane",
        "Why a stream leaves the reference: the candidates of both sides, and what follows.",
        call="app.open('fork')",
    ),
    Action(
        "matrix",
        "f8",
        "",
        "Matrix of first divergent tokens",
        "The first divergent token of every pair of streams.",
        call="app.open('matrix')",
    ),
    Action(
        "fed_text",
        "f9",
        "",
        "Text fed to the model",
        "The exact text and tokens that the model is fed: chat template or raw.",
        call="app.open('fed_text')",
    ),
    Action(
        "reload",
        "f5",
        "",
        "Reload the model",
        "Start the engine anew and load the model again.",
    ),
    Action(
        "export_json",
        "",
        "",
        "Export as JSON",
        "Write this comparison as JSON.",
        call="app.export('json')",
    ),
    Action(
        "export_markdown",
        "",
        "",
        "Export as Markdown",
        "Write a Markdown report of it.",
        call="app.export('md')",
    ),
    Action(
        "export_svg",
        "",
        "",
        "Export the screen as SVG",
        "Write a picture of the screen.",
        call="app.export('svg')",
    ),
)

PANE_ACTIONS = (
    Action("to_fork", "f", "", "", "Put the cursor on the first divergent token."),
    Action(
        "next_fork",
        "full_stop",
        "",
        "",
        "The next fork, in whichever pane it is.",
        "fork_step(1)",
    ),
    Action("previous_fork", "comma", "", "", "The fork before.", "fork_step(-1)"),
    Action("search", "slash", "", "Search in all panes", "Search in all panes."),
    Action("next_match", "n", "", "", "The next place found.", "match_step(1)"),
    Action("previous_match", "N", "", "", "The place before.", "match_step(-1)"),
    Action(
        "reference",
        "r",
        "",
        "Reference: this pane",
        "Compare the others with this pane, at once and in the next run.",
    ),
    Action("zoom", "z", "", "Maximise or restore this pane", "Maximise the pane, or restore it."),
    Action(
        "move_back",
        "less_than_sign",
        "",
        "",
        "Move the pane towards the front.",
        "move_pane(-1)",
    ),
    Action(
        "move_on",
        "greater_than_sign",
        "",
        "",
        "Move the pane towards the end.",
        "move_pane(1)",
    ),
    Action(
        "layout",
        "g",
        "",
        "Layout: columns, grid, tabs",
        "Next layout: by the room there is, columns, grid, tabs.",
    ),
    Action(
        "together",
        "t",
        "",
        "Scroll together or free",
        "Scroll and point in all panes together, token by token, or in each by itself.",
    ),
    Action(
        "colours",
        "c",
        "",
        "Token colours: plain, KL, probability, margin",
        "What the tokens' colours tell: nothing, KL, probability, margin.",
    ),
    Action("copy_stream", "y", "", "Copy the text of this pane", "Copy the text of the pane."),
    Action("clear", "escape", "", "", "Take the cursor and the search away."),
)

# Keys that widgets and Textual bring themselves, for the help page.
PROMPT_KEYS = (
    ("enter", "Run."),
    ("ctrl+n", "New line. Pasted line breaks are kept."),
    ("up, down", "In the first and the last line: the prompt before, the one after."),
    ("tab, shift+tab", "To the panes and back."),
)
MOVING_KEYS = (
    ("left, right", "Move the token cursor; it begins at the fork. The line above tells of it."),
    ("up, down", "Scroll; with a cursor, move it by rows."),
    ("pageup, pagedown", "Scroll by pages."),
    ("home, end", "The start; the end, which is then followed."),
    ("enter", "The fork of this pane."),
    ("1 to 8", "The pane of that number."),
)
OTHER_KEYS = (
    ("ctrl+c", "Copy what is selected; with nothing selected, stop the run."),
    ("ctrl+q", "Quit; the engine ends too."),
    ("ctrl+p", "Command palette: every action, schedule, chat or raw, tokens, theme."),
)

ACTIONS = (*COMPARE_ACTIONS, *PANE_ACTIONS)
