"""A text in colour with its figures: drawn as it grows, by what is chosen here."""

from __future__ import annotations

import time

from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.widgets import DataTable

from gelu_tui.core.scoring.document import ScoreDocument
from gelu_tui.tui.lab.text_candidates import CandidatesPart
from gelu_tui.tui.lab.text_colouring import Colouring
from gelu_tui.tui.lab.text_pane import ScoredPane
from gelu_tui.tui.lab.text_parts import FiguresPart, TextPart
from gelu_tui.tui.lab.text_scoring import ShownText
from gelu_tui.tui.lab.text_tables import FunctionsTable, WorstTable

_FIGURES_S = 1.0  # between two tables while it runs
_SHARE = 8  # and at least so many times as long as a table takes


class ColouredText(Container):
    """The text and the figures of one function at a time; what all show is chosen here."""

    def __init__(self) -> None:
        super().__init__(id="body")
        self._by = Colouring()
        self._shown: ShownText | None = None  # whose tokens the pane has
        self._document: ScoreDocument | None = None
        self._figures_at = self._figures_took = 0.0
        self._seen: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield TextPart(id="main")
        yield FiguresPart(id="beside")

    @property
    def variant(self) -> int:
        """The function by which the text is coloured."""
        return self._by.variant

    @property
    def cursor(self) -> int | None:
        """The token that is pointed at."""
        return self.query_one(ScoredPane).cursor

    # --- what is drawn ------------------------------------------------------------------------

    def begin(self) -> None:
        """Colour the text that is shown next by its first function."""
        self._by.variant, self._seen = -1, ()

    def show(self, shown: ShownText) -> None:
        """Show what is new of a text; cheap while nothing is."""
        part = self.query_one(TextPart)
        if shown is not self._shown:
            self._shown, self._document = shown, None
            part.pane.restart()
        if shown.state is None:
            return
        self._by.begin(shown.state)
        part.pane.add(shown.state.text.texts[part.pane.tokens :], grows=shown.is_live)
        now = (shown, shown.tokens, shown.status, *self._by.choice)
        if now == self._seen:
            return
        is_choice = now[3:] != self._seen[3:] or shown.status is not None
        pause = max(_FIGURES_S, _SHARE * self._figures_took)
        if is_choice or time.monotonic() - self._figures_at >= pause:
            self._seen = now
            self._show_figures(shown)
        part.colour(shown, self._by)

    def redraw(self) -> None:
        """Show everything again, for other sizes."""
        self._seen = ()
        self._look()
        self.show_candidates()

    def show_candidates(self) -> None:
        """Show what is known of what could have stood at a token."""
        if self._shown is not None:
            self.query_one(CandidatesPart).show(self._shown)

    def _look(self) -> None:
        if self._shown is not None:
            self.show(self._shown)

    def _show_figures(self, shown: ShownText) -> None:
        """All that is computed of all positions."""
        began = time.monotonic()
        if self._document is None or self._document.positions != shown.tokens or shown.is_live:
            self._document = shown.document()
        self._by.compute(shown)
        self.query_one(FiguresPart).show(shown, self._document, self._by)
        part = self.query_one(TextPart)
        part.show_legend(shown, self._by)
        part.show_token(shown, self._by, part.pane.cursor)
        self._figures_at = time.monotonic()
        self._figures_took = self._figures_at - began

    @on(ScoredPane.Pointed)
    def _pointed(self, message: ScoredPane.Pointed) -> None:
        if self._shown is not None:
            token = self.cursor if message.token is None else message.token
            self.query_one(TextPart).show_token(self._shown, self._by, token)

    # --- what is chosen -----------------------------------------------------------------------

    def turn_variant(self, by: int) -> None:
        """Colour by the next function."""
        if self._shown is not None and self._shown.state is not None:
            self._choose_variant(self._by.turned(self._shown.state, by))

    def turn_measure(self) -> None:
        """Colour by the next measure."""
        self._by.turn_measure()
        self._look()

    def turn_scale(self) -> None:
        """Take the function's own scale, or one for all functions."""
        self._by.own_scale = not self._by.own_scale
        self._look()

    def step_worst(self, by: int) -> None:
        """Go through the worst tokens, from the one under the cursor."""
        if not (worst := self._by.worst):
            return
        at = worst.index(self.cursor) if self.cursor in worst else -1 if by > 0 else 0
        place = (at + by) % len(worst)
        self._jump(worst[place])
        self.query_one(WorstTable).move_cursor(row=place, scroll=True)

    def _choose_variant(self, variant: int) -> None:
        if variant != self._by.variant:
            self._by.variant = variant
            self._look()
            table = self.query_one(FunctionsTable)
            if table.cursor_row != variant:
                table.move_cursor(row=variant)

    @on(DataTable.RowHighlighted, "#functions")
    def _function_chosen(self) -> None:
        table = self.query_one(FunctionsTable)
        if table.has_focus and table.items:
            self._choose_variant(table.cursor_row)

    @on(DataTable.RowHighlighted, "#worst")
    def _worst_chosen(self) -> None:
        table = self.query_one(WorstTable)
        if table.has_focus and table.chosen is not None:
            self._jump(table.chosen.id)

    def _jump(self, token: int) -> None:
        if self.cursor != token:
            self.query_one(ScoredPane).point(token)
