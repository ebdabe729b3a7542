"""The functions as a page: their tables, and their curves, derivatives and errors."""

from __future__ import annotations

from collections.abc import Callable

from gelu_tui.core.reports.activations import (
    Activation,
    ActivationCurve,
    ActivationsDocument,
    activations_notes,
    activations_tables,
)
from gelu_tui.core.reports.html.curves import DASHES, Curve, chart
from gelu_tui.core.reports.html.page import element, escaped, fragment, page, section, table, words

_SMALL = 0.3  # an error above is a shape of its own, and would flatten the others


def activations_page(document: ActivationsDocument) -> str:
    """One file that shows functions and needs nothing else."""
    return page("gelu-tui activations", activations_fragment(document))


def activations_fragment(document: ActivationsDocument) -> str:
    """The same as a part of another page."""
    tables = (table(each.rows, each.left) for each in activations_tables(document))
    count = len(document.activations)
    return fragment(
        words("h1", f"{count} activation function{'s' * (count != 1)}"),
        element("p", escaped(document.created), class_="quiet"),
        section("Figures", *tables),
        *_charts(document),
        section("Notes", *(words("p", note) for note in activations_notes(document))),
    )


def _charts(document: ActivationsDocument) -> list[str]:
    low, high = document.range
    entries = [entry for entry in document.activations if entry.curve]
    largest = [entry.max_error for entry in entries if entry.max_error]
    limit = 1.1 * max([e for e in largest if e <= _SMALL] or largest, default=1.0)
    wrong = [entry for entry in entries if entry.max_error != 0 or document.dtype]

    def drawn(
        what: str,
        of: Callable[[ActivationCurve], tuple[float | None, ...]],
        limits: tuple[float, float] | None,
        entries: list[Activation] = entries,
    ) -> str:
        curves = [_curve(document, entry, of) for entry in entries]
        return chart(curves, axis="x", what=what, ticks=_ticks(low, high), limits=limits)

    return [
        section("Values", drawn("Values", lambda c: c.values, _limits(entries, low, high))),
        section("Derivatives", drawn("Derivatives", lambda c: c.derivatives, (-0.5, 1.5))),
        section(
            "Error against exact GELU",
            drawn("Error", lambda c: c.errors, (-limit, limit), wrong),
            words("p", "What is larger is cut off; the next drawing has all.", class_="quiet"),
        ),
        section("Its size, on a logarithmic scale", drawn("Error", _sizes, None, wrong)),
    ]


def _limits(entries: list[Activation], low: float, high: float) -> tuple[float, float]:
    """All values as far as they are about as large as x."""
    ys = [y for entry in entries if entry.curve for y in entry.curve.values if y is not None]
    bottom, top = max(min(low, -1.0), min(ys, default=0.0)), min(max(high, 1.0), max(ys, default=1))
    return (bottom - 0.1, top + 0.1) if bottom < top else (top - 1.0, bottom + 1.0)


def _sizes(curve: ActivationCurve) -> tuple[float | None, ...]:
    return tuple(None if error is None else abs(error) for error in curve.errors)


def _curve(
    document: ActivationsDocument,
    entry: Activation,
    of: Callable[[ActivationCurve], tuple[float | None, ...]],
) -> Curve:
    assert entry.curve is not None
    colour = document.activations.index(entry) % len(DASHES)
    return Curve(entry.name, colour, list(zip(document.x, of(entry.curve), strict=True)))


def _ticks(low: float, high: float) -> dict[float, str]:
    """Names of some x at equal distances."""
    marks = [low + (high - low) * eighth / 8 for eighth in range(9)]
    return {x: f"{x:.4g}".replace("-", "−") for x in marks}
