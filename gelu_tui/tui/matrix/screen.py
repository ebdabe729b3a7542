"""The first divergent token of every pair of streams, with a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Static

from gelu_tui.core.comparison.fork_sentences import explain_pair
from gelu_tui.core.comparison.standing import Standing
from gelu_tui.core.comparison.state import Comparison, Perspective
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.keys.actions import HELP
from gelu_tui.tui.matrix.view import MatrixView
from gelu_tui.tui.widgets.closes_once import ClosesOnce
from gelu_tui.tui.widgets.key_hints import KeyHints

_POLL_S = 0.5
_KEYS = "q back · Enter fork · r make row the reference · ← ↑ ↓ → move"

_NARROW_BELOW = 70  # columns; narrower than that a sentence takes all its rows
_OTHER_ROWS = 7  # frame, sentence and keys around the matrix


@dataclass(frozen=True)
class OpenFork:
    """Show the fork of stream `stream` seen from stream `reference`."""

    reference: int
    stream: int


@dataclass(frozen=True)
class MakeReference:
    """Compare the others with stream `stream` from now on."""

    stream: int


MatrixChoice = OpenFork | MakeReference


def identical_groups(perspectives: Sequence[Perspective]) -> list[tuple[list[int], Standing]]:
    """Streams that are pairwise equal, two or more, and the standing that all of them share."""

    def equal(group: list[int], stream: int) -> bool:
        found = (perspectives[member].standing(stream).relation for member in group)
        return all(relation in ("identical", "same") for relation in found)

    def shared(group: list[int]) -> Standing:
        """The weakest standing of any two: the fewest tokens, and identical only if all are."""
        pairs = [perspectives[a].standing(b) for a in group for b in group if a < b]
        return min(pairs, key=lambda pair: (pair.tokens or 0, pair.relation == "identical"))

    groups: list[list[int]] = []
    for stream in range(len(perspectives)):
        group = next((group for group in groups if equal(group, stream)), None)
        if group is None:
            groups.append([stream])
        else:
            group.append(stream)
    return [(group, shared(group)) for group in groups if len(group) > 1]


class MatrixScreen(ClosesOnce, ModalScreen[MatrixChoice | None]):
    """Dismissed with the fork to open, the stream to make the reference, or None."""

    CSS_PATH = "matrix.tcss"
    BINDINGS: ClassVar = [
        Binding("enter", "open", "The fork of this pair"),
        Binding("r", "reference", "Compare the others with the stream of this row"),
        Binding("q,escape,f10,f8,backspace", "dismiss", "Back"),
        HELP,
    ]

    def __init__(self, comparison: Comparison, reference_index: int) -> None:
        super().__init__()
        self.comparison = comparison
        self._matrix = MatrixView(comparison, reference_index)
        self._seen: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = "First divergent token of every pair"
            box.border_subtitle = "R reference · =N the same for N tokens"
            with VerticalScroll(id="view", can_focus=False):
                yield self._matrix
                yield Static(id="groups", markup=False)
            yield Static(id="pair", markup=False)
            yield KeyHints(_KEYS, id="keys", markup=False)

    def on_mount(self) -> None:
        self._matrix.focus()
        self._update()
        self.set_interval(_POLL_S, self._update)

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.width < _NARROW_BELOW, "-narrow")
        self.query_one("#view").styles.max_height = max(1, event.size.height - _OTHER_ROWS)

    def action_open(self) -> None:
        row, column = self._matrix.row, self._matrix.column
        if row == column:
            self._show("A stream has no fork with itself: choose another column.")
        else:
            self.dismiss(OpenFork(row, column))

    def action_reference(self) -> None:
        self.dismiss(MakeReference(self._matrix.row))

    @on(MatrixView.Opened)
    def _open(self) -> None:
        self.action_open()

    @on(MatrixView.Moved)
    def _describe(self) -> None:
        self.query_one("#view").scroll_to_region(self._matrix.cursor_region, animate=False)
        self._show(explain_pair(self.comparison, self._matrix.row, self._matrix.column))

    def _update(self) -> None:
        streams = self.comparison.streams
        now = tuple((len(s.tokens), s.finish_reason, s.fork is None) for s in streams)
        if now == self._seen:
            return
        self._seen = now
        self._matrix.draw()
        self._describe()
        lines = []
        for members, standing in identical_groups(self._matrix.perspectives):
            if len(members) < 3:
                continue  # its cell says so, and the sentence about the cursor's pair
            *names, last = (visible_line(streams[index].name) for index in members)
            lines.append(f"{', '.join(names)} and {last}: {standing.long}.")
        groups = self.query_one("#groups", Static)
        groups.update("\n".join(lines))
        groups.display = bool(lines)

    def _show(self, sentence: str) -> None:
        self.query_one("#pair", Static).update(sentence)
