"""Choosing the text of a scoring: a file, a saved run, the run that is shown, or words."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from msgspec.structs import replace
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, UsageError
from gelu_tui.core.paths import expanded
from gelu_tui.core.protocol.requests import over_text
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.find_run import is_in_history, read_file
from gelu_tui.core.runs.history import History
from gelu_tui.core.runs.restore import read_document
from gelu_tui.core.safe_text import quoted, visible_line
from gelu_tui.core.scoring.document import ScoreSource, read_score
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.text_files import read_text_file
from gelu_tui.sweep.saved_sweeps import find_in_sweeps, find_saved
from gelu_tui.tui.lab.text_scoring import Asked, ShownText
from gelu_tui.tui.widgets.background import run_in_thread
from gelu_tui.tui.widgets.keys_in_turn import TextField
from gelu_tui.tui.widgets.path_suggester import PathSuggester

Opened = Callable[[], AbstractContextManager[History]]
Found = Asked | ShownText

_PASTED = 400  # characters from which what is pasted is a text and no path


def asked_of_text(text: str, name: str, choices: RunSettings) -> Asked:
    """The scoring of a text with the settings of the next run. Raises `UsageError`."""
    settings = replace(choices, control=True)
    return Asked(over_text(p.Score, settings, texts=[text]), ScoreSource("text", name))


def asked_of_run(run: ComparisonDocument, name: str, choices: RunSettings) -> Asked:
    """That of a run's prompt and its reference's stream: with its own model and functions."""
    own = run.settings
    settings = replace(
        choices,
        model=own.model,
        dtype=own.dtype,
        activations=own.activations,
        reference=own.reference,
        activation_precision=own.activation_precision,
        control=True,
    )
    tokens = (*run.prompt_tokens, *run.reference_variant.tokens)
    return Asked(over_text(p.Score, settings, tokens=tokens), ScoreSource("run", name))


def read_source(name: str, choices: RunSettings, opened: Opened) -> Found:
    """What a name means: a run, a saved scoring, or the file of a text. Raises `GeluError`."""
    if is_in_history(name) or find_in_sweeps(name) is not None:
        return asked_of_run(find_saved(name, opened)[1], name, choices)
    if name.lower().endswith(".json"):
        data = read_file(expanded(name))
        if (scored := read_score(data)) is not None:
            return ShownText.of(scored)
        if b'"gelu-tui.comparison/' in data[:200]:
            return asked_of_run(read_document(data), name, choices)
    return asked_of_text(read_text_file(name), name, choices)


class PathField(TextField):
    """A field for a path; a long text that is pasted is told of, and not put into it."""

    @dataclass
    class Pasted(Message):
        """A text was pasted."""

        text: str

    def _on_paste(self, event: events.Paste) -> None:
        text = event.text.replace("\r\n", "\n").replace("\r", "\n")
        if len(text) > _PASTED or "\n" in text.strip():
            self.post_message(self.Pasted(text))
            event.stop()
            event.prevent_default()
        else:
            super()._on_paste(event)


class TextChoice(Vertical):
    """Asks for a text; its screen is told what was chosen."""

    @dataclass
    class Chosen(Message):
        """A text to score, or a scoring that was saved."""

        found: Found

    @dataclass
    class Told(Message):
        """What to say about what was given."""

        words: str | ErrorInfo

    def __init__(
        self,
        choices: Callable[[], RunSettings],
        shown_run: Callable[[], ComparisonDocument | None],
        opened: Opened,
    ) -> None:
        super().__init__(id="choice")
        self._choices, self._shown_run, self._opened = choices, shown_run, opened
        self._pasted = ""
        self._words: str | None = None  # what is no file, and would be scored as it is

    def compose(self) -> ComposeResult:
        yield Static("Which text do the functions read?", id="choice-title", markup=False)
        yield PathField(
            placeholder="A text file, or a saved run: its number, last, or a JSON file",
            suggester=PathSuggester(use_cache=False, case_sensitive=True),
            id="file",
        )
        yield Static(id="pasted", markup=False)
        yield Static(id="run", markup=False)
        yield Static(id="how", markup=False)

    def show(self) -> None:
        """Say what would be read, and by which functions; take the focus."""
        choices, run = self._choices(), self._shown_run()
        self.query_one("#run", Static).display = run is not None
        if run is not None:
            tokens = len(run.reference_variant.tokens)
            said = f"the run that is shown: {quoted(run.prompt, 40)} and {tokens:,} tokens of "
            said += visible_line(run.reference)
            self.query_one("#run", Static).update(Content.assemble(("^r  ", "bold"), said))
        functions = ", ".join(map(visible_line, choices.activations))
        how = (
            f"{functions} and a control read it, on {visible_line(choices.model)}, in windows of "
            "512 tokens; each token is coloured by how much its prediction differs from the "
            "reference's. A run is read by its own functions. You can paste a text here too."
        )
        self.query_one("#how", Static).update(Content.styled(how, "dim"))
        self.query_one(PathField).focus()

    @on(PathField.Pasted)
    def _show_pasted(self, message: PathField.Pasted) -> None:
        message.stop()
        self._pasted = message.text
        said = f"Pasted: {len(message.text):,} characters, {quoted(message.text, 40)}. "
        self.query_one("#pasted", Static).update(f"{said}Enter scores it.")

    @on(Input.Changed)
    def _changed(self) -> None:
        self._words, self._pasted = None, ""
        self.query_one("#pasted", Static).update("")
        self.post_message(self.Told(""))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        name, choices = event.value.strip(), self._choices()
        if self._pasted and not name:
            self._try(partial(asked_of_text, self._pasted, "pasted text", choices))
        elif name and name == self._words:
            self._try(partial(asked_of_text, event.value, quoted(name, 30), choices))
        elif name:
            read = partial(read_source, name, choices, self._opened)
            run_in_thread(self.screen, read, self._found, partial(self._failed, name), "read")
        else:
            self.post_message(self.Told("Give the path of a file here, or paste a text."))

    def choose_run(self) -> None:
        """Take the run that is shown, if there is one."""
        if (run := self._shown_run()) is not None:
            name = f"{quoted(run.prompt, 30)}, as shown"
            self._try(partial(asked_of_run, run, name, self._choices()))

    def _try(self, make: Callable[[], Asked]) -> None:
        try:
            self._found(make())
        except UsageError as error:
            self.post_message(self.Told(error.info))

    def _found(self, found: Found) -> None:
        self.post_message(self.Chosen(found))

    def _failed(self, name: str, error: ErrorInfo) -> None:
        if error.kind == "prompt_file" and " " in name and not Path(name).parent.name:
            self._words = name
            error = replace(error, hint="Enter once more scores these words themselves.")
        self.post_message(self.Told(error))
