"""The line that says what the tokens' colours mean; it stands while they are on."""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len

from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.compare.plain_rows import Part, PlainRows
from gelu_tui.tui.text_view.levels import TokenStyle, legend

STATISTICS: Mapping[TokenStyle, str] = {
    "plain": "plain",
    "kl": "KL against {}",
    "logprob": "probability of the token",
    "margin": "margin to the second token",
}


class Legend(PlainRows):
    """One row, no row while the tokens are plain."""

    def __init__(self) -> None:
        super().__init__(id="legend")
        self._statistic: TokenStyle = "plain"
        self._against = ""

    def show(self, statistic: TokenStyle, against: str) -> None:
        """Explain the colours of a statistic; a KL is against the stream of that name."""
        self._statistic, self._against = statistic, against
        self.display = statistic != "plain"
        self.on_resize()

    def on_resize(self) -> None:
        self.write([fitted(self._statistic, self._against, self.content_size.width)])


def fitted(statistic: TokenStyle, against: str, width: int) -> list[Part]:
    """Return the parts of the row, in the longest form that fits `width` cells, else the last."""
    name = STATISTICS[statistic].format(visible_line(against))
    forms = ((f"Colours: {name}", "  ", " "), (f"{name}:", " ", " "), ("", " ", " "), ("", " ", ""))
    for title, gap, padding in forms:
        parts: list[Part] = [(title, "")] if title else []
        for level, meaning in enumerate(legend(statistic)):
            parts += [(gap, "")] if parts else []
            parts.append((f"{padding}{meaning}{padding}", f"level{level}" if level else ""))
        if sum(cell_len(text) for text, _ in parts) <= width:
            break
    return parts
