"""A comparison on a terminal while it is made: the reference's text, and a line for each function.

Whole rows of the text are printed for good; below them a few lines are redrawn.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from gelu_tui.cli import options as o
from gelu_tui.cli.conversation import Conversation
from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.standing import standing
from gelu_tui.core.comparison.state import Comparison, Stream
from gelu_tui.core.reports.history_table import cut
from gelu_tui.core.reports.layout import INDENT, StreamHeading
from gelu_tui.core.reports.progress import progress_sentence
from gelu_tui.core.safe_text import visible, visible_line

_INTERVAL_S = 0.1
_LONGEST_NAME = 20
_TAIL = 200  # characters of a stream that can fit the rest of a line


class LiveRun:
    """Shows what an engine makes; a context manager, which removes the redrawn lines at the end."""

    def __init__(self, engine: Conversation, color: str) -> None:
        self._engine = engine
        self._console: Console = o.report_console(color)
        self._live: Live | None = None
        self._drawn_at = 0.0
        self._segments = 0  # of the reference's text that are in `_line` or printed
        self._line = ""  # the logical line that is not yet printed whole
        self._blank, self._has_text = "", False  # line feeds at the start; whether text followed
        self._in_line = False  # whether rows of `_line` are printed
        self._doing = ""

    @property
    def shown(self) -> tuple[str, ...]:
        """The streams whose text is on the terminal for good."""
        comparison = self._engine.comparison
        return (comparison.reference.name,) if self._live and comparison else ()

    def __enter__(self) -> LiveRun:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            comparison = self._engine.comparison
            if comparison is not None:
                self._take_text(comparison.reference, comparison.reference.tail, last=True)
            self._live.stop()

    def take(self, event: p.Event) -> None:
        """Show what an event has changed."""
        comparison = self._engine.comparison
        if comparison is None or not (self._live or isinstance(event, p.Step)):
            return  # progress is on stderr until the first token
        if self._live is None:
            self._begin(comparison)
        self._doing = progress_sentence(event) if isinstance(event, p.Progress) else ""
        is_new = isinstance(event, p.Step | p.Progress)
        if not is_new or time.monotonic() - self._drawn_at >= _INTERVAL_S:
            self._take_text(comparison.reference)
            self._draw(comparison)

    def _begin(self, comparison: Comparison) -> None:
        self._engine.hide_progress()
        info = comparison.reference.variant
        self._console.print(StreamHeading(info.name, info.formula, "the reference"))
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def _take_text(self, reference: Stream, more: str = "", *, last: bool = False) -> None:
        """Print the rows that no further token can change; with `last`, all of them."""
        new = reference.segments[self._segments :]
        self._segments += len(new)
        *whole, self._line = (self._line + "".join(new) + more).split("\n")
        for line in whole:
            self._print_rows(self._rows(line), ends=True)
        *rows, self._line = self._rows(self._line)
        self._print_rows(rows)
        if last:
            self._print_rows([self._line if self._segments else "(no text)"], ends=True)
            self._console.print()

    def _rows(self, line: str) -> list[str]:
        """The rows of a logical line, or of its rest; at least one."""
        width = max(1, self._console.width - INDENT)
        shown = visible(line).replace("\t", "    ")
        rows = [row.plain for row in Text(shown).wrap(self._console, width)] or [""]
        # The wrapping drops blanks at the end, where the next word may follow.
        blanks = len(shown) - len(shown.rstrip(" "))
        return [*rows[:-1], rows[-1].rstrip(" ") + " " * blanks]

    def _print_rows(self, rows: Iterable[str], *, ends: bool = False) -> None:
        """Print rows of a logical line; a blank one only where it is the whole line, which ends."""
        found = [row.rstrip() for row in rows if row.strip()]
        if ends and not found and not self._in_line:
            found = [""]
        for row in found:
            if not row and not self._has_text:
                self._blank += "↵"  # line feeds are tokens; blank lines look like a gap
                continue
            if self._blank:
                self._print_row(self._blank, "dim")
            self._print_row(row)
            self._blank, self._has_text = "", True
        self._in_line = not ends and (self._in_line or bool(found))

    def _print_row(self, row: str, style: str = "") -> None:
        self._console.print(Text(f"{' ' * INDENT}{row}".rstrip(), style), soft_wrap=True)

    def _draw(self, comparison: Comparison) -> None:
        assert self._live is not None
        self._drawn_at = time.monotonic()
        others = [stream for stream in comparison.streams if stream is not comparison.reference]
        name_width = min(_LONGEST_NAME, max((cell_len(s.name) for s in others), default=0))
        step, rate = len(comparison.reference.tokens), comparison.tokens_per_second or 0.0
        state = f"step {step}/{comparison.settings.max_tokens} · {rate:.1f} tok/s of all streams"
        width = self._console.width - 1
        parts: list[RenderableType] = [
            Text(" " * INDENT + self._line),
            *(self._function(comparison, stream, name_width, width) for stream in others),
            Text(cut(self._doing or state, width).rstrip(), style="dim"),
        ]
        self._live.update(Group(*parts), refresh=True)

    @staticmethod
    def _function(comparison: Comparison, stream: Stream, name_width: int, width: int) -> Text:
        """Its name, where it stands, and the end of its text."""
        at = stream.first_divergent_token
        where = standing(comparison.reference, stream, at, stream.fork).long
        where += f" · {stream.repeats.words}" if stream.repeats else ""
        head = f"{cut(visible_line(stream.name), name_width)}  {where}"
        line = Text(cut(head, width).rstrip())
        line.stylize("bold", 0, name_width)
        room = width - line.cell_len - 3
        tail = visible_line("".join(stream.segments[-_TAIL:])[-_TAIL:])
        if room >= 12 and tail:
            while cell_len(tail) > room:
                tail = tail[max(1, (cell_len(tail) - room) // 2) :]
            line.append(f"  …{tail}", style="dim")
        return line
