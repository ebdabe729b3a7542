"""The parts of the screen of a text in colour: the text itself, and the figures beside it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from gelu_tui.core.scoring.document import ScoreDocument
from gelu_tui.tui.compare.plain_rows import PlainRows
from gelu_tui.tui.lab import text_words as say
from gelu_tui.tui.lab.text_candidates import CandidatesPart
from gelu_tui.tui.lab.text_colouring import Colouring
from gelu_tui.tui.lab.text_pane import ScoredPane
from gelu_tui.tui.lab.text_scoring import ShownText
from gelu_tui.tui.lab.text_tables import FunctionsTable, WorstTable, percentiles
from gelu_tui.tui.widgets.tells_its_size import TellsItsSize


class TextPart(TellsItsSize, Vertical):
    """The text, what its colours mean, and a line about one token."""

    def compose(self) -> ComposeResult:
        yield ScoredPane(id="text")
        yield PlainRows(id="legend")
        yield Static(id="token", markup=False)

    @property
    def pane(self) -> ScoredPane:
        return self.query_one(ScoredPane)

    def colour(self, shown: ShownText, by: Colouring) -> None:
        """Colour the tokens that are scored by now."""
        self.pane.signed = by.measure == "delta_p"
        self.pane.colour(*by.levels(shown))

    def show_legend(self, shown: ShownText, by: Colouring) -> None:
        """Say what the colours mean."""
        if shown.state is not None:
            legend = self.query_one("#legend", PlainRows)
            name, width = shown.state.started.variants[by.variant].name, legend.size.width
            relative = by.is_relative
            legend.write([say.legend_parts(name, by.measure, by.bounds, width, relative=relative)])

    def show_token(self, shown: ShownText, by: Colouring, token: int | None) -> None:
        """Say what is known of a token; with None, how to point at one."""
        line = self.query_one("#token", Static)
        if shown.state is None or token is None:
            line.update(Content.styled(say.NO_TOKEN, "dim"))
        else:
            line.update(say.token_words(shown, token, by.variant))


class FiguresPart(TellsItsSize, Vertical):
    """All functions, the percentiles of one, its worst tokens, and candidates if they are asked."""

    def compose(self) -> ComposeResult:
        yield FunctionsTable(id="functions")
        yield Static(id="percentiles", markup=False)
        yield WorstTable(id="worst")
        yield CandidatesPart(id="candidates")

    def show(self, shown: ShownText, document: ScoreDocument | None, by: Colouring) -> None:
        """Show what was computed last."""
        self.query_one(WorstTable).show(shown, by.variant, by.measure, by.worst)
        if document is None:
            return
        self.query_one(FunctionsTable).show(document, by.variant)
        line = self.query_one("#percentiles", Static)
        kl = document.variants[by.variant].kl
        width = line.size.width or self.screen.size.width - 2
        line.update("" if kl is None else percentiles(kl, width))
