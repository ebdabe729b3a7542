"""One line on stderr that says what is going on; nothing where stderr is no terminal."""

from __future__ import annotations

import shutil
import sys
import time

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.reports.progress import progress_sentence, transfer_sentence
from gelu_tui.core.safe_text import visible_line

_INTERVAL_S = 0.1


class ProgressLine:
    """Rewrites its line at most ten times a second."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._last = 0.0
        self._shown = False

    def show(self, event: p.Event, comparison: Comparison | None) -> None:
        """Show how far things are after `event`."""
        now = time.monotonic()
        if not self._terminal or now - self._last < _INTERVAL_S:
            return
        match event:
            case p.Progress() if event.unit == "bytes":
                text = transfer_sentence(event)
            case p.Progress():
                text = progress_sentence(event)
            case p.Step() if comparison is not None:
                rate = comparison.tokens_per_second or 0.0
                text = f"step {event.step + 1}/{comparison.settings.max_tokens} · {rate:.1f} tok/s"
            case _:
                return
        self._last, self._shown = now, True
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\x1b[K{visible_line(text)[:width]}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False
