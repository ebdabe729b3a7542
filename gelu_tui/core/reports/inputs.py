"""The reports of a model's own inputs: tables, sentences, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from gelu_tui.core import protocol as p
from gelu_tui.core.lab.inputs import InputsDocument, InputsFunction
from gelu_tui.core.reports.layout import FittedTable, spaced
from gelu_tui.core.reports.markdown import escaped
from gelu_tui.core.reports.markdown import table as markdown_table
from gelu_tui.core.reports.numbers import number
from gelu_tui.core.reports.terminal import PRECISIONS, model_lines
from gelu_tui.core.safe_text import visible_line

INPUTS_COLUMNS = ("layer", "site", "function", "low", "high", "figure", "value")
_FIGURES = ("count", "mean", "std", "minimum", "maximum")
_OF_FUNCTION = (
    "max_abs_error", "at", "inner_max_abs_error", "inner_at", "weighted_rmse",
    "geglu_relative_error", "differs_in_dtype", "differs_in_bfloat16", "kl",
)  # fmt: skip
_OF_SITE = ("max_abs_error", "at", "weighted_rmse", "geglu_relative_error")
_OF_BIN = ("share_of_inputs", "share_of_error", "share_of_geglu_error", "share_of_difference", "kl")
_CsvRow = tuple[int | str, str, str, float | str, float | str, str, float | None]


def inputs_report(document: InputsDocument) -> RenderableType:
    """The tables, sentences and footing, for a terminal."""
    tables = [part for name, table in inputs_tables(document) for part in (_head(name), table)]
    sentences = [Text(sentence) for sentence in inputs_sentences(document)]
    footing = Text("\n".join(inputs_footing(document)), style="dim")
    return spaced(*tables, *sentences, footing)


def _head(name: str) -> Text:
    return Text(visible_line(name), style="bold")


def inputs_tables(document: InputsDocument) -> list[tuple[str, FittedTable]]:
    """The functions, the inputs by layer, errors by layer, and each function by bins of x."""
    measured = [f for f in document.functions if f.weighted_rmse is not None]
    if document.all is None or not measured:
        return []
    return [
        ("The functions on these inputs", _functions(document, measured)),
        ("The inputs", _inputs(document)),
        ("Weighted RMSE by layer", _by_layer(document, measured)),
        *((f"{f.name}, by x", _bins(f)) for f in measured if f.weighted_rmse or f.kl),
    ]


def _functions(document: InputsDocument, measured: list[InputsFunction]) -> FittedTable:
    dtype = document.model.dtype
    rows = []
    for f in measured:
        row = {
            "function": f.name,
            "max error": number("{:.2e}", f.max_abs_error),
            "at x": _x(f.at) if f.max_abs_error else "",
            "RMSE": number("{:.2e}", f.weighted_rmse),
            "GeGLU error": number("{:.2e}", f.geglu_relative_error),
            f"differs in {dtype}": _percent(f.differs_in_dtype),
        }
        if dtype == "float32":
            row["in bfloat16"] = _percent(f.differs_in_bfloat16)
        if document.settings.causal:
            is_reference = f.name == document.reference
            row["mean KL"] = "reference" if is_reference else number("{:.2e}", f.kl)
        rows.append(row)
    return FittedTable(rows)


def _inputs(document: InputsDocument) -> FittedTable:
    assert document.all is not None
    kinds = {each.site for each in document.layers}
    rows = []
    for site in (document.all, *document.layers):
        layer, kind = ("all", "")
        if isinstance(site, p.SiteInputs):
            layer, kind = str(site.layer), site.site
        row = {"layer": layer}
        if len(kinds) > 1:
            row["site"] = kind
        row |= {
            "mean": _x(site.mean),
            "std": _x(site.std),
            "min": _x(site.minimum),
            "0.5 %": _x(site.quantiles["0.005"]),
            "median": _x(site.quantiles["0.5"]),
            "99.5 %": _x(site.quantiles["0.995"]),
            "max": _x(site.maximum),
        }
        rows.append(row)
    return FittedTable(rows, left=("site",))


def _by_layer(document: InputsDocument, measured: list[InputsFunction]) -> FittedTable:
    kinds = {each.site for each in document.layers}
    rows = []
    of = [{(each.layer, each.site): each for each in f.layers} for f in measured]
    for site in document.layers:
        row = {"layer": str(site.layer)}
        if len(kinds) > 1:
            row["site"] = site.site
        for f, layers in zip(measured, of, strict=True):
            there = layers.get((site.layer, site.site))
            row[f.name] = number("{:.1e}", there.weighted_rmse if there else None)
        rows.append(row)
    return FittedTable(rows, left=("site",))


def _bins(function: InputsFunction) -> FittedTable:
    has_kl = function.kl is not None
    rows = []
    for each in function.bins:
        row = {
            "x from": _x(each.low),
            "to": _x(each.high),
            "inputs": _percent(each.share_of_inputs),
            "error²": _percent(each.share_of_error),
            "(error·u)²": _percent(each.share_of_geglu_error),
        }
        if has_kl:
            row["difference²"] = _percent(each.share_of_difference)
            row["KL"] = number("{:.1e}", each.kl)
        rows.append(row)
    return FittedTable(rows)


def _x(value: float | None) -> str:
    return number("{:.3g}", value)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{number('{:.3g}', 100 * share)} %"


def inputs_sentences(document: InputsDocument) -> list[str]:
    """The summary, what was read, what the figures are, and what went wrong."""
    parts = [document.summary, _text(document)] if document.summary else [_text(document)]
    if document.all is not None:
        parts.append(_errors(document))
        if document.settings.causal:
            parts.append(
                f"KL in nats, over {_positions(document)} positions: each function in "
                f"{visible_line(document.reference)}'s place for inputs of that bin alone, in all "
                "layers; the outermost bins have no end. difference² is the bin's share of the "
                "squared difference from that reference."
            )
    parts += [
        visible_line(f"{f.error.message} {f.error.hint}".strip())
        for f in document.functions
        if f.error is not None
    ]
    return parts


def _positions(document: InputsDocument) -> str:
    known = {f.kl_positions for f in document.functions if f.kl_positions is not None}
    return " or ".join(f"{each:,}" for each in sorted(known)) or "0"


def _errors(document: InputsDocument) -> str:
    exact = document.model.dtype in ("bfloat16", "float16")
    counted = (
        "Each input is counted by its own value."
        if exact
        else "Inputs are counted by the nearest bfloat16, at most 0.8 % of x wide."
    )
    return (
        "Errors are against exact GELU. RMSE is weighted by the inputs; GeGLU error is "
        "√(E[((f−g)u)²]/E[(gu)²]), u being what the function's result is multiplied with. "
        "Differs: the share of inputs whose result is not GELU's where both are computed in that "
        f"dtype, as mlx-lm does. {counted}"
    )


def _text(document: InputsDocument) -> str:
    name = visible_line(document.source.name)
    text = f"the reference's stream of run {name}" if document.source.kind == "run" else name
    count = f"{document.all.count:,}" if document.all else "no"
    windows = f"{document.windows} window{'s' * (document.windows > 1)}"
    return (
        f"The model reads {text} with {visible_line(document.reference)}: {document.positions:,} "
        f"tokens in {windows} of at most {document.settings.context}, each token but the last of a "
        f"window, and {count} inputs of its activation."
    )


def inputs_footing(document: InputsDocument) -> list[str]:
    """The model, how it was computed, and whether it is all."""
    computed = f"functions computed in {PRECISIONS[document.settings.activation_precision]}"
    lines = [*model_lines(document.model, document.device), computed]
    if document.status != "completed":
        word = "Interrupted" if document.status == "cancelled" else "Failed"
        lines.append(f"{word}: these are the figures of {document.positions:,} tokens.")
    return lines


# --- formats --------------------------------------------------------------------------------------


def inputs_markdown(document: InputsDocument) -> str:
    """The report as Markdown."""
    parts = ["# The inputs of the activation"]
    if document.summary:
        parts.append(escaped(document.summary))
    if document.error is not None:
        parts.append(escaped(f"{document.error.message} {document.error.hint}".strip()))
    for name, table in inputs_tables(document):
        rows = [{key: str(cell) for key, cell in row.items()} for row in table.rows]
        numbers = [key for key in [*rows[0]][1:] if key not in table.left]
        parts += [f"## {escaped(name)}", markdown_table(rows, numbers)]
    notes = [each for each in inputs_sentences(document) if each != document.summary]
    parts.append("\n".join(f"- {escaped(n)}" for n in [*notes, *inputs_footing(document)]))
    return "\n\n".join(parts) + "\n"


def inputs_csv(document: InputsDocument) -> str:
    """One figure in each row, of a layer's inputs, a function, or a bin of either.

    `layer` is `all` or a number; what does not apply is empty.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(INPUTS_COLUMNS)
    writer.writerows(_csv_rows(document))
    return file.getvalue()


def _csv_rows(document: InputsDocument) -> Iterator[_CsvRow]:
    sites: list[tuple[int | str, str, p.InputStatistics]] = []
    if document.all is not None:
        sites.append(("all", "", document.all))
    sites += [(site.layer, site.site, site) for site in document.layers]
    for layer, kind, inputs in sites:
        for figure in _FIGURES:
            yield (layer, kind, "", "", "", figure, getattr(inputs, figure))
        for share, x in inputs.quantiles.items():
            yield (layer, kind, "", "", "", f"quantile {share}", x)
        edges = inputs.histogram.edges
        for low, high, count in zip(edges, edges[1:], inputs.histogram.counts, strict=False):
            yield (layer, kind, "", low, high, "inputs", count)
    for f in document.functions:
        name = visible_line(f.name)
        yield from (("all", "", name, "", "", figure, _of(f, figure)) for figure in _OF_FUNCTION)
        for site in f.layers:
            for figure in _OF_SITE:
                yield (site.layer, site.site, name, "", "", figure, _of(site, figure))
        for each in f.bins:
            for figure in _OF_BIN:
                yield ("all", "", name, each.low, each.high, figure, _of(each, figure))


def _of(values: Any, figure: str) -> float | None:
    value: float | None = getattr(values, figure)
    return value
