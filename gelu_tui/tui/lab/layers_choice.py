"""Choosing the text over which layers are swapped: a file, what is pasted, or the run shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, UsageError
from gelu_tui.core.lab.layers import with_reference
from gelu_tui.core.protocol.requests import over_text
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.safe_text import quoted, visible_line
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.text_files import read_text_file
from gelu_tui.tui.lab.text_choice import PathField
from gelu_tui.tui.widgets.background import run_in_thread
from gelu_tui.tui.widgets.path_suggester import PathSuggester


def of_text(text: str, choices: RunSettings) -> p.Layers:
    """The command over a text with the settings of the next run. Raises `UsageError`."""
    settings = with_reference(replace(choices, control=False))
    return over_text(p.Layers, settings, texts=[text])


def of_run(run: ComparisonDocument, choices: RunSettings) -> p.Layers:
    """That over a run's prompt and its reference's stream: with its own model and functions."""
    own = run.settings
    settings = replace(
        choices,
        model=own.model,
        dtype=own.dtype,
        activations=own.activations,
        reference=own.reference,
        activation_precision=own.activation_precision,
        control=False,
    )
    tokens = (*run.prompt_tokens, *run.reference_variant.tokens)
    prompt = len(run.prompt_tokens)
    return over_text(p.Layers, with_reference(settings), tokens=tokens, prompt=prompt)


class LayersChoice(Vertical):
    """Asks for a text; its screen is told what was chosen."""

    @dataclass
    class Chosen(Message):
        """The command over what was chosen, and what that is."""

        command: p.Layers
        source: ScoreSource

    @dataclass
    class Told(Message):
        """What to say about what was given."""

        words: str | ErrorInfo

    def __init__(
        self,
        choices: Callable[[], RunSettings],
        shown_run: Callable[[], ComparisonDocument | None],
    ) -> None:
        super().__init__(id="choice")
        self._choices, self._shown_run = choices, shown_run
        self._pasted = ""

    def compose(self) -> ComposeResult:
        yield Static(Content.styled("Over which text?", "bold"))
        yield PathField(
            placeholder="A text file; or paste a text",
            suggester=PathSuggester(use_cache=False, case_sensitive=True),
            id="file",
        )
        yield Static(id="pasted", markup=False)
        yield Static(id="run", markup=False)
        yield Static(id="how", markup=False)

    def show(self) -> None:
        """Say what would be measured; take the focus."""
        choices, run = self._choices(), self._shown_run()
        self.query_one("#run", Static).display = run is not None
        if run is not None:
            said = f"the run that is shown: {quoted(run.prompt, 40)} and the stream of "
            content = Content.assemble(("^r  ", "bold"), said, visible_line(run.reference))
            self.query_one("#run", Static).update(content)
        functions = ", ".join(map(visible_line, choices.activations))
        how = (
            f"Each chosen function ({functions}) takes the reference's place in one layer at a "
            f"time, and in all but one, on {visible_line(choices.model)}. That is two passes for "
            "each layer, so it takes a while; what is stopped can go on later."
        )
        self.query_one("#how", Static).update(Content.styled(how, "dim"))
        self.query_one(PathField).focus()

    @on(PathField.Pasted)
    def _show_pasted(self, message: PathField.Pasted) -> None:
        message.stop()
        self._pasted = message.text
        said = (
            f"Pasted: {len(message.text):,} characters, {quoted(message.text, 40)}. Enter begins."
        )
        self.query_one("#pasted", Static).update(said)

    @on(Input.Changed)
    def _changed(self) -> None:
        self._pasted = ""
        self.query_one("#pasted", Static).update("")
        self.post_message(self.Told(""))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        name = event.value.strip()
        if self._pasted and not name:
            self._chosen(lambda: of_text(self._pasted, self._choices()), "text", "pasted text")
        elif name:

            def read(text: str) -> None:
                self._chosen(lambda: of_text(text, self._choices()), "text", name)

            run_in_thread(self.screen, lambda: read_text_file(name), read, self._tell, "read")
        else:
            self.post_message(self.Told("Give the path of a file here, or paste a text."))

    def _tell(self, words: str | ErrorInfo) -> None:
        self.post_message(self.Told(words))

    def choose_run(self) -> None:
        """Take the run that is shown, if there is one."""
        if (run := self._shown_run()) is not None:
            name = f"{quoted(run.prompt, 30)}, as shown"
            self._chosen(lambda: of_run(run, self._choices()), "run", name)

    def _chosen(self, make: Callable[[], p.Layers], kind: str, name: str) -> None:
        try:
            command = make()
        except UsageError as error:
            self.post_message(self.Told(error.info))
            return
        source = ScoreSource("run" if kind == "run" else "text", name)
        self.post_message(self.Chosen(command, source))
