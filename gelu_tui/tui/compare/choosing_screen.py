"""The choices of the next run: shown, taken from the panes, remembered."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec.structs import replace
from textual import on

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.variants import CONTROL
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.compare import labels
from gelu_tui.tui.compare.board import Board
from gelu_tui.tui.compare.choices import chosen_variants
from gelu_tui.tui.compare.panes_screen import PanesScreen
from gelu_tui.tui.services import Services


class ChoosingScreen(PanesScreen):
    """The panes, and the settings of the next run, which some keys of the panes change."""

    def __init__(self, services: Services, choices: RunSettings, board: Board) -> None:
        super().__init__(board)
        self.choices = choices
        self._services, self._engine = services, services.engine

    async def choose(self, choices: RunSettings) -> None:
        """Set and show the choices of the next run."""
        self.choices = choices
        await self._show_choices()

    def remember(self, formulas: Iterable[str] | None = None, known: Collection[str] = ()) -> None:
        """Store the chosen functions for the next start, and own formulas if given."""
        from gelu_tui.core.settings.remembered import remember  # not before the first frame

        try:
            remember(self.choices, formulas, known)
        except GeluError as error:
            self.notice.show_error(error.info)

    def _remember_board(self) -> None:
        """Store what was chosen in the panes, unless they show a saved run to look at."""
        if self.shown is None or self.shown.saved is None:
            self.remember()

    @on(Board.ReferenceChosen)
    async def _take_reference(self, message: Board.ReferenceChosen) -> None:
        name, until = visible_line(message.name), "from here on."
        chosen = next((v for v in chosen_variants(self.choices) if v.name == message.name), None)
        is_limited = chosen is not None and chosen.limits is not None
        if is_limited:
            until = "here; it has limits, so it cannot be the next run's reference."
        elif chosen is not None:
            await self.choose(replace(self.choices, reference=message.name))
            self._remember_board()
        self._show_cursor()
        seen = self.board.perspective
        if seen is not None:
            run = visible_line(seen.comparison.reference.name)
            kl = "" if seen.of_run else f" KL stays what the run measured, against {run}."
            self.notice.show_message(f"Compared with {name} {until}{kl}")
        elif is_limited:
            self.notice.show_message(f"{name} has limits, so it cannot be the reference.")

    @on(Board.Reordered)
    def _take_order(self) -> None:
        specs = {variant.name: variant.spec for variant in chosen_variants(self.choices)}
        shown = (pane.variant_name for pane in self.board.panes)
        names = [name for name in shown if name != CONTROL]  # it is no choice
        if sorted(names) == sorted(specs):
            ordered = tuple(specs[name] for name in names)
            self.choices = replace(self.choices, activations=ordered)
            self._remember_board()

    async def _show_choices(self) -> None:
        """Show the settings, and the functions as empty panes unless a comparison is shown."""
        self._show_settings()
        if self.shown is None:
            loaded = self._engine.loaded
            native = loaded.model.native_activation if loaded else ""
            precision = self.choices.activation_precision
            chosen = chosen_variants(self.choices)
            await self.board.announce([p.VariantInfo.of(v, precision, native) for v in chosen])

    def _show_settings(self) -> None:
        loaded = self._engine.loaded
        self._info.show_settings(labels.settings(self.choices, self.comparison, loaded))
