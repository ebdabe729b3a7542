"""A widget that draws curves as large as it is, with the dots that the terminal has."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from typing import Any

from textual.app import App
from textual.content import Content
from textual.widget import Widget

from gelu_tui.tui.widgets.curves import NamedCurve, draw_curves
from gelu_tui.tui.widgets.plot import Dots, Window, dots_for


def terminal_dots(app: App[Any]) -> Dots:
    """Return the dots that the terminal of `app` shows, by its encoding and TERM."""
    return dots_for(app.console.encoding, os.environ.get("TERM"))


class CurvesView(Widget):
    """Curves in one window; nothing until `show`."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.curves: Sequence[NamedCurve] = ()
        self.chosen: Collection[str] = ()
        self._window = Window(0, 1, 0, 1)
        self._form: Callable[[float], str] | None = None
        self._note = ""

    def show(
        self,
        curves: Sequence[NamedCurve],
        window: Window,
        *,
        chosen: Collection[str] = (),
        form: Callable[[float], str] | None = None,
        note: str = "",
    ) -> None:
        """Draw these curves; arguments as of `draw_curves`. `note` is the last row."""
        self.curves, self.chosen = curves, chosen
        self._window, self._form, self._note = window, form, note
        self.refresh()

    def render(self) -> Content:
        width, height = self.content_size
        height -= bool(self._note)
        if not self.curves or height < 3 or width < 20:
            return Content(self._note)
        drawn = draw_curves(
            self.curves, self._window, width, height, terminal_dots(self.app),
            chosen=self.chosen, form=self._form,
        )  # fmt: skip
        rows = [Content.assemble(*row) for row in drawn]
        if self._note:
            rows.append(Content.styled(self._note, "dim").truncate(width, ellipsis=True))
        return Content("\n").join(rows)
