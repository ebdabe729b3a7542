"""The incidence curves as a part of the screen."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding

from gelu_tui.tui.sweep.contents import Contents
from gelu_tui.tui.sweep.incidence import NOTE, functions_of, incidence_curves, incidence_window
from gelu_tui.tui.widgets.curves_view import CurvesView


class CurvesPart(CurvesView, can_focus=True):
    """All functions, or one of them emphasized with its band shaded: `function` is its place."""

    BINDINGS: ClassVar = [
        Binding("right", "step(1)", "Emphasize the next function, with its band"),
        Binding("left", "step(-1)", "Emphasize the previous function"),
    ]

    function: int | None = None
    _shown: tuple[Contents, Contents | None] | None = None

    def show_sweep(self, contents: Contents, other: Contents | None) -> None:
        """Draw the curves of a sweep, and of another one dotted."""
        self._shown = contents, other
        curves = incidence_curves(contents, other)
        functions = functions_of(curves)
        if self.function is not None and self.function >= len(functions):
            self.function = None
        chosen = () if self.function is None else functions[self.function]
        note = NOTE if other is None else f"{NOTE} A solid, B dotted."
        window = incidence_window(contents, other)
        self.show(curves, window, chosen=chosen, form=_percent, note=note)

    def action_step(self, by: int) -> None:
        """Go round all functions, and no one in particular."""
        if self._shown is None:
            return
        count = len(functions_of(self.curves)) + 1
        place = (0 if self.function is None else self.function + 1) + by
        self.function = place % count - 1 if place % count else None
        self.show_sweep(*self._shown)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"
