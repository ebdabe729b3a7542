"""A text in colour in the app: opened, fed with the engine's events, and come back to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from typing import TYPE_CHECKING

from textual.app import App

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.settings.run_settings import Dtype, RunSettings
from gelu_tui.tui.services import Services

if TYPE_CHECKING:
    from gelu_tui.core.runs.document import ComparisonDocument
    from gelu_tui.tui.compare.screen import CompareScreen
    from gelu_tui.tui.lab.text_scorer import TextScorer
    from gelu_tui.tui.lab.text_scoring import Asked, ShownText

_SCREEN = "gelu_tui.tui.lab.text_screen"


class TextNavigation:
    """Opens the screen, and knows the text that was shown last."""

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
        self._scorer: TextScorer | None = None

    async def open(self, text: Asked | ShownText | None = None) -> None:
        """Show a text: this one, which is scored unless it was, else the last, else ask for one."""
        # numpy takes a tenth of a second to import: not on the thread that draws.
        await asyncio.to_thread(import_module, _SCREEN)
        from gelu_tui.core.runs.history import History
        from gelu_tui.tui.lab.text_scorer import TextScorer
        from gelu_tui.tui.lab.text_scoring import Asked
        from gelu_tui.tui.lab.text_screen import TextScreen

        if self._scorer is None:
            self._scorer = TextScorer(self._services, self._load)
        if isinstance(text, Asked):
            try:
                await self._scorer.begin(text)
            except GeluError as error:
                self._compare.notice.show_error(error.info)
                return
        elif text is not None:
            self._scorer.open(text)
        screen = TextScreen(
            self._scorer,
            self._choices,
            self._shown_run,
            lambda: nullcontext(self._services.history or History()),
        )
        self._app.push_screen(screen)

    def _shown_run(self) -> ComparisonDocument | None:
        shown = self._compare.shown
        return shown.document() if shown is not None and not shown.live else None

    def take(self, event: p.Event) -> bool:
        """Pass an event of the engine on; return whether it was an answer to this alone."""
        return self._scorer is not None and self._scorer.take(event)

    def lost(self, error: ErrorInfo) -> None:
        """The engine has died."""
        if self._scorer is not None:
            self._scorer.lost(error)
