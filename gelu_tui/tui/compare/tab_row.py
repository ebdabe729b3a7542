"""One row that names the panes while only one of them is in view."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widgets import Static


class TabRow(Static):
    """Numbered names; the chosen one is reversed. A click chooses."""

    DEFAULT_CSS = """
    TabRow {
        height: 1;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    class Chosen(Message):
        """A tab was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self) -> None:
        super().__init__()
        self._ends: list[int] = []
        self._shown: tuple[object, ...] = ()

    def show(self, titles: Sequence[str], chosen: int) -> None:
        """Write the titles, which must be safe to show; the chosen one is always in view."""
        width = self.size.width
        if (*titles, chosen, width) == self._shown:
            return
        self._shown = (*titles, chosen, width)
        texts = [f" {number} {title} " for number, title in enumerate(titles, 1)]
        if sum(map(cell_len, texts)) > width:
            texts = [
                text if index == chosen else f" {index + 1} " for index, text in enumerate(texts)
            ]
        self._ends = []
        parts: list[tuple[str, str]] = []
        for index, text in enumerate(texts):
            parts.append((text, "bold reverse" if index == chosen else ""))
            self._ends.append((self._ends[-1] if self._ends else 0) + cell_len(text))
        self.update(Content.assemble(*parts), layout=False)

    def on_click(self, event: Click) -> None:
        """Choose what was clicked."""
        for index, end in enumerate(self._ends):
            if event.x < end:
                self.post_message(self.Chosen(index))
                return
