"""The screens beside the comparison: opening them, and acting on their results."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from msgspec.structs import asdict, replace
from textual.app import App, SystemCommand

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.protocol.requests import compare_command
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.field import Field
from gelu_tui.core.settings.run_settings import Dtype, RunSettings
from gelu_tui.tui.compare.choices import like, setting_variations
from gelu_tui.tui.engine_link.session import Phase
from gelu_tui.tui.lab_navigation import LabNavigation
from gelu_tui.tui.services import Services
from gelu_tui.tui.sweep_navigation import SweepNavigation

if TYPE_CHECKING:
    from gelu_tui.core.functions.variants import Variant
    from gelu_tui.core.runs.document import ComparisonDocument
    from gelu_tui.sweep.plan import Plan
    from gelu_tui.tui.compare.screen import CompareScreen
    from gelu_tui.tui.history.results import Result
    from gelu_tui.tui.matrix.screen import MatrixChoice


class Navigation:
    """What the keys of the comparison open; screens are imported when they are first needed."""

    def __init__(self, app: App[None], services: Services, compare: CompareScreen) -> None:
        self._app = app
        self._services = services
        self._compare = compare
        self._board = compare.board
        self.sweeps = SweepNavigation(app, services, compare)
        self.lab = LabNavigation(app, services, compare, self._picked, self._load_model)
        self._formulas: tuple[str, ...] = ()  # own ones of this session, also where none are kept

    def help(self) -> None:
        """Open the help for the part that has the focus."""
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
        """Show the fork of a stream; None is the reference on the screen, and the chosen pane."""
        seen, pane = self._board.perspective, self._board.chosen_pane
        if seen is None or pane is None:
            return
        from gelu_tui.tui.fork.screen import ForkScreen

        if stream is None:  # the chosen pane if it has a fork, else the first that has one
            places = (pane.index, *(other.index for other in self._board.panes))
            forked = (x for x in places if seen.first_divergent_token(x) is not None)
            stream = next(forked, pane.index)
        against = seen.reference if reference is None else reference
        if stream == against:
            others = (x for x in range(len(seen.comparison.streams)) if x != against)
            stream = next(others, stream)
        if stream == against:
            message = "A fork needs a second stream: F2 chooses more functions."
            self._compare.notice.show_message(message)
            return
        asks = self._compare.ended.replay, self._compare.what_if
        screen = ForkScreen(seen.comparison, against, stream, *asks)
        self._app.push_screen(screen, self._after_fork)

    def _after_fork(self, stream: int | None) -> None:
        for place, pane in enumerate(self._board.panes):
            if pane.index == stream:
                self._board.action_choose(place)

    def matrix(self) -> None:
        """Show the first divergent token of every pair."""
        seen = self._board.perspective
        if seen is None:
            return
        from gelu_tui.tui.matrix.screen import MatrixScreen

        self._app.push_screen(MatrixScreen(seen.comparison, seen.reference), self._after_matrix)

    def _after_matrix(self, choice: MatrixChoice | None) -> None:
        from gelu_tui.tui.matrix.screen import MakeReference, OpenFork

        match choice:
            case OpenFork(reference, stream):
                self.fork(reference, stream)
            case MakeReference(stream):
                self._after_fork(stream)
                self._board.action_reference()

    async def activations(self) -> None:
        """Choose the functions of the next run."""
        # numpy, for the curves, takes a tenth of a second to import: not on the thread that draws.
        await asyncio.to_thread(import_module, "gelu_tui.tui.functions.curve_views")
        from gelu_tui.core.settings.remembered import recall, usable
        from gelu_tui.tui.functions.screen import ActivationsScreen

        remembered, unreadable = await asyncio.to_thread(recall)
        known = tuple(dict.fromkeys((*self._formulas, *remembered.formulas)))
        own, left_out = await asyncio.to_thread(usable, known)
        loaded = self._services.engine.loaded
        native = loaded.model.native_activation if loaded else None
        screen = ActivationsScreen(self._compare.choices, native, own, unreadable or left_out)

        async def chosen(choices: RunSettings | None) -> None:
            if choices is not None:
                self._formulas = screen.picking.formulas
                await self._chosen(choices, known)

        self._app.push_screen(screen, chosen)

    async def curves(self) -> None:
        """Show curves: those of the functions in the picker, if it is open, else of the chosen."""
        # numpy takes a tenth of a second to import: not on the thread that draws.
        await asyncio.to_thread(import_module, "gelu_tui.tui.lab.curves_screen")
        from gelu_tui.tui.lab.curve_samples import arithmetics
        from gelu_tui.tui.lab.curves_screen import CurvesScreen
        from gelu_tui.tui.lab.function_source import FunctionSource
        from gelu_tui.tui.lab.inputs_under import InputsUnder

        chosen, others = await self._functions()
        loaded = self._services.engine.loaded
        source = FunctionSource(self._services.engine_command)
        ways = arithmetics(loaded.model.dtype if loaded else None)
        job, shown_run = self.lab.job_of_inputs(), self.lab.shown_run
        inputs = InputsUnder(job, lambda: self._compare.choices, shown_run)
        self._app.push_screen(CurvesScreen([*chosen, *others], chosen, source, ways, inputs))

    def _picked(self) -> RunSettings:
        """The settings of the next run; with the functions of the picker, if it is open below."""
        from gelu_tui.tui.functions.screen import ActivationsScreen

        for screen in self._app.screen_stack:
            if isinstance(screen, ActivationsScreen):
                with suppress(GeluError):  # such as none: as if it were not open
                    return screen.picking.result()
        return self._compare.choices

    async def _functions(self) -> tuple[list[Variant], list[Variant]]:
        """The chosen functions, and the others that are known."""
        from gelu_tui.core.settings.remembered import recall, usable
        from gelu_tui.tui.functions.picking import Picking
        from gelu_tui.tui.functions.screen import ActivationsScreen

        screen = self._app.screen
        if isinstance(screen, ActivationsScreen):
            picking = screen.picking
        else:
            remembered, _ = await asyncio.to_thread(recall)
            known = tuple(dict.fromkeys((*self._formulas, *remembered.formulas)))
            own, _ = await asyncio.to_thread(usable, known)
            picking = await asyncio.to_thread(Picking, self._compare.choices, None, own)
        others = [row.variant for row in picking.rows if not row.chosen]
        return picking.chosen, others

    async def _chosen(self, choices: RunSettings, known: Sequence[str]) -> None:
        from gelu_tui.core.settings.keep import other_functions_at_start

        said = []
        if choices != self._compare.choices:
            await self._compare.choose(choices)
            if self._compare.shown is not None:
                count = len(choices.activations)
                functions = "1 function" if count == 1 else f"{count} functions"
                said.append(f"{functions}, from the next run on. Ctrl+R runs the prompt.")
            if others := other_functions_at_start(choices):
                keeps = "“Keep these as my defaults” in the palette changes that"
                said.append(f"The next start has those of {others}; {keeps}.")
        if said:
            self._compare.notice.show_message(" ".join(said))
        self._compare.remember(self._formulas, known)

    async def keep_defaults(self) -> None:
        """Write the settings that the app has at present into the user's file."""
        from gelu_tui.core.settings.keep import keep_as_defaults, settled_by_run

        compare, board = self._compare, self._board
        compare.remember()
        settings = replace(
            self._services.settings,
            **asdict(compare.choices),
            token_style=board.statistic,
            scroll=board.scroll,
        )
        try:
            settled = settled_by_run(compare.choices, compare.taken_from)
            said, problem = await asyncio.to_thread(keep_as_defaults, settings, settled)
        except GeluError as error:
            compare.notice.show_error(error.info)
        else:
            if problem is not None:
                compare.notice.show_error(problem)
            else:
                compare.notice.show_message(said)

    def prompts(self) -> None:
        """Choose a prompt: a recent one, a preset, or a file."""
        from gelu_tui.tui.prompts.screen import PromptsScreen

        history = self._services.history
        recent = history.prompts if history is not None else list

        def plan(source: str) -> Plan:
            return self.sweeps.plan(source, self._compare.choices)

        self._app.push_screen(PromptsScreen(recent, plan), self._prompt_taken)

    async def _prompt_taken(self, taken: str | Plan | None) -> None:
        if isinstance(taken, str):
            self._compare.take_prompt(taken)
        elif taken is not None:
            await self.sweeps.open(taken)

    async def sweep(self) -> None:
        """Show the sweep that runs, or was shown last."""
        await self.sweeps.show_last()

    async def fed_text(self) -> None:
        """Show the exact text that the model is fed for the prompt in the field."""
        engine, compare = self._services.engine, self._compare
        if engine.phase not in (Phase.READY, Phase.RUNNING, Phase.STOPPING):
            compare.notice.show_message("The text is known once a model is loaded.", "loading")
            return
        from gelu_tui.tui.fed_text.screen import FedTextScreen

        try:
            command = compare_command(compare.prompt.prompt, compare.choices)
        except GeluError as error:
            compare.notice.show_error(error.info)
            return
        running = compare.comparison if compare.live else None
        if running is not None and running.prompt == command.prompt:
            # The engine answers after the run, but the run's own prompt is known.
            self._app.push_screen(FedTextScreen(running))
            return
        question = await engine.send(p.RenderPrompt(command.prompt, command.settings.chat))
        self._app.push_screen(FedTextScreen(question=question))

    async def text(self) -> None:
        """Show the text that was scored last, or ask for one."""
        await self.lab.open_text()

    async def layers(self) -> None:
        """Show which layer does it: what was measured last, or ask for a text."""
        await self.lab.open_layers()

    def models(self) -> None:
        """Choose or fetch a model."""
        from gelu_tui.tui.models.screen import ModelsScreen

        engine = self._services.engine
        screen = ModelsScreen(
            engine.model,
            engine.loaded.weight_bytes if engine.loaded else 0,
            self._services.engine_command,
        )
        self._app.push_screen(screen, self._model_chosen)

    def _model_chosen(self, model: str | None) -> None:
        if model is not None:
            self._load(replace(self._compare.choices, model=model))

    def _load_model(self, model: str, dtype: Dtype | None) -> None:
        self._load(replace(self._compare.choices, model=model, dtype=dtype))

    def _load(self, choices: RunSettings) -> None:
        self._services.engine.choose_model(choices.model, choices.dtype)
        self._compare.choices = choices
        self._compare.reload()

    def setting_commands(self) -> Iterator[SystemCommand]:
        """Yield the changes of the settings of the next run, for the command palette."""
        comparison = self._compare.comparison
        shown = comparison.settings if comparison is not None else None
        for title, explanation, field, choices in setting_variations(self._compare.choices, shown):
            take = partial(self._set, field, choices) if choices else partial(self._ask, field)
            yield SystemCommand(title, explanation, take)

    def _ask(self, field: Field) -> None:
        """Let a value of a setting be typed."""
        from gelu_tui.tui.setting.screen import SettingScreen

        screen = SettingScreen(field, self._compare.choices)
        self._app.push_screen(screen, partial(self._set, field))

    async def _set(self, field: Field, choices: RunSettings | None) -> None:
        if choices is None:
            return
        before = self._compare.choices
        if (choices.model, choices.dtype) != (before.model, before.dtype):
            self._load(choices)
        await self._compare.choose(choices)
        value = visible_line(field.word(getattr(choices, field.name)))
        noun = f"{field.noun[:1].upper()}{field.noun[1:]}"
        self._compare.notice.show_message(f"{noun}: {value}, from the next run on.")
        if field.name in ("activations", "reference"):
            self._compare.remember()

    def history(self) -> None:
        """Open the saved runs."""
        from gelu_tui.core.runs.history import History
        from gelu_tui.tui.history.screen import HistoryScreen

        screen = HistoryScreen(self._services.history or History())
        self._app.push_screen(screen, self._after_history)

    async def _after_history(self, choice: Result) -> None:
        from gelu_tui.tui.history.results import CompareRuns, OpenSweep, Reopen, Rerun

        match choice:
            case OpenSweep(store):
                await self.sweeps.open(store, leave=self.history)
            case Reopen(document, run):
                await self._compare.show_saved(document, number=run)
            case CompareRuns(document, runs):
                against = f"{visible_line(document.reference)} of run {runs[0]}"
                message = f"Runs {runs[0]} and {runs[1]}, compared with {against}."
                await self._compare.show_saved(document, message)
            case Rerun(document):
                await self._rerun(document)

    async def _rerun(self, document: ComparisonDocument) -> None:
        """Repeat a saved comparison on the model that is loaded."""
        compare = self._compare
        compare.take_prompt(document.prompt)
        await compare.choose(await asyncio.to_thread(like, compare.choices, document))
        await compare.run_command(p.Compare(document.prompt, document.settings), "Enter")

    async def export(self, kind: str) -> None:
        """Write the comparison, or a picture of the screen, into the working directory."""
        from gelu_tui.core.reports.export import FORMATS, exported, write_new

        shown = self._compare.shown
        if shown is None:
            return
        self._compare.notice.clear_news()  # it would be in the picture
        suffix = f".{kind}"
        if kind == "svg":
            text = self._app.export_screenshot()
        else:
            text = exported(shown.document(), f"run{suffix}", FORMATS)
        try:
            path = await asyncio.to_thread(write_new, suffix, text)
        except GeluError as error:
            self._compare.notice.show_error(error.info)
        else:
            self._compare.notice.show_message(f"Written to {path}.")
