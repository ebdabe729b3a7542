"""One variant: its name and formula on a rule, its numbers, and its tokens."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Click
from textual.message import Message

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Perspective
from gelu_tui.core.functions.variants import CONTROL
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.compare import labels
from gelu_tui.tui.compare.pane_head import PaneHead
from gelu_tui.tui.text_view.pane import TokenPane
from gelu_tui.tui.widgets.kept_lines import KeptLines


class StreamPane(KeptLines, Vertical):
    """The frame of a `TokenPane`: a stream of a comparison, or a variant while there is none.

    `index` is the stream's, whatever the place of the pane.
    """

    ALLOW_MAXIMIZE = True
    DEFAULT_CSS = """
    StreamPane {
        height: 1fr;
        min-height: 4;
        border-top: solid $foreground 40%;
        border-title-color: $foreground;
        &:focus-within { border-top: heavy $accent; }
    }
    """

    @dataclass
    class HeadClicked(Message):
        """The user has clicked on the numbers of a pane."""

        pane: StreamPane

    def __init__(self) -> None:
        super().__init__()
        self.index = 0
        self._variant: p.VariantInfo | None = None
        self.head = PaneHead()
        self.tokens = TokenPane()

    def compose(self) -> ComposeResult:
        yield self.head
        yield self.tokens

    @property
    def variant_name(self) -> str:
        """The variant's name as the user wrote it, empty before there is one."""
        return self._variant.name if self._variant is not None else ""

    def begin(self, index: int, variant: p.VariantInfo, hint: str | None = None) -> None:
        """Show a stream that begins, or with a `hint`, a variant that has no stream yet."""
        self.index = index
        self._variant = variant
        self.number(index)
        self.head.display = hint is None
        self.tokens.restart(hint or "")

    def number(self, place: int) -> None:
        """Draw the title with the number of a place, which is the key that chooses it."""
        variant = self._variant
        if variant is None:
            return
        mark = f" {labels.NATIVE_MARK} native" if variant.native else ""
        mark += " · control" if variant.control and variant.name != CONTROL else ""
        self.border_title = Content.assemble(
            (f" {place + 1} ", "dim"),
            (visible_line(variant.name), "bold"),
            mark,
            (f" · {visible_line(variant.formula)} ", "dim"),
        )

    def on_resize(self) -> None:
        rows = self.outer_size.height
        self.head.styles.height = 1 if rows < 7 else 2 if rows < 12 else 3

    def on_click(self, event: Click) -> None:
        if event.widget is self.head:
            self.post_message(self.HeadClicked(self))

    def show(self, perspective: Perspective) -> None:
        """Draw new tokens of the stream; cheap if there are none."""
        stream = perspective.comparison.streams[self.index]
        self.tokens.show(stream, perspective.standing(self.index))
