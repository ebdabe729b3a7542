"""Several curves in one drawing, each with its name where it ends, some with a band around it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from gelu_tui.tui.widgets.plot import (
    LABEL,
    Band,
    Dots,
    Layer,
    Pattern,
    Run,
    Window,
    dot_columns,
    labelled,
    plot,
)

_STYLES = ("$text-accent", "$text-warning", "$text-success", "$text-error", "")
_MOST_NAMES = 24  # cells for the names, at most a third of the width
_LEAST = 8  # cells of a drawing
_MOST_THIN = 4  # curves whose bands can be told apart


def style_of(place: int) -> str:
    """The style of a curve by its place among the others."""
    return _STYLES[place % len(_STYLES)]


@dataclass(frozen=True)
class NamedCurve:
    """A curve as a function of x (nan: a gap), and the bounds of its band if it has one.

    `said` is what is known of its end, e.g. `92 %`; `place` gives it its style.
    """

    name: str
    at: Callable[[float], float]
    band: tuple[Callable[[float], float], Callable[[float], float]] | None = None
    said: str = ""
    place: int = 0
    pattern: Pattern = "solid"

    @property
    def style(self) -> str:
        return style_of(self.place)


def draw_curves(
    curves: Sequence[NamedCurve],
    window: Window,
    width: int,
    height: int,
    dots: Dots,
    *,
    chosen: Collection[str] = (),
    gutter: int = 5,
    form: Callable[[float], str] | None = None,
) -> list[list[Run]]:
    """Draw curves and their bands into `height` rows of at most `width` cells, with labels.

    Of the curves whose names are `chosen` the bands are shaded, and the others are dim and have
    none. Without it each band is two thin lines, where they are few. `form` writes the ys.
    """
    labels = [f"{curve.name} {curve.said}".rstrip() for curve in curves]
    names = min(max(map(cell_len, labels), default=0) + 2, _MOST_NAMES, width // 3)
    inner = max(_LEAST, width - gutter - names)
    xs = dot_columns(window, inner, dots)
    layers: list[Layer] = []
    thin: list[Layer] = []
    bands: list[Band] = []
    for curve in curves:
        is_chosen = curve.name in chosen
        style = curve.style if not chosen or is_chosen else "dim"
        layer = Layer([curve.at(x) for x in xs], f"bold {style}" if is_chosen else style,
                      curve.pattern)  # fmt: skip
        layers.insert(0, layer) if is_chosen else layers.append(layer)
        if curve.band is None or not (is_chosen if chosen else len(curves) <= _MOST_THIN):
            continue
        low, high = ([bound(x) for x in xs] for bound in curve.band)
        if is_chosen:
            bands.append(Band(low, high, style))
        else:
            thin += [Layer(bound, f"dim {style}".rstrip(), "dotted") for bound in (low, high)]
    rows = plot([*layers, *thin], window, inner, height - 1, dots=dots, axes=False, bands=bands)
    drawn = labelled(rows, window, inner, gutter, form)
    ends = [
        End(label, curve.at(window.right), curve.style, is_chosen=curve.name in chosen)
        for label, curve in zip(labels, curves, strict=True)
    ]
    for row, runs in enumerate(names_beside(ends, window, names, height - 1)):
        drawn[row] = [*drawn[row], *runs]
    return drawn


@dataclass(frozen=True)
class End:
    """Where a curve ends, and what stands beside it."""

    label: str
    y: float
    style: str
    is_chosen: bool


def names_beside(curves: Sequence[End], window: Window, width: int, height: int) -> list[list[Run]]:
    """The names beside the ends of the curves, moved apart where they would share a row."""
    any_chosen = any(curve.is_chosen for curve in curves)
    ends = []
    for index, curve in enumerate(curves):
        end = curve.y
        ends.append((min(max(0, window.row(end, height)), height - 1) if end == end else 0, index))
    free = list(range(height))
    rows: list[list[Run]] = [[] for _ in range(height)]
    for wanted, index in sorted(ends):
        if not free:
            break
        at = min(free, key=lambda row: (abs(row - wanted), -row))
        free.remove(at)
        curve = curves[index]
        style = f"bold {curve.style}" if not any_chosen or curve.is_chosen else LABEL
        text = f"{'►' if curve.is_chosen else ' '}{curve.label}"
        rows[at].append(Run(_cut(text, width), style.rstrip()))
    return rows


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + "…"
