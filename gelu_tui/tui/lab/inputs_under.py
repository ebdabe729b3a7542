"""Under the curves: what is read for the model's own inputs, how far it is, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from msgspec.structs import replace
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input
from textual.worker import Worker

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.functions.variants import Variant
from gelu_tui.core.protocol.requests import over_text
from gelu_tui.core.reports.progress import progress_sentence
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.safe_text import quoted, visible_line
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.text_files import read_text_file
from gelu_tui.tui.lab.inputs_job import InputsJob
from gelu_tui.tui.lab.inputs_view import histogram, places, sentence
from gelu_tui.tui.widgets.background import is_open, run_in_thread
from gelu_tui.tui.widgets.bars import Histogram
from gelu_tui.tui.widgets.keys_in_turn import TextField
from gelu_tui.tui.widgets.message_line import MessageLine


class _FileField(TextField):
    """Asks for a text file; Escape hides it."""

    BINDINGS: ClassVar = [Binding("escape", "hide", "Back to the curves", show=False)]

    def action_hide(self) -> None:
        self.display = False


class InputsUnder(Vertical):
    """The inputs that `job` has read, of all layers or of the one that is stepped to.

    `choices` are the settings of the next run, and `shown_run` is the run on the screen below, if
    it has ended.
    """

    class Changed(Message):
        """Another histogram is to be drawn."""

        def __init__(self, found: Histogram | None) -> None:
            super().__init__()
            self.histogram = found

    def __init__(
        self,
        job: InputsJob,
        choices: Callable[[], RunSettings],
        shown_run: Callable[[], ComparisonDocument | None],
    ) -> None:
        super().__init__(id="inputs")
        self._job, self._choices, self._shown_run = job, choices, shown_run
        self._place = 0  # all layers, and then each site
        self._functions: Sequence[Variant] = ()

    def compose(self) -> ComposeResult:
        yield _FileField(placeholder="A text file that the model reads", id="inputs-file")
        yield MessageLine(id="inputs-words")

    def on_mount(self) -> None:
        self.query_one(_FileField).display = False
        self._job.on_change = self._show
        self._show()

    def on_unmount(self) -> None:
        self._job.on_change = lambda: None

    # --- what can be done ---------------------------------------------------------------------

    async def read(self, functions: Sequence[Variant], *, asks: bool) -> None:
        """Read the run that is shown; or a file that is asked for, where there is none."""
        self._functions = functions
        run = self._shown_run()
        if asks or run is None:
            field = self.query_one(_FileField)
            field.display = True
            field.focus()
            return
        own = run.settings
        settings = replace(
            self._settings, model=own.model, dtype=own.dtype,
            activation_precision=own.activation_precision,
        )  # fmt: skip
        tokens = (*run.prompt_tokens, *run.reference_variant.tokens)
        source = ScoreSource("run", f"the run {quoted(run.prompt, 30)}")
        await self._begin(settings, source, tokens=tokens)

    async def stop(self) -> None:
        """Stop reading; what there is stays."""
        await self._job.stop()

    def step(self, by: int) -> None:
        """Show the inputs of the next layer, or of all."""
        if self._job.state is not None and (count := places(self._job.state)):
            self._place = (self._place + by) % count
            self._show()

    @property
    def _settings(self) -> RunSettings:
        """Those of the next run, with the functions that are drawn; the model's own computes."""
        specs = tuple(variant.spec for variant in self._functions) or ("gelu",)
        return replace(self._choices(), activations=specs, reference=None, control=False)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if name := event.value.strip():
            then = partial(self._read_text, name)
            run_in_thread(self.screen, partial(read_text_file, name), then, self._tell)

    def _read_text(self, name: str, text: str) -> None:
        self.query_one(_FileField).display = False

        async def begin() -> None:
            await self._begin(self._settings, ScoreSource("text", name), texts=[text])

        _: Worker[None] = self.run_worker(begin, group="inputs", exclusive=True)

    async def _begin(
        self,
        settings: RunSettings,
        source: ScoreSource,
        *,
        texts: Sequence[str] = (),
        tokens: Sequence[int] = (),
    ) -> None:
        try:
            command = over_text(p.GateInputs, settings, texts=texts, tokens=tokens)
            await self._job.begin(command, source)
        except GeluError as error:
            self._tell(error.info)
            return
        self._place = 0
        self._show()

    # --- what is shown ------------------------------------------------------------------------

    def _tell(self, words: str | ErrorInfo) -> None:
        self.query_one(MessageLine).show_message(words)

    def _show(self) -> None:
        if not is_open(self):
            return
        job = self._job
        found = None if job.state is None else histogram(job.state, self._place)
        self.post_message(self.Changed(found))
        if job.error is not None:
            self._tell(job.error)
            return
        parts = [] if job.state is None else [sentence(job.state, self._place)]
        if job.is_live:
            doing = (
                progress_sentence(job.progress)
                if job.progress
                else f"Reading {visible_line(job.source.name)}"
            )
            parts.insert(0, f"{doing}.")
        elif job.status == "cancelled":
            parts.insert(0, "Stopped.")
        failed = [f.error for f in job.state.functions if f.error] if job.state else []
        parts += [f"{error.message} {error.hint}".strip() for error in failed[:1]]
        self._tell(" ".join(filter(None, parts)))
