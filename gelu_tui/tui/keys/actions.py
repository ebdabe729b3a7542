"""Everything the user can do, in tables: keys, footer, command palette, help and settings."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding
from textual.keys import format_key


@dataclass(frozen=True)
class Action:
    """`label` is shown in the footer and `title` in the palette; if empty, the action is not.

    `call` is the action with its parameters; the name is what the settings file uses.
    """

    name: str
    keys: str
    label: str
    title: str
    help: str
    call: str = ""

    def binding(self) -> Binding:
        """The key binding; the user's keymap refers to it by its id."""
        text = self.label or self.title or self.help
        return Binding(self.keys, self.call or self.name, text, show=False, id=self.name)

    @property
    def while_typing(self) -> bool:
        """Whether it is of the whole screen, so that one may want it while typing the prompt."""
        return self not in PANE_ACTIONS


_NAMES = {"escape": "Esc", "left": "←", "right": "→", "up": "↑", "down": "↓"}
_NAMES |= {"pageup": "PgUp", "pagedown": "PgDn"}


def shown_key(key: str) -> str:
    """A key as people write it: F1, ^g, ?, Shift+N."""
    if key.startswith("ctrl+"):
        return f"^{shown_key(key.removeprefix('ctrl+'))}"
    if key.startswith("shift+"):
        return f"Shift+{shown_key(key.removeprefix('shift+'))}"
    if _is_function_key(key):
        return key.upper()
    if len(key) == 1:
        return f"Shift+{key}" if key.isupper() else key
    sign = format_key(key)  # of "full_stop", "."
    return _NAMES.get(key) or (sign if len(sign) == 1 and sign.isascii() else key.capitalize())


def shown_keys(keys: str) -> str:
    """All keys of an action: `F1, ?`; empty without any."""
    return ", ".join(shown_key(key) for key in keys.split(",") if key)


def is_typed(key: str) -> bool:
    """Whether a text field takes the key for a character."""
    return len(key) == 1 or len(format_key(key)) == 1


def _is_function_key(key: str) -> bool:
    return key[:1] == "f" and key[1:].isdigit()


# name, keys, footer, palette, help, call
# Keys survive SSH, tmux and Terminal.app: no alt, no ctrl with b a h i j m [, no ctrl+arrows.
# Many laptops send media keys for F1 to F12, so each of these has a letter for the panes, too.
# fmt: off
_HELP = Action("help", "f1,question_mark,ctrl+o", "Help", "Show help",
               "Help for what has the focus.", "app.open('help')")

# In the prompt too, by Ctrl+F.
NEXT_FORK = Action("next_fork", "full_stop,ctrl+f", "Next fork", "Go to the next fork",
                   "The next fork, in whichever pane it is.", "screen.fork_step(1)")

COMPARE_ACTIONS = (
    Action("run", "ctrl+r", "Run", "Run the prompt",
           "Run the prompt; Enter in the prompt does it too."),
    Action("stop", "ctrl+g", "Stop", "Stop the run or the load",
           "Stop the run or the load; once more ends an engine that does not answer."),
    _HELP,
    Action("activations", "f2,a", "Functions", "Choose functions",
           "Choose and order functions, write your own, choose the reference.",
           "app.open('activations')"),
    Action("prompts", "f3,P", "Prompts", "Choose a prompt: recent, presets, from a file",
           "Take a recent prompt, a preset, or the text of a file.", "app.open('prompts')"),
    Action("models", "f4,m", "Models", "Choose a model",
           "Choose another model: what is on this machine, what it needs, what can be fetched.",
           "app.open('models')"),
    Action("history", "f6,h", "History", "Open saved runs",
           "Saved runs: search, reopen without the model, run again, export, delete.",
           "app.open('history')"),
    Action("sweep", "S", "", "Show the sweep",
           "The sweep that runs, or the one that was looked at last.", "app.open('sweep')"),
    Action("fork", "f7,w", "Fork", "Show the fork of this pane",
           "Why a stream leaves the reference: both sides' candidates; what if it had not.",
           "app.open('fork')"),
    Action("matrix", "f8,x", "Matrix", "Show the matrix of first divergent tokens",
           "The first divergent token of every pair of streams.", "app.open('matrix')"),
    Action("fed_text", "f9,i", "Fed text", "Show the text fed to the model",
           "The exact text and tokens that the model is fed: chat template or raw.",
           "app.open('fed_text')"),
    Action("layers", "", "", "Lab: layers",
           "Which layer does it: the function swapped in one layer at a time, over a text.",
           "app.open('layers')"),
    Action("curves", "", "", "Lab: curves",
           "Curves, derivatives and errors of functions; a histogram of the model's own inputs.",
           "app.open('curves')"),
    Action("text", "T", "", "Lab: text in colour",
           "A text, each token scored and coloured by KL, Δp or another first choice.",
           "app.open('text')"),
    Action("reload", "f5,L", "", "Reload the model",
           "Restart the engine and load the model again."),
    Action("keep_defaults", "", "", "Keep these as my defaults",
           "Write functions, settings of the next run, colours and scrolling into config.toml.",
           "app.keep_defaults"),
    Action("export_json", "", "", "Export as JSON",
           "Write this comparison as JSON.", "app.export('json')"),
    Action("export_markdown", "", "", "Export as Markdown",
           "Write a Markdown report of it.", "app.export('md')"),
    Action("export_html", "", "", "Export as HTML",
           "Write a page for a browser, in one file.", "app.export('html')"),
    Action("export_svg", "", "", "Export the screen as SVG",
           "Write a picture of the screen.", "app.export('svg')"),
)

PANE_ACTIONS = (
    Action("prompt", "p", "Prompt", "", "Back to the prompt.", "screen.to_prompt"),
    Action("to_fork", "f", "To fork", "", "Put the cursor on the first divergent token."),
    NEXT_FORK,
    Action("previous_fork", "comma", "", "", "The previous fork.", "screen.fork_step(-1)"),
    Action("search", "slash", "Search", "Search in all panes", "Search in all panes."),
    Action("next_match", "n", "", "", "The next match.", "match_step(1)"),
    Action("previous_match", "N", "", "", "The previous match.", "match_step(-1)"),
    Action("reference", "r", "Reference", "Make this pane the reference",
           "Compare the others with this pane, at once and in the next run."),
    Action("zoom", "z", "Zoom", "Maximise or restore this pane",
           "Maximise the pane, or restore it."),
    Action("move_back", "less_than_sign", "", "",
           "Move the pane towards the front.", "move_pane(-1)"),
    Action("move_on", "greater_than_sign", "", "",
           "Move the pane towards the end.", "move_pane(1)"),
    Action("layout", "g", "Layout", "Change the layout",
           "Next layout: by the available room, columns, grid, tabs."),
    Action("together", "t", "Together", "Scroll together or each by itself",
           "Scroll and point in all panes together, token by token, or in each by itself."),
    Action("colours", "c", "Colours", "Change the tokens' colours",
           "What the tokens' colours show: nothing, KL, probability, margin."),
    Action("continue", "k", "", "Continue this run",
           "Let a run that has ended go on: a stopped one to its limit, a finished one further.",
           "screen.continue_run"),
    Action("copy_stream", "y", "", "Copy the text of this pane", "Copy the text of the pane."),
    Action("clear", "escape", "", "", "Clear cursor and search."),
)
# fmt: on

# Keys that widgets and Textual bring themselves, for the help page.
PROMPT_KEYS = (
    ("Enter", "Run."),
    ("^n", "New line. Pasted line breaks are kept."),
    ("↑, ↓", "First/last line: previous/next prompt."),
    ("^u", "Clear the prompt."),
    ("^s", "Select all."),
    ("^_, ^y", "Undo, redo. Many keyboards send ^_ by Ctrl+/ too."),
    ("^w, ^k", "Delete the word before, the rest of the line."),
    ("Tab, Shift+Tab", "To the panes and back; there letters act."),
)
MOVING_KEYS = (
    ("Tab", "From the prompt to the panes."),
    ("←, →", "Move the token cursor; it begins at the fork. Details appear above the panes."),
    ("↑, ↓", "Scroll; with a cursor, move it by rows."),
    ("PgUp, PgDn", "Scroll by pages."),
    ("Home, End", "The start; the end, which is then followed. A cursor goes with it."),
    ("Enter", "The fork of this pane."),
    ("1 to 8", "The pane with that number."),
)
OTHER_KEYS = (
    ("^c", "Copy what is selected; with nothing selected, stop the run."),
    ("^q, ^z", "Quit; the engine ends too. Suspend: `fg` comes back."),
    ("^l", "Redraw the screen."),
    ("^p", "Command palette: every action with its key, every setting with any value."),
)

ACTIONS = (*COMPARE_ACTIONS, *PANE_ACTIONS)

# For the screens beside the comparison; a modal one hides the bindings of the app.
HELP = _HELP.binding()

_BY_NAME = {action.name: action for action in ACTIONS}
# Keys that Textual or the app binds, for the footer.
_BY_NAME["quit"] = Action("quit", "ctrl+q", "Quit", "", "", "app.quit")
_BY_NAME["palette"] = Action("palette", "ctrl+p", "Palette", "", "", "app.command_palette")
_BY_NAME["panes"] = Action("panes", "tab", "Panes", "", "", "app.focus_next")

# Most important first: what does not fit a narrow terminal is left out.
PROMPT_LINE, PANE_LINE = (
    tuple(_BY_NAME[name] for name in names.split())
    for names in (
        "help stop activations prompts models history palette quit fork matrix fed_text run panes"
        " next_fork",
        "help stop prompt fork next_fork search quit reference zoom palette matrix fed_text colours"
        " together layout activations history models prompts",
    )
)
