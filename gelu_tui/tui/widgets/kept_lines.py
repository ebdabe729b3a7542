"""Lines that are kept until their widget is refreshed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

if TYPE_CHECKING:
    _Mixin = Widget
else:
    # Textual takes default styles from the first base that is a widget: the other base.
    _Mixin = object


class KeptLines(_Mixin):
    """A widget whose lines are rendered once, not once for every frame.

    For every change of the screen, Textual asks every widget for its lines, and compares its styles
    before it uses its cache: with eight panes that is most of a frame. For widgets whose look
    changes by `refresh` (which scrolling a text field calls too) or by new styles.
    """

    _kept: tuple[Region, list[Strip]] | None = None

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        self._kept = None
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def notify_style_update(self) -> None:
        self._kept = None
        super().notify_style_update()

    def render_lines(self, crop: Region) -> list[Strip]:
        if self._kept is None or self._kept[0] != crop:
            self._kept = crop, super().render_lines(crop)
        return self._kept[1]
