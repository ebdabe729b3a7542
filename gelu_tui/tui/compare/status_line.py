"""The status line: what the engine has loaded or is doing on the left, totals on the right."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

from gelu_tui.core.comparison.standing import STATUS
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.compare import labels
from gelu_tui.tui.compare.plain_rows import PlainRows
from gelu_tui.tui.engine_link.session import BUSY, EngineLink, Phase
from gelu_tui.tui.engine_link.shown_run import ShownRun

_SILENCE_S = 5.0  # after this the line shows for how long the engine has sent no event
_BETWEEN = " · "
_ASLEEP = "No model loaded: a run loads it"
_TOO_SHORT = 4  # cells of a cut part that are not worth showing


class StatusLine(PlainRows):
    """Two texts of parts; where room is short the last parts are left out."""

    def __init__(self) -> None:
        super().__init__(id="status")
        self._texts = ("", "")

    def show(self, left: str, right: str) -> None:
        """Draw both texts; they must be safe to show."""
        if (left, right) != self._texts:
            self._texts = (left, right)
            self.on_resize()

    def on_resize(self) -> None:
        width = self.content_size.width
        left, right = fitted(*self._texts, width)
        gap = " " * max(0, width - cell_len(left) - cell_len(right))
        self.write([[(left, ""), (gap, ""), (right, "total")]])


def fitted(left: str, right: str, width: int) -> tuple[str, str]:
    """Return both texts, cut to `width` cells with two cells between them.

    The last part of the left one is the device, which matters least; how tokens are drawn, before
    it, matters more than memory and time at the right.
    """
    needed = left.rpartition(_BETWEEN)[0] or left
    while _BETWEEN in right and cell_len(needed) + 2 + cell_len(right) > width:
        right = right.rpartition(_BETWEEN)[0]
    room = max(0, width - cell_len(right) - (2 if right else 0))
    if cell_len(left) > room:
        gone = room - cell_len(needed) < len(_BETWEEN) + _TOO_SHORT
        if gone and cell_len(needed) <= room:
            left = needed
        else:
            left = set_cell_size(left, max(0, room - 1)) + "…"[:room]
    return left, right


def status_texts(
    engine: EngineLink, shown: ShownRun | None, sweep: str | None = None
) -> tuple[str, str]:
    """Return what the engine does, and the totals of the run; `sweep`: how far one is that runs."""
    doing = _doing(engine, shown)
    if sweep is not None:
        doing = sweep if doing == _ASLEEP else f"{sweep} · {doing}"
    return doing, labels.totals(shown.comparison) if shown is not None else ""


def _doing(engine: EngineLink, shown: ShownRun | None) -> str:
    phase = engine.phase
    since = f" · {engine.phase_s:.0f} s" if engine.phase_s >= 1 else ""
    silent = f" · silent for {engine.silent_s:.0f} s" if engine.silent_s > _SILENCE_S else ""
    if engine.progress is not None:
        return labels.progress(engine.progress) + (since if phase is Phase.LOADING else silent)
    if shown is not None and shown.saved is not None and phase is not Phase.RUNNING:
        when = shown.saved.created[:16].replace("T", " ")
        ran = labels.model(shown.saved.model, shown.saved.device, shown.saved.settings)
        return f"saved run of {when} UTC · {ran}"
    if engine.loaded is not None:
        status = shown.comparison.status if shown is not None else None
        ended = "ready" if status is None else STATUS[status]
        doing = {Phase.RUNNING: "running", Phase.READY: ended}.get(phase, "stopping")
        settings = shown.comparison.settings if shown is not None else None
        ran = labels.model(engine.loaded.model, engine.loaded.device, settings)
        return f"{doing}{silent if phase in BUSY else ''} · {ran}"
    model = visible_line(engine.model)
    return {
        Phase.STARTING: f"Starting the engine{since}",
        Phase.LOADING: f"Loading {model}{since}",
        Phase.STOPPING: f"Stopping{since}",
        Phase.NO_MODEL: f"{model} is not loaded",
        Phase.ASLEEP: _ASLEEP,
    }.get(phase, "No engine")
