"""A drawing of one function, as large as the widget is."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widget import Widget

from gelu_tui.core.functions.curves import Curve
from gelu_tui.tui.functions.curve_views import View, draw
from gelu_tui.tui.widgets.curves_view import terminal_dots


class CurvePlot(Widget):
    """One or more views of a function, one above the other, as many as there is room for."""

    DEFAULT_CSS = "CurvePlot { height: 1fr; }"

    VIEW_ROWS = 9

    def __init__(self) -> None:
        super().__init__()
        self.curve: Curve | None = None
        self.views: Sequence[View] = ()

    def show(self, curve: Curve | None, views: Sequence[View]) -> None:
        """Draw `views` of `curve`, at least the first; nothing while the curve is None."""
        if curve is not self.curve or views != self.views:
            self.curve, self.views = curve, views
            self.refresh()

    def render(self) -> Content:
        if self.curve is None:
            return Content("")
        width, height = self.content_size
        dots = terminal_dots(self.app)
        count = max(1, min(len(self.views), height // self.VIEW_ROWS))
        rows = [
            Content.assemble(*row)
            for view in self.views[:count]
            for row in draw(self.curve, view, width, height // count, dots)
        ]
        return Content("\n").join(rows)
