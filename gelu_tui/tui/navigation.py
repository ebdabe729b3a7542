"""The screens beside the comparison: opening them, and taking back what they bring."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

from msgspec.structs import replace
from textual.app import App

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.protocol.requests import compare_command
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.compare.choices import like
from gelu_tui.tui.engine_link.session import Phase
from gelu_tui.tui.services import Services

if TYPE_CHECKING:
    from gelu_tui.core.runs.document import ComparisonDocument
    from gelu_tui.tui.compare.screen import CompareScreen
    from gelu_tui.tui.history.screen import Result
    from gelu_tui.tui.matrix.screen import MatrixChoice


class Navigation:
    """What the keys of the comparison open; screens are imported when they are first needed."""

    def __init__(self, app: App[None], services: Services, compare: CompareScreen) -> None:
        self._app = app
        self._services = services
        self._compare = compare
        self._board = compare.board

    # --- what stands behind the panes ---------------------------------------------------------

    def help(self) -> None:
        """Help for what has the focus."""
        from gelu_tui.tui.help.screen import HelpScreen
        from gelu_tui.tui.help.texts import comparison_help, screen_help

        screen = self._app.screen
        if screen is self._compare:
            in_panes = self._board.has_focus_within
            sections = comparison_help(self._services.user_keys, in_panes=in_panes)
        else:
            sections = screen_help(screen)
        self._app.push_screen(HelpScreen(sections))

    def fork(self, reference: int | None = None, stream: int | None = None) -> None:
        """Why the chosen pane's stream leaves the reference."""
        seen, pane = self._board.perspective, self._board.chosen_pane
        if seen is None or pane is None:
            return
        from gelu_tui.tui.fork.screen import ForkScreen

        shown = self._forked(pane.index) if stream is None else stream
        against = seen.reference if reference is None else reference
        if shown == against:
            others = (x for x in range(len(seen.comparison.streams)) if x != against)
            shown = next(others, shown)
        if shown == against:
            self._compare.say("A fork needs a second stream: F2 chooses more functions.")
            return
        ask = self._replay if self._compare.live else None
        screen = ForkScreen(seen.comparison, against, shown, ask)
        self._app.push_screen(screen, self._after_fork)

    async def _replay(self) -> None:
        """Have the forks of the run that goes on replayed now."""
        await self._services.session.ask(p.Replay())

    def _forked(self, stream: int) -> int:
        """The stream itself if it has a fork, else the first that has one."""
        seen = self._board.perspective
        if seen is None or seen.first_divergent_token(stream) is not None:
            return stream
        others = (pane.index for pane in self._board.panes)
        return next((x for x in others if seen.first_divergent_token(x) is not None), stream)

    def _after_fork(self, stream: int | None) -> None:
        for place, pane in enumerate(self._board.panes):
            if pane.index == stream:
                self._board.choose(place)

    def matrix(self) -> None:
        """The first divergent token of every pair."""
        seen = self._board.perspective
        if seen is None:
            return
        from gelu_tui.tui.matrix.screen import MatrixScreen

        screen = MatrixScreen(seen.comparison, seen.reference)
        self._app.push_screen(screen, self._after_matrix)

    def _after_matrix(self, choice: MatrixChoice | None) -> None:
        from gelu_tui.tui.matrix.screen import MakeReference, OpenFork

        match choice:
            case OpenFork(reference, stream):
                self.fork(reference, stream)
            case MakeReference(stream):
                self._after_fork(stream)
                self._board.action_reference()

    # --- what the next run is made of ---------------------------------------------------------

    async def activations(self) -> None:
        """Choose the functions of the next run."""
        # numpy, for the curves, takes a tenth of a second to import: not on the thread that draws.
        await asyncio.to_thread(import_module, "gelu_tui.tui.functions.curve_views")
        from gelu_tui.tui.functions.screen import ActivationsScreen

        loaded = self._services.session.loaded
        native = loaded.model.native_activation if loaded else None
        screen = ActivationsScreen(self._compare.choices, native)
        self._app.push_screen(screen, self._chosen)

    async def _chosen(self, choices: RunSettings | None) -> None:
        if choices is None or choices == self._compare.choices:
            return
        await self._compare.choose(choices)
        if self._compare.shown is not None:
            count = len(choices.activations)
            functions = "1 function" if count == 1 else f"{count} functions"
            self._compare.say(f"{functions}, from the next run on. Ctrl+R runs the prompt.")

    def prompts(self) -> None:
        """Take a prompt from somewhere."""
        from gelu_tui.tui.prompts.screen import PromptsScreen

        history = self._services.history
        screen = PromptsScreen(history.prompts if history is not None else list)
        self._app.push_screen(screen, self._prompt_taken)

    def _prompt_taken(self, text: str | None) -> None:
        if text is not None:
            self._compare.take_prompt(text)

    async def fed_text(self) -> None:
        """The exact text that the model is fed for the prompt as it stands."""
        session = self._services.session
        if session.phase not in (Phase.READY, Phase.RUNNING, Phase.STOPPING):
            self._compare.say("The text is known once a model is loaded.")
            return
        from gelu_tui.tui.fed_text.screen import FedTextScreen

        try:
            command = compare_command(self._compare.prompt_text, self._compare.choices)
        except GeluError as error:
            self._compare.complain(error.info)
            return
        shown = self._compare.shown
        running = shown.comparison if shown is not None and shown.live else None
        if running is not None and running.prompt == command.prompt:
            # The engine answers after the run, but the run's own prompt is known.
            self._app.push_screen(FedTextScreen(running))
            return
        question = await session.ask(p.RenderPrompt(command.prompt, command.settings.chat))
        self._app.push_screen(FedTextScreen(question=question))

    def models(self) -> None:
        """Choose or fetch a model."""
        from gelu_tui.tui.models.screen import ModelsScreen

        session = self._services.session
        screen = ModelsScreen(
            session.model,
            session.loaded.weight_bytes if session.loaded else 0,
            self._services.options.engine_command,
        )
        self._app.push_screen(screen, self._model_chosen)

    def _model_chosen(self, model: str | None) -> None:
        if model is not None:
            self._services.session.choose_model(model)
            self._compare.choices = replace(self._compare.choices, model=model)
            self._compare.action_reload()

    # --- saved runs and files -----------------------------------------------------------------

    def history(self) -> None:
        """Saved runs."""
        from gelu_tui.core.runs.history import History
        from gelu_tui.tui.history.screen import HistoryScreen

        screen = HistoryScreen(self._services.history or History())
        self._app.push_screen(screen, self._after_history)

    async def _after_history(self, choice: Result) -> None:
        from gelu_tui.tui.history.screen import CompareRuns, Reopen, Rerun

        match choice:
            case Reopen(document, _):
                await self._compare.show_saved(document)
            case CompareRuns(document, runs):
                against = f"{visible_line(document.reference)} of run {runs[0]}"
                said = f"Runs {runs[0]} and {runs[1]}, compared with {against}."
                await self._compare.show_saved(document, said)
            case Rerun(document):
                await self.rerun(document)

    async def rerun(self, document: ComparisonDocument) -> None:
        """Run what a saved comparison ran, on the model that is loaded."""
        compare = self._compare
        compare.take_prompt(document.prompt)
        await compare.choose(await asyncio.to_thread(like, compare.choices, document))
        await compare.run_command(p.Compare(document.prompt, document.settings))

    async def export(self, kind: str) -> None:
        """Write the comparison, or a picture of the screen, into the working directory."""
        from gelu_tui.core.reports.export import exported, write_new

        shown = self._compare.shown
        if shown is None:
            return
        self._compare.hide_news()  # it would be in the picture
        suffix = f".{kind}"
        if kind == "svg":
            text = self._app.export_screenshot()
        else:
            text = exported(shown.document(), f"run{suffix}")
        try:
            path = await asyncio.to_thread(write_new, suffix, text)
        except GeluError as error:
            self._compare.complain(error.info)
        else:
            self._compare.say(f"Written to {path}.")
