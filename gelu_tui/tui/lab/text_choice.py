"""Choosing a text for the lab: a file, a saved run, the run that is shown, or words."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from msgspec.structs import replace
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from gelu_tui.core.errors import ErrorInfo, UsageError
from gelu_tui.core.own_files import schema_of
from gelu_tui.core.paths import expanded
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.find_run import is_in_history, read_file
from gelu_tui.core.runs.history import History
from gelu_tui.core.runs.restore import read_document
from gelu_tui.core.safe_text import quoted, visible_line
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.run_settings import RunSettings, with_functions_of
from gelu_tui.core.text_files import read_text_file
from gelu_tui.sweep.saved_sweeps import find_in_sweeps, find_saved
from gelu_tui.tui.lab.engine_job import Measurement
from gelu_tui.tui.widgets.background import run_in_thread
from gelu_tui.tui.widgets.keys_in_turn import TextField
from gelu_tui.tui.widgets.path_suggester import PathSuggester

Opened = Callable[[], AbstractContextManager[History]]

_PASTED = 400  # characters from which what is pasted is a text and no path

_Measured = TypeVar("_Measured", bound=Measurement[Any, Any])


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


class TextChoice(Vertical, Generic[_Measured]):
    """Asks for a text, and posts `Chosen` to its screen.

    `choices` are the settings of the next run, `shown_run` is the run on the first screen if it
    has ended, and `opened` opens the history.
    """

    DEFAULT_CSS = """
    TextChoice { display: none; height: 1fr; padding: 1 2; max-width: 110; }
    TextChoice > Static { height: auto; margin-bottom: 1; }
    TextChoice > #choice-title { text-style: bold; }
    TextChoice > #file { margin-bottom: 1; }
    """
    question: ClassVar[str]
    verb: ClassVar[str]  # what is done to the text

    @dataclass
    class Chosen(Message):
        """What is to be measured, or was and is saved."""

        found: Measurement[Any, Any]

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
        self._words: str | None = None  # what is no file, and would be read as it is

    @abstractmethod
    def how(self, choices: RunSettings) -> str:
        """What would be done, with the settings of the next run."""

    @abstractmethod
    def measurement(
        self, settings: RunSettings, source: ScoreSource, *, prompt: int = 0, **text: Any
    ) -> _Measured:
        """The measurement of a text (as for `over_text`), whose first tokens are a run's prompt.

        Raises `UsageError`.
        """

    def saved(self, data: bytes) -> _Measured | None:
        """The measurement that a JSON file holds, None if it is another file."""
        return None

    @property
    def keys(self) -> str:
        """What the keys do, for the last line."""
        run = "" if self._shown_run() is None else "^r the run that is shown · "
        return f"Enter {self.verb} it · → completes · {run}Esc back"

    # --- what a text is -----------------------------------------------------------------------

    def _of_text(self, text: str, name: str, choices: RunSettings) -> _Measured:
        return self.measurement(choices, ScoreSource("text", name), texts=[text])

    def _of_run(self, run: ComparisonDocument, name: str, choices: RunSettings) -> _Measured:
        """That of a run's prompt and its reference's stream: with its own model and functions."""
        settings = with_functions_of(choices, run.settings)
        source, prompt = ScoreSource("run", name), len(run.prompt_tokens)
        return self.measurement(settings, source, tokens=run.reference_tokens, prompt=prompt)

    def _read(self, name: str, choices: RunSettings) -> _Measured:
        """What a name means: a run, what is saved, or the file of a text. Raises `GeluError`."""
        if is_in_history(name) or find_in_sweeps(name) is not None:
            return self._of_run(find_saved(name, self._opened)[1], name, choices)
        if name.lower().endswith(".json"):
            data = read_file(expanded(name))
            if (saved := self.saved(data)) is not None:
                return saved
            schema = schema_of(data)
            if schema.startswith("gelu-tui.comparison/"):
                return self._of_run(read_document(data), name, choices)
            if schema:
                message = f"{quoted(name, 60)} is a result that was saved ({schema}), not a text."
                raise UsageError(message, "Give a text, or a run that was saved as JSON.")
        return self._of_text(read_text_file(name), name, choices)

    # --- asking for it ------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield Static(self.question, id="choice-title", markup=False)
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
        run = self._shown_run()
        self.query_one("#run", Static).display = run is not None
        if run is not None:
            tokens = len(run.reference_variant.tokens)
            said = f"the run that is shown: {quoted(run.prompt, 40)} and {tokens:,} tokens of "
            said += visible_line(run.reference)
            self.query_one("#run", Static).update(Content.assemble(("^r  ", "bold"), said))
        how = self.how(self._choices())
        more = "A run is read by its own functions. You can paste a text here too."
        self.query_one("#how", Static).update(Content.styled(f"{how} {more}", "dim"))
        self.query_one(PathField).focus()

    def choose_run(self) -> None:
        """Take the run that is shown, if there is one."""
        if (run := self._shown_run()) is not None:
            name = f"{quoted(run.prompt, 30)}, as shown"
            self._try(partial(self._of_run, run, name, self._choices()))

    @on(PathField.Pasted)
    def _show_pasted(self, message: PathField.Pasted) -> None:
        message.stop()
        self._pasted = message.text
        said = f"Pasted: {len(message.text):,} characters, {quoted(message.text, 40)}. "
        self.query_one("#pasted", Static).update(f"{said}Enter {self.verb} it.")

    @on(Input.Changed)
    def _changed(self) -> None:
        self._words, self._pasted = None, ""
        self.query_one("#pasted", Static).update("")
        self._tell("")

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        name, choices = event.value.strip(), self._choices()
        if self._pasted and not name:
            self._try(partial(self._of_text, self._pasted, "pasted text", choices))
        elif name and name == self._words:
            self._try(partial(self._of_text, event.value, quoted(name, 30), choices))
        elif name:
            read = partial(self._read, name, choices)
            run_in_thread(self.screen, read, self._found, partial(self._failed, name), "read")
        else:
            self._tell("Give the path of a file here, or paste a text.")

    def _try(self, make: Callable[[], _Measured]) -> None:
        try:
            self._found(make())
        except UsageError as error:
            self._tell(error.info)

    def _found(self, found: _Measured) -> None:
        self.post_message(self.Chosen(found))

    def _failed(self, name: str, error: ErrorInfo) -> None:
        if error.kind == "prompt_file" and " " in name and not Path(name).parent.name:
            self._words = name
            hint = f"Enter once more {self.verb} these words themselves."
            error = replace(error, hint=hint)
        self._tell(error)

    def _tell(self, words: str | ErrorInfo) -> None:
        self.post_message(self.Told(words))
