"""The screens beside the comparison: opening them, and taking back what they bring."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from textual.app import App

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.choices import Choices
from gelu_tui.tui.session import Phase

if TYPE_CHECKING:
    from gelu_tui.core.document import ComparisonDocument
    from gelu_tui.tui.app import GeluApp
    from gelu_tui.tui.screens.compare import CompareScreen
    from gelu_tui.tui.screens.history import Result
    from gelu_tui.tui.screens.matrix import MatrixChoice
    from gelu_tui.tui.screens.models import LoadModel


class Navigation:
    """What the keys of the comparison open; screens are imported when they are first needed."""

    def __init__(self, app: GeluApp, compare: CompareScreen) -> None:
        self._app = app
        self._compare = compare
        self._board = compare.board

    # --- what stands behind the panes ---------------------------------------------------------

    def help(self) -> None:
        """Help for what has the focus."""
        from gelu_tui.tui.help_texts import comparison_help, screen_help
        from gelu_tui.tui.screens.help import HelpScreen

        screen = self._app.screen
        if screen is self._compare:
            in_panes = self._board.has_focus_within
            sections = comparison_help(self._app.user_keys, in_panes=in_panes)
        else:
            sections = screen_help(screen)
        self._app.push_screen(HelpScreen(sections))

    def fork(self, reference: int | None = None, stream: int | None = None) -> None:
        """Why the chosen pane's stream leaves the reference."""
        seen, pane = self._board.perspective, self._board.chosen_pane
        if seen is None or pane is None:
            return
        from gelu_tui.tui.screens.fork import ForkScreen

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
        await self._app.session.ask(p.Replay())

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
        from gelu_tui.tui.screens.matrix import MatrixScreen

        screen = MatrixScreen(seen.comparison, seen.reference)
        self._app.push_screen(screen, self._after_matrix)

    def _after_matrix(self, choice: MatrixChoice | None) -> None:
        from gelu_tui.tui.screens.matrix import MakeReference, OpenFork

        match choice:
            case OpenFork(reference, stream):
                self.fork(reference, stream)
            case MakeReference(stream):
                self._after_fork(stream)
                self._board.action_reference()

    # --- what the next run is made of ---------------------------------------------------------

    def activations(self) -> None:
        """Choose the functions of the next run."""
        from gelu_tui.tui.screens.activations import ActivationsScreen

        loaded = self._app.session.loaded
        native = loaded.model.native_activation if loaded else None
        screen = ActivationsScreen(self._compare.choices, native)
        self._app.push_screen(screen, self._chosen)

    async def _chosen(self, choices: Choices | None) -> None:
        if choices is None or choices == self._compare.choices:
            return
        await self._compare.choose(choices)
        if self._compare.shown is not None:
            count = len(choices.activations)
            functions = "1 function" if count == 1 else f"{count} functions"
            self._compare.say(f"{functions}, from the next run on. Ctrl+R runs the prompt.")

    def prompts(self) -> None:
        """Take a prompt from somewhere."""
        from gelu_tui.tui.screens.prompts import PromptsScreen

        history = self._app.history
        screen = PromptsScreen(history.prompts if history is not None else list)
        self._app.push_screen(screen, self._prompt_taken)

    def _prompt_taken(self, text: str | None) -> None:
        if text is not None:
            self._compare.take_prompt(text)

    async def fed_text(self) -> None:
        """The exact text that the model is fed for the prompt as it stands."""
        session = self._app.session
        if session.phase not in (Phase.READY, Phase.RUNNING, Phase.STOPPING):
            self._compare.say("The text is known once a model is loaded.")
            return
        from gelu_tui.tui.screens.fed_text import FedTextScreen

        try:
            command = self._compare.choices.command(self._compare.prompt_text)
        except GeluError as error:
            self._compare.complain(error.info)
            return
        shown = self._compare.shown
        running = shown.comparison if shown is not None and shown.live else None
        if running is not None and running.prompt == command.prompt:
            # The engine answers after the run, but the run's own prompt is known.
            self._app.push_screen(FedTextScreen(running))
            return
        self._app.push_screen(FedTextScreen())
        await session.ask(p.RenderPrompt(command.prompt, command.chat))

    def models(self) -> None:
        """Choose or fetch a model."""
        from gelu_tui.tui.screens.models import ModelsScreen

        session = self._app.session
        screen = ModelsScreen(
            session.model,
            held_bytes=session.loaded.weight_bytes if session.loaded else 0,
            engine_command=self._app.options.engine_command,
        )
        self._app.push_screen(screen, self._model_chosen)

    def _model_chosen(self, choice: LoadModel | None) -> None:
        if choice is not None:
            self._app.load_model(choice.model)

    # --- saved runs and files -----------------------------------------------------------------

    def history(self) -> None:
        """Saved runs."""
        from gelu_tui.core.history import History
        from gelu_tui.tui.screens.history import HistoryScreen

        screen = HistoryScreen(self._app.history or History())
        self._app.push_screen(screen, self._after_history)

    async def _after_history(self, choice: Result) -> None:
        from gelu_tui.tui.screens.history import CompareRuns, Reopen, Rerun

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
        from gelu_tui.core.restore import command_of

        compare = self._compare
        compare.take_prompt(document.prompt)
        await compare.choose(compare.choices.like(document))
        await compare.run_command(command_of(document))

    async def export(self, kind: str) -> None:
        """Write the comparison, or a picture of the screen, into the working directory."""
        from gelu_tui.core.export import exported, write_new

        shown = self._compare.shown
        if shown is None:
            return
        self._compare.hide_news()  # it would be in the picture
        suffix = f".{kind}"
        if kind == "svg":
            text = cast("App[None]", self._app).export_screenshot()
        else:
            text = exported(shown.document(), f"run{suffix}")
        try:
            path = await asyncio.to_thread(write_new, suffix, text)
        except GeluError as error:
            self._compare.complain(error.info)
        else:
            self._compare.say(f"Written to {path}.")
