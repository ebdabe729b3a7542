"""The curves as a widget: one view or several, with a cursor, zoomed and moved by the mouse too."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.geometry import Offset
from textual.message import Message
from textual.widget import Widget

from gelu_tui.core.functions.variants import Variant
from gelu_tui.tui.lab.curve_samples import VIEWS, Samples
from gelu_tui.tui.lab.curve_views import GUTTER, Drawing, Shown, draw_view
from gelu_tui.tui.widgets.bars import Histogram
from gelu_tui.tui.widgets.curves_view import terminal_dots
from gelu_tui.tui.widgets.zoom import Range, Zoom

_VIEW_ROWS = 14  # from twice as many rows on there are two views, and so on
_HOME = (-4.0, 4.0)
_WHEEL = 0.8


class CurvesPlot(Widget):
    """Views of several functions over one range of x; `histogram` is drawn under the errors."""

    class RangeChanged(Message):
        """Another part of the plane is in view."""

    class CursorMoved(Message):
        """The cursor is at another x."""

    def __init__(self) -> None:
        super().__init__(id="plot")
        self.zoom = Zoom(_HOME)
        self.view = 0  # the first that is shown, of `VIEWS`
        self.cursor = 0.0
        self.samples: Samples | None = None
        self.shown: Sequence[Shown] = ()
        self.chosen: Variant | None = None
        self.histogram: Histogram | None = None
        self._drawings: list[tuple[int, Drawing]] = []  # with the row in which each begins
        self._dragged = False
        self._pointer = Offset(0, 0)  # where it was last, while it drags

    @property
    def step(self) -> float:
        """The width of a column in x."""
        columns = self._drawings[0][1].width if self._drawings else 80
        return (self.zoom.x[1] - self.zoom.x[0]) / columns

    @property
    def seen_y(self) -> Range:
        """The range of y of the first view."""
        if not self._drawings:
            return -1.0, 1.0
        window = self._drawings[0][1].window
        return window.bottom, window.top

    def show(self, samples: Samples, shown: Sequence[Shown], chosen: Variant | None) -> None:
        """Draw these functions, `chosen` in front."""
        self.samples, self.shown, self.chosen = samples, shown, chosen
        self.refresh()

    def change(self) -> None:
        """Draw what is now in view, and tell it."""
        self.refresh()
        self.post_message(self.RangeChanged())

    def move_cursor(self, x: float) -> None:
        """Put the cursor on an x, which is then in view."""
        self.zoom.show_x(x)
        self.cursor = min(max(x, self.zoom.x[0]), self.zoom.x[1])
        self.change()
        self.post_message(self.CursorMoved())

    def render(self) -> Content:
        width, height = self.content_size
        self._drawings = []
        if self.samples is None or not self.shown:
            said = "Space chooses a function." if self.samples is not None else ""
            return Content.styled(said, "dim")
        count = max(1, min(len(VIEWS), height // _VIEW_ROWS))
        rows: list[Content] = []
        for number in range(count):
            view = VIEWS[(self.view + number) % len(VIEWS)]
            share = height // count + (number < height % count)
            drawing = draw_view(
                view, self.samples, self.shown, self.zoom.x, width, share,
                terminal_dots(self.app), y=None if number else self.zoom.y, chosen=self.chosen,
                cursor=self.cursor, histogram=self.histogram,
            )  # fmt: skip
            if drawing is None:
                return Content.styled("More room is needed.", "dim")
            self._drawings.append((len(rows), drawing))
            rows += [Content.assemble(*row) for row in drawing.rows]
        return Content("\n").join(rows)

    # --- mouse --------------------------------------------------------------------------------

    def _x_at(self, event: events.MouseEvent) -> float | None:
        """The x under the pointer, None outside of a plot."""
        at = event.get_content_offset(self)
        if at is None or not self._drawings:
            return None
        column = at.x - GUTTER
        width = self._drawings[0][1].width
        if not 0 <= column < width:
            return None
        low, high = self.zoom.x
        return low + (column + 0.5) / width * (high - low)

    def _on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, _WHEEL)

    def _on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 1 / _WHEEL)

    def _wheel(self, event: events.MouseEvent, factor: float) -> None:
        event.stop()
        if (x := self._x_at(event)) is not None:
            if event.shift or event.ctrl:
                self.zoom.zoom_y(factor, self.seen_y)
            else:
                self.zoom.zoom_x(factor, x)
            self.change()

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._dragged, self._pointer = False, event.screen_offset
        self.capture_mouse()
        event.stop()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if event.button == 0 or self.app.mouse_captured is not self or not self._drawings:
            return
        moved, self._pointer = event.screen_offset - self._pointer, event.screen_offset
        if moved.x or moved.y:
            self._dragged = True
            drawing = self._drawings[0][1]
            self.zoom.pan_x(-moved.x / drawing.width)
            if moved.y:
                self.zoom.pan_y(moved.y / drawing.height, self.seen_y)
            self.change()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if self.app.mouse_captured is not self:
            return
        self.release_mouse()
        event.stop()
        if not self._dragged and (x := self._x_at(event)) is not None:
            self.move_cursor(x)
