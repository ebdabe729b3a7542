"""The lab's layers in the app: opened, fed with the engine's events, and come back to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.app import App

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.settings.run_settings import Dtype, RunSettings
from gelu_tui.tui.services import Services

if TYPE_CHECKING:
    from gelu_tui.core.runs.document import ComparisonDocument
    from gelu_tui.tui.compare.screen import CompareScreen
    from gelu_tui.tui.lab.layers_job import LayersJob


class LayersNavigation:
    """Opens the screen, and keeps the measurement that was shown last."""

    def __init__(
        self,
        app: App[None],
        services: Services,
        compare: CompareScreen,
        choices: Callable[[], RunSettings],
        load: Callable[[str, Dtype | None], None],
    ) -> None:
        self._app, self._services, self._compare, self._load = app, services, compare, load
        self._choices = choices
        self._job: LayersJob | None = None

    def open(self) -> None:
        """Show the last measurement, or ask for a text."""
        from gelu_tui.tui.lab.layers_job import LayersJob
        from gelu_tui.tui.lab.layers_screen import LayersScreen

        if self._job is None:
            self._job = LayersJob(self._services, self._load)
        self._app.push_screen(LayersScreen(self._job, self._choices, self._shown_run))

    def _shown_run(self) -> ComparisonDocument | None:
        shown = self._compare.shown
        return shown.document() if shown is not None and not shown.live else None

    def take(self, event: p.Event) -> bool:
        """Pass an event of the engine on; return whether it was an answer to this alone."""
        return self._job is not None and self._job.take(event)

    def lost(self, error: ErrorInfo) -> None:
        """The engine has died."""
        if self._job is not None:
            self._job.lost(error)
