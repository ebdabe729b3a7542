"""The lab in the app: its screens opened, and fed with the engine's events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any

from textual.app import App

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.settings.run_settings import Dtype, RunSettings
from gelu_tui.tui.services import Services

if TYPE_CHECKING:
    from gelu_tui.core.runs.document import ComparisonDocument
    from gelu_tui.core.runs.history import History
    from gelu_tui.tui.compare.screen import CompareScreen
    from gelu_tui.tui.lab.engine_job import EngineJob
    from gelu_tui.tui.lab.measurements import MeasuredInputs, MeasuredLayers
    from gelu_tui.tui.lab.text_scorer import TextScorer
    from gelu_tui.tui.lab.text_scoring import ShownText


class LabNavigation:
    """Opens the screens, and keeps what each of them has measured last.

    `choices` are the settings of the next run, and `load` loads another model in place of the
    app's.
    """

    def __init__(
        self,
        app: App[None],
        services: Services,
        compare: CompareScreen,
        choices: Callable[[], RunSettings],
        load: Callable[[str, Dtype | None], None],
    ) -> None:
        self._app, self._services, self._compare = app, services, compare
        self._choices, self._load = choices, load
        self.texts: TextScorer | None = None
        self.layers: EngineJob[MeasuredLayers] | None = None
        self.inputs: EngineJob[MeasuredInputs] | None = None

    async def open_text(self, text: ShownText | None = None) -> None:
        """Show a text: this one, which is scored unless it was, else the last, else ask for one."""
        # numpy takes a tenth of a second to import: not on the thread that draws.
        await asyncio.to_thread(import_module, "gelu_tui.tui.lab.text_screen")
        from gelu_tui.tui.lab.text_scorer import TextScorer
        from gelu_tui.tui.lab.text_screen import TextScreen

        self.texts = self.texts or TextScorer(self._services, self._load)
        if text is not None:
            try:
                await self.texts.begin(text)
            except GeluError as error:
                self._compare.notice.show_error(error.info)
                return
        screen = TextScreen(self.texts, self._choices, self.shown_run, self._history)
        self._app.push_screen(screen)

    async def open_layers(self) -> None:
        """Show the layers that were measured last, or ask for a text."""
        await asyncio.to_thread(import_module, "gelu_tui.tui.lab.layers_screen")
        from gelu_tui.tui.lab.engine_job import EngineJob
        from gelu_tui.tui.lab.layers_screen import LayersScreen

        self.layers = self.layers or EngineJob(self._services, self._load)
        screen = LayersScreen(self.layers, self._choices, self.shown_run, self._history)
        self._app.push_screen(screen)

    def job_of_inputs(self) -> EngineJob[MeasuredInputs]:
        """What reads the model's own inputs."""
        from gelu_tui.tui.lab.engine_job import EngineJob

        self.inputs = self.inputs or EngineJob(self._services, self._load)
        return self.inputs

    def shown_run(self) -> ComparisonDocument | None:
        """The run on the first screen, if it has ended."""
        shown = self._compare.shown
        return shown.document() if shown is not None and not shown.live else None

    def _history(self) -> AbstractContextManager[History]:
        from gelu_tui.core.runs.history import History

        return nullcontext(self._services.history or History())

    @property
    def _jobs(self) -> list[EngineJob[Any]]:
        return [job for job in (self.inputs, self.texts, self.layers) if job is not None]

    def take(self, event: p.Event) -> bool:
        """Pass an event of the engine on; return whether it was an answer to the lab alone."""
        return any(job.take(event) for job in self._jobs)

    def lost(self, error: ErrorInfo) -> None:
        """The engine has died."""
        for job in self._jobs:
            job.lost(error)
