"""Which layer does it, as text, Markdown and CSV: a table for each variant, and what it says."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from gelu_tui.core.comparison.standing import STATUS
from gelu_tui.core.functions.limits import KINDS
from gelu_tui.core.lab.layers import LayersDocument, LayerSwap, Swap, VariantLayers
from gelu_tui.core.reports.layout import FittedTable, spaced
from gelu_tui.core.reports.markdown import escaped
from gelu_tui.core.reports.markdown import table as markdown_table
from gelu_tui.core.reports.numbers import number
from gelu_tui.core.reports.share_bar import bar
from gelu_tui.core.reports.terminal import PRECISIONS, model_lines
from gelu_tui.core.safe_text import visible_line

Row = dict[str, str | Text]

_WORDS = {kind: word for word, kind in KINDS.items()}
_BAR = 8  # cells
_MOST_NAMED = 4  # layers in a sentence

LAYERS_COLUMNS = (
    "variant", "reference", "layer", "site", "noising_kl", "noising_kl_se",
    "noising_logit_difference", "denoising_kl", "denoising_kl_se", "denoising_logit_difference",
    "first_divergent_token", "positions",
)  # fmt: skip


def has_kinds(variant: VariantLayers) -> bool:
    """Whether layers have several sites, which need their names."""
    return len({layer.site for layer in variant.layers}) > 1


def place_of(layer: LayerSwap, *, kinds: bool) -> str:
    """`12`, or where layers have several sites `12 experts`, in the words of `NAME@experts`."""
    return f"{layer.layer} {_WORDS.get(layer.site, layer.site)}" if kinds else str(layer.layer)


def largest(variant: VariantLayers) -> list[LayerSwap]:
    """The sites by the KL of their swap, the largest first."""
    return sorted(variant.layers, key=lambda layer: -layer.noising.kl)


def summary(variant: VariantLayers, reference: str) -> str:
    """In one sentence: which layers make most of it, and whether they add up."""
    name = visible_line(variant.variant)
    if variant.all is None:
        return f"Of {name} there are no figures yet."
    total = math.fsum(layer.noising.kl for layer in variant.layers)
    if not total or not variant.all.kl:
        against = visible_line(reference)
        return f"{name} changes nothing: no swap has a KL above 0 against {against}."
    times = _times(variant)
    return f"{_most(variant, total)}; one at a time the layers sum to {times} of all together."


def _times(variant: VariantLayers) -> str:
    times = variant.additivity
    return "–" if times is None else f"{times:.2f}" if times < 10 else f"{times:.0f}"


def _most(variant: VariantLayers, total: float) -> str:
    kinds, by_size = has_kinds(variant), largest(variant)
    name = visible_line(variant.variant)
    share, named = 0.0, []
    for layer in by_size[:_MOST_NAMED]:
        share += layer.noising.kl / total
        named.append(layer)
        if share >= 0.5:
            break
    made = f"{100 * share:.0f} % of what {name} does"
    places = [place_of(layer, kinds=kinds) for layer in sorted(named, key=lambda x: x.layer)]
    if share < 0.5:
        made = f"only {made}: it is spread over the layers"
    if len(places) == 1:
        return f"Layer {places[0]} makes {made}"
    return f"Layers {', '.join(places[:-1])} and {places[-1]} make {made}"


def additivity_sentence(variant: VariantLayers) -> str:
    """Whether single layers add up, in plain words; empty where it is not known."""
    if variant.additivity is None:
        return ""
    meaning = {
        "adds up": "so the layers add up, nearly enough",
        "less than the whole": "so several layers together do more than each alone",
        "more than the whole": "so the layers take back a part of what others do",
    }
    return (
        f"Additivity: the KLs of single layers sum to {_times(variant)} times the KL of all "
        f"together, {meaning[variant.adds_up or 'adds up']}."
    )


def layers_report(document: LayersDocument) -> RenderableType:
    """A sentence, a table and the additivity of each variant, and notes."""
    parts: list[RenderableType] = []
    for variant in document.variants:
        parts.append(Text(summary(variant, document.reference), style="bold"))
        if variant.layers:
            parts.append(layers_table(variant))
        parts += [Text(sentence) for sentence in variant_sentences(variant)]
    parts += [Text(sentence) for sentence in layers_notes(document)]
    return spaced(*parts, Text("\n".join(layers_footing(document)), style="dim"))


def layers_table(variant: VariantLayers) -> FittedTable:
    """A row for each site, and the full swap as the last one."""
    total = math.fsum(layer.noising.kl for layer in variant.layers)
    most = max((layer.noising.kl for layer in variant.layers), default=0.0)
    kinds, has_errors = has_kinds(variant), variant.clusters > 1

    def row(name: str, swap: Swap, size: float, part: str, rest: Swap, token: int | None) -> Row:
        cells: Row = {"only in": name, "KL": number("{:.2e}", swap.kl)}
        if has_errors:
            cells["±"] = number("{:.0e}", swap.kl_se)
        cells |= {"": bar(size, _BAR), "%": part, "Δlogit": number("{:.1e}", swap.logit_difference)}
        cells |= {
            "rest KL": number("{:.2e}", rest.kl),
            "rest Δlogit": number("{:.1e}", rest.logit_difference),
        }
        if variant.free_running is not None:
            cells["fork"] = "–" if token is None else str(token)
        return cells

    rows = []
    for layer in variant.layers:
        kl = layer.noising.kl
        part = number("{:.0f}", 100 * kl / total if total else 0.0)
        size, token = kl / most if most else 0.0, layer.first_divergent_token
        name = place_of(layer, kinds=kinds)
        rows.append(row(name, layer.noising, size, part, layer.denoising, token))
    if variant.all is not None:
        nothing = Swap(variant.no_swap_kl or 0.0, variant.no_swap_logit_difference or 0.0)
        ran = variant.free_running
        token = ran.first_divergent_token if ran else None
        rows.append(row("all", variant.all, 0.0, "", nothing, token))
    return FittedTable(rows, left=("",))


def variant_sentences(variant: VariantLayers) -> list[str]:
    """Additivity, the row without a swap, what was generated, and what went wrong."""
    found = [additivity_sentence(variant)]
    if variant.no_swap_kl is not None:
        found.append(
            "A row without a swap was computed in the same way: its KL is "
            + ("exactly 0." if variant.no_swap_kl == 0 else f"{variant.no_swap_kl:.2e}, not 0.")
        )
    if variant.free_running is not None:
        found.append(
            f"Free running: greedy generation with each single swap, {variant.free_running.steps} "
            "tokens at most; fork is the first divergent one, – none."
        )
    if variant.error is not None:
        found.append(visible_line(f"{variant.error.message} {variant.error.hint}".strip()))
    return list(filter(None, found))


def layers_notes(document: LayersDocument) -> list[str]:
    """What the figures are."""
    reference = visible_line(document.reference)
    name = visible_line(document.source.name)
    text = f"the stream of run {name}" if document.source.kind == "run" else name
    several = f"{document.windows} window{'s' if document.windows > 1 else ''}"
    notes = [
        f"Over {text}: {document.tokens:,} tokens in {several} of at most "
        f"{document.settings.context}; every swap is measured against {reference} in all layers.",
        "KL in nats, the mean over all positions. Δlogit is the mean change of the logit of the "
        "text's own next token less the mean of all logits. Rest: all layers but this one are "
        "swapped, or none beside all of them.",
    ]
    if (clusters := document.clusters) > 1:
        weak = ", which is few: the errors are weak" if clusters < 10 else ""
        notes.append(
            f"± is one standard error, clustered by {document.cluster} ({clusters} of them{weak})."
        )
    elif document.positions:
        notes.append(
            f"There is no standard error: positions of one {document.cluster} are not independent."
        )
    return notes


def layers_footing(document: LayersDocument) -> list[str]:
    """The model, how it was computed, and whether it is all."""
    how = f"functions computed in {PRECISIONS[document.settings.activation_precision]}"
    lines = [*model_lines(document.model, document.device), how]
    if document.status != "completed":
        word = "Interrupted" if document.status == "cancelled" else "Failed"
        done = ", ".join(
            f"{visible_line(v.variant)} {v.positions:,} of {document.all_positions:,} positions"
            for v in document.variants
        )
        on = "goes on from there" if document.kept else "begins anew: no file can be kept"
        lines.append(f"{word}: {done}. The same command {on}.")
    return lines


def layers_csv(document: LayersDocument) -> str:
    """A row for each site of each variant, `all` and `none` of them as the last two."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(LAYERS_COLUMNS)
    for variant in document.variants:
        head = (visible_line(variant.variant), visible_line(document.reference))
        for layer in variant.layers:
            figures = (*_figures(layer.noising), *_figures(layer.denoising))
            token = layer.first_divergent_token
            writer.writerow((*head, layer.layer, layer.site, *figures, token, variant.positions))
        if variant.all is not None:
            ran = variant.free_running
            token = ran.first_divergent_token if ran else None
            nothing = (variant.no_swap_kl, None, variant.no_swap_logit_difference)
            figures = (*_figures(variant.all), *nothing)
            writer.writerow((*head, "all", "", *figures, token, variant.positions))
    return file.getvalue()


def _figures(swap: Swap) -> tuple[float | None, ...]:
    return swap.kl, swap.kl_se, swap.logit_difference


def layers_markdown(document: LayersDocument) -> str:
    """The same sentences and tables as the text report has."""
    parts = ["# Which layer does it", f"{STATUS[document.status].capitalize()}; {document.created}"]
    for variant in document.variants:
        parts += [
            f"## {escaped(visible_line(variant.variant))} against "
            f"{escaped(visible_line(document.reference))}",
            f"**{escaped(summary(variant, document.reference))}**",
        ]
        if variant.layers:
            table = layers_table(variant)
            rows = [{key: str(cell) for key, cell in row.items()} for row in table.rows]
            parts.append(markdown_table(rows, _numbers(rows)))
        parts += map(escaped, variant_sentences(variant))
    parts += ["## Notes", *map(escaped, layers_notes(document))]
    parts += map(escaped, layers_footing(document))
    return "\n\n".join(parts) + "\n"


def _numbers(rows: Sequence[dict[str, str]]) -> list[str]:
    return [name for name in list(rows[0])[1:] if name]
