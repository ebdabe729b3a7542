"""Under the curves: what is read for the model's own inputs, how far it is, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

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
from gelu_tui.core.lab.inputs import ReadInputs
from gelu_tui.core.protocol.requests import over_text
from gelu_tui.core.reports.progress import progress_sentence
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.safe_text import quoted, visible_line
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.run_settings import RunSettings, with_functions_of
from gelu_tui.core.text_files import read_text_file
from gelu_tui.tui.lab.engine_job import EngineJob
from gelu_tui.tui.lab.inputs_view import histogram, places, sentence
from gelu_tui.tui.lab.measurements import MeasuredInputs
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
        job: EngineJob[MeasuredInputs],
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
        drawn = ("activations", "reference")
        settings = with_functions_of(self._settings, run.settings, but=drawn)
        source = ScoreSource("run", f"the run {quoted(run.prompt, 30)}")
        await self._begin(settings, source, tokens=run.reference_tokens)

    async def stop(self) -> None:
        """Stop reading; what there is stays."""
        await self._job.stop()

    def step(self, by: int) -> None:
        """Show the inputs of the next layer, or of all."""
        if (state := self._state) is not None and (count := places(state)):
            self._place = (self._place + by) % count
            self._show()

    @property
    def _state(self) -> ReadInputs | None:
        return None if self._job.shown is None else self._job.shown.state

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

    async def _begin(self, settings: RunSettings, source: ScoreSource, **text: Any) -> None:
        try:
            command = over_text(p.GateInputs, settings, **text)
            await self._job.begin(MeasuredInputs(command, source))
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
        shown, state = self._job.shown, self._state
        self.post_message(self.Changed(None if state is None else histogram(state, self._place)))
        if shown is None:
            return
        if shown.error is not None:
            self._tell(shown.error)
            return
        parts = [] if state is None else [sentence(state, self._place)]
        if shown.is_live:
            doing = (
                progress_sentence(shown.progress)
                if shown.progress
                else f"Reading {visible_line(shown.source.name)}"
            )
            parts.insert(0, f"{doing}.")
        elif shown.status == "cancelled":
            parts.insert(0, "Stopped.")
        failed = [f.error for f in state.functions if f.error] if state else []
        parts += [f"{error.message} {error.hint}".strip() for error in failed[:1]]
        self._tell(" ".join(filter(None, parts)))
