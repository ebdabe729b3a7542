"""The functions as a document, and its tables: names, formulas, errors, properties."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import msgspec
import numpy as np
from rich.console import RenderableType
from rich.text import Text

from gelu_tui.core import protocol as p
from gelu_tui.core.functions.curves import EXACT, difference, slope
from gelu_tui.core.functions.jumps import LIMIT, Jump
from gelu_tui.core.functions.numpy_operations import Array, values
from gelu_tui.core.functions.properties import (
    USUAL_RANGE,
    LargestError,
    Minimum,
    Properties,
    properties,
)
from gelu_tui.core.functions.registry import NATIVE_OF, REGISTRY, Precision
from gelu_tui.core.functions.variants import Variant
from gelu_tui.core.reports.layout import FittedTable, spaced
from gelu_tui.core.reports.markdown import escaped
from gelu_tui.core.reports.markdown import table as markdown_table
from gelu_tui.core.reports.terminal import PRECISIONS
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.run_settings import Dtype

ACTIVATIONS_SCHEMA = "gelu-tui.activations/1"
_POINTS = 481  # of a curve that numpy computes


class ActivationCurve(msgspec.Struct, frozen=True):
    """A function at the document's x; None where it is not finite. Errors: minus exact GELU."""

    values: tuple[float | None, ...]
    derivatives: tuple[float | None, ...]
    errors: tuple[float | None, ...]


class Activation(msgspec.Struct, frozen=True):
    """A function and its properties, as `core.functions.properties` defines them.

    `max_error` is that within the document's range, in float64; `dtype_error` the same of the
    values that the engine computes in the document's dtype. None where no value is finite.
    """

    name: str
    formula: str
    expression: str
    aliases: tuple[str, ...]
    native_of: tuple[str, ...]
    max_error: float | None
    max_error_at: float | None
    own: bool
    max_error_on_both_sides: bool
    rms_error: float
    smooth: bool
    differentiable: bool
    jump: Jump | None
    monotonic: bool
    negative: bool
    minimum: Minimum | None
    undefined_at: float | None
    dtype_error: LargestError | None = None
    speed: p.FunctionSpeed | None = None
    curve: ActivationCurve | None = None


class ActivationsDocument(msgspec.Struct, frozen=True):
    """Functions against exact GELU.

    `dtype`, `precision` and `device` are those of curves that the engine computed, and of speeds;
    None where numpy computed all. `x` is empty where no curves were asked for.
    """

    schema: str
    created: str
    versions: dict[str, str]
    range: tuple[float, float]
    activations: tuple[Activation, ...]
    dtype: Dtype | None = None
    precision: Precision | None = None
    device: str | None = None
    x: tuple[float, ...] = ()

    @property
    def measured(self) -> bool:
        """Whether speeds were measured."""
        return any(activation.speed for activation in self.activations)


def activations_document(
    variants: Sequence[Variant],
    limits: tuple[float, float] = USUAL_RANGE,
    *,
    found: p.FunctionValuesFound | None = None,
    curves: bool = False,
) -> ActivationsDocument:
    """Return the document of functions over a range of x.

    `curves`: with their curves, those that the engine has `found`, or else those of numpy.
    """
    x = np.array(found.x) if found else np.linspace(*limits, _POINTS)
    entries = []
    for variant in variants:
        of = properties(variant, *limits)
        computed = (
            next((c for c in found.functions if c.name == variant.name), None) if found else None
        )
        curve = _curve(variant, x, computed) if curves else None
        speed = next((s for s in found.speeds if s.name == variant.name), None) if found else None
        in_dtype = _dtype_error(x, curve) if curve and computed else None
        entries.append(_entry(of, in_dtype, speed, curve))
    return ActivationsDocument(
        ACTIVATIONS_SCHEMA,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={"gelu_tui": version("gelu-tui"), "numpy": version("numpy")},
        range=limits,
        activations=tuple(entries),
        dtype=found.dtype if found else None,
        precision=found.precision if found else None,
        device=found.device if found else None,
        x=tuple(x.tolist()) if curves else (),
    )


def _entry(
    of: Properties,
    in_dtype: LargestError | None,
    speed: p.FunctionSpeed | None,
    curve: ActivationCurve | None,
) -> Activation:
    variant = of.variant
    row = REGISTRY.get(variant.function)
    return Activation(
        name=variant.name,
        formula=variant.formula,
        expression=variant.formula if row is None else row.expression,
        aliases=row.aliases if row else (),
        native_of=NATIVE_OF.get(variant.function, ()),
        max_error=of.error.value if of.error else None,
        max_error_at=of.error.at if of.error else None,
        own=row is None,
        max_error_on_both_sides=of.error is not None and of.error.both_sides,
        rms_error=of.rms,
        smooth=of.smooth,
        differentiable=of.differentiable,
        jump=of.jump,
        monotonic=of.monotonic,
        negative=of.negative,
        minimum=of.minimum,
        undefined_at=of.undefined_at,
        dtype_error=in_dtype,
        speed=speed,
        curve=curve,
    )


def _curve(variant: Variant, x: Array, found: p.FunctionCurve | None) -> ActivationCurve:
    if found is None:
        return ActivationCurve(
            _finite(values(variant.node, x)),
            _finite(slope(variant, x)),
            _finite(difference(variant, x)),
        )
    errors = np.array(found.values, dtype=np.float64) - values(EXACT.node, x)
    return ActivationCurve(found.values, found.derivatives, _finite(errors))


def _finite(array: Array) -> tuple[float | None, ...]:
    return tuple(value if np.isfinite(value) else None for value in array.tolist())


def _dtype_error(x: Array, curve: ActivationCurve) -> LargestError | None:
    sizes = np.abs(np.array(curve.errors, dtype=np.float64))
    if not np.isfinite(sizes).any():
        return None
    at = int(np.nanargmax(sizes))
    return LargestError(float(sizes[at]), float(x[at]), both_sides=False)


# --- tables ---------------------------------------------------------------------------------------


def activations_tables(document: ActivationsDocument) -> list[FittedTable]:
    """Names with errors; aliases; properties; further figures."""
    entries = document.activations
    errors: list[dict[str, str | Text]] = [
        {
            "name": entry.name,
            "formula": entry.formula,
            "max |f−gelu|": error_words(entry.max_error),
            "at x": place_words(entry.max_error_at, both_sides=entry.max_error_on_both_sides)
            if entry.max_error
            else "",
        }
        for entry in entries
    ]
    tables = [FittedTable(errors, left=("formula",))]
    aliases = [{"name": e.name, "aliases": ", ".join(e.aliases)} for e in entries if e.aliases]
    if aliases:
        tables.append(FittedTable(aliases, left=("aliases",)))
    rows = [{"name": entry.name, **property_words(entry)} for entry in entries]
    tables.append(FittedTable(rows, left=("minimum",)))
    return [*tables, FittedTable([_figures(document, entry) for entry in entries])]


def property_words(of: Activation | Properties) -> dict[str, str]:
    """The properties that are no error, in words, by their titles."""
    yes = {True: "yes", False: "no"}
    differentiable = yes[of.differentiable]
    if of.jump is not None and not of.differentiable:
        differentiable = f"not at {_x(of.jump.at)}"
    return {
        "smooth": yes[of.smooth],
        "differentiable": differentiable,
        "monotonic": yes[of.monotonic],
        "negative": yes[of.negative],
        "minimum": _minimum(of.minimum),
    }


def _minimum(minimum: Minimum | None) -> str:
    if minimum is None:
        return "none"
    value = _number(minimum.value, "{:.4f}" if minimum.value else "{:g}")
    low, high = _x(minimum.low), _x(minimum.high)
    if minimum.high - minimum.low < 0.01:
        return f"{value} at {low}"
    if minimum.low <= -LIMIT:
        return f"{value} anywhere" if minimum.high >= LIMIT else f"{value} at x ≤ {high}"
    return f"{value} at x ≥ {low}" if minimum.high >= LIMIT else f"{value} at {low} to {high}"


def _figures(document: ActivationsDocument, entry: Activation) -> dict[str, str | Text]:
    cells: dict[str, str | Text] = {
        "name": entry.name,
        "RMSE N(0,1)": rms_words(entry.rms_error),
    }
    if document.x and document.dtype:
        largest = entry.dtype_error
        cells[f"max in {document.dtype}"] = error_words(largest.value if largest else None)
        cells["at x"] = place_words(largest.at) if largest else ""
    if document.measured:
        speed = entry.speed
        cells["million/s"] = f"{speed.per_second / 1e6:,.1f}" if speed else "–"
        cells["× gelu"] = f"{speed.ratio:.2f}" if speed else "–"
    return cells


def rms_words(value: float) -> str:
    """A root mean square of errors."""
    return f"{value:.3g}" if value else "0"


def error_words(value: float | None) -> str:
    """A largest error, None where no value is finite."""
    if value is None:
        return "not finite"
    return f"{value:.6f}" if value < 1000 else f"{value:.4g}"


def place_words(x: float | None, *, both_sides: bool = False) -> str:
    """The x of it, with ± where it is on both sides of 0."""
    return "" if x is None else f"{'±' * both_sides}{_x(x)}"


def _x(value: float) -> str:
    return _number(value, "{:.2f}") if abs(value) >= 0.005 else "0"


def _number(value: float, form: str) -> str:
    text = form.format(value)
    return (text if float(text) else text.removeprefix("-")).replace("-", "−")


def activations_notes(document: ActivationsDocument) -> list[str]:
    """What the columns mean."""
    low, high = (_number(x, "{:g}") for x in document.range)
    native = "; ".join(f"{name} in {', '.join(of)}" for name, of in NATIVE_OF.items())
    notes = [
        f"max |f−gelu| is the largest error against exact GELU for x from {low} to {high}.",
        "Properties are those for x from −6 to 6; smooth: value and three derivatives do not jump.",
        "RMSE N(0,1) is the root mean square of the error for x drawn from N(0,1).",
    ]
    for entry in document.activations:
        if entry.undefined_at is not None:
            at = _number(entry.undefined_at, "{:g}")
            notes.append(f"{visible_line(entry.name)} has no finite value at x = {at}.")
    if document.x and document.dtype and document.precision:
        inside = PRECISIONS[document.precision]
        notes.append(f"In {document.dtype}, x and result are rounded to it; computed in {inside}.")
    if document.measured:
        notes.append(
            f"Speed: values per second in MLX on {visible_line(document.device or '')}, in "
            f"{document.dtype}; × gelu is the median ratio to exact GELU of one run."
        )
    return [
        *notes,
        f"Native, what mlx-lm itself computes: {native}.",
        "A formula of your own: -a 'gelu2024=x*sigmoid(1.773*x)'.",
    ]


# --- formats --------------------------------------------------------------------------------------


def activations_report(document: ActivationsDocument) -> RenderableType:
    """The tables and the notes, for a terminal."""
    notes = Text("\n".join(activations_notes(document)), style="dim")
    return spaced(*activations_tables(document), notes)


def activations_markdown(document: ActivationsDocument) -> str:
    """The same as Markdown."""
    parts = ["# Activation functions"]
    for table in activations_tables(document):
        rows = [{name: str(cell) for name, cell in row.items()} for row in table.rows]
        numbers = [name for name in [*rows[0]][1:] if name not in table.left]
        parts.append(markdown_table(rows, numbers))
    notes = "\n".join(f"- {escaped(note)}" for note in activations_notes(document))
    return "\n\n".join((*parts, notes)) + "\n"


def activations_csv(document: ActivationsDocument) -> str:
    """A row for each function; what there is not is empty."""
    file = io.StringIO()
    rows = [_csv_row(document, entry) for entry in document.activations]
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _csv_row(document: ActivationsDocument, entry: Activation) -> dict[str, object]:
    jump, minimum, speed, in_dtype = entry.jump, entry.minimum, entry.speed, entry.dtype_error
    return {
        "name": visible_line(entry.name),
        "formula": visible_line(entry.formula),
        "aliases": " ".join(entry.aliases),
        "own": int(entry.own),
        "max_error": entry.max_error,
        "max_error_at": entry.max_error_at,
        "rms_error": entry.rms_error,
        "smooth": int(entry.smooth),
        "differentiable": int(entry.differentiable),
        "jump_derivative": jump and jump.derivative,
        "jump_at": jump and jump.at,
        "monotonic": int(entry.monotonic),
        "negative": int(entry.negative),
        "minimum": minimum and minimum.value,
        "minimum_low": minimum and minimum.low,
        "minimum_high": minimum and minimum.high,
        "undefined_at": entry.undefined_at,
        "dtype": document.dtype,
        "dtype_error": in_dtype and in_dtype.value,
        "dtype_error_at": in_dtype and in_dtype.at,
        "per_second": speed and speed.per_second,
        "ratio": speed and speed.ratio,
    }
