"""Comparisons, registry and bench as text for a terminal, through Rich."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from gelu_tui.core import protocol as p
from gelu_tui.core.activations import NATIVE_OF, REGISTRY, Variant, error_against_gelu
from gelu_tui.core.comparison import Comparison, Stream
from gelu_tui.core.safe_text import visible, visible_line

# A shape around the first divergent token, so that it reads without colour too.
FORK_LEFT, FORK_RIGHT = "▶", "◀"


def stream_text(stream: Stream) -> Text:
    """A stream's text: the shared prefix quiet, the first divergent token marked."""
    fork = stream.first_divergent_token
    text = Text()
    if fork is None or fork >= len(stream.segments):
        return Text(visible(stream.text))
    text.append(visible("".join(stream.segments[:fork])), style="dim")
    text.append(f"{FORK_LEFT}{fork_text(stream)}{FORK_RIGHT}", style="bold reverse")
    text.append(visible("".join(stream.segments[fork + 1 :]) + stream.tail))
    return text


def fork_text(stream: Stream) -> str:
    """The first divergent token on one line, visible whatever it is."""
    fork = stream.first_divergent_token
    assert fork is not None
    shown = stream.segments[fork] or (stream.fork.variant_text if stream.fork else "")
    return visible_line(shown).replace(" ", "␣") if not shown.strip() else visible_line(shown)


def divergence(comparison: Comparison, stream: Stream) -> str:
    """Where a stream stands against the reference, in a few words."""
    if stream is comparison.reference:
        return "reference"
    if stream.first_divergent_token is not None:
        return f"diverges at {stream.first_divergent_token}"
    shared = min(len(stream.tokens), len(comparison.reference.tokens))
    return f"same so far ({shared})" if stream.finish_reason is None else f"identical ({shared})"


FINISH = {
    "stop": "end of text",
    "length": "token limit",
    "cancelled": "stopped",
    "failed": "failed",
}


def comparison_report(comparison: Comparison, loaded: p.Loaded) -> RenderableType:
    """Streams one under the other, then the table and what it was run on."""
    parts: list[RenderableType] = []
    for stream in comparison.streams:
        title = Text(stream.name, style="bold")
        title.append(f"  {visible_line(stream.variant.formula)}", style="not bold")
        title.append(f"  {divergence(comparison, stream)}", style="not bold italic")
        parts += [
            Rule(title, align="left", style="dim"),
            Padding(stream_text(stream), (0, 0, 1, 2)),
        ]
        if stream.error is not None:
            parts.append(Text(f"  {visible(stream.error.message)} {visible(stream.error.hint)}\n"))
    return Group(*parts, _table(comparison), Text(_footing(comparison, loaded), style="dim"))


def _table(comparison: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in ("activation", "tokens", "tok/s", "diverges at", "largest KL", "fork", "ended"):
        right = header in ("tokens", "tok/s", "diverges at", "largest KL")
        table.add_column(header, justify="right" if right else "left", overflow="fold")
    for stream in comparison.streams:
        kls = [step.kl for step in stream.steps if step.kl is not None]
        native = " (native)" if stream.variant.native else ""
        table.add_row(
            Text(stream.name + native),
            str(len(stream.tokens)),
            f"{stream.generation_tps:.1f}" if stream.generation_tps else "–",
            _at(comparison, stream),
            f"{max(kls):.2g}" if kls else "–",
            Text(_fork_summary(stream)),
            FINISH.get(stream.finish_reason or "cancelled", "stopped"),
        )
    return table


def _at(comparison: Comparison, stream: Stream) -> str:
    if stream is comparison.reference:
        return "reference"
    return "–" if stream.first_divergent_token is None else str(stream.first_divergent_token)


def _fork_summary(stream: Stream) -> str:
    fork = stream.fork
    if fork is None:
        return ""
    a, b = quoted(fork.reference_text), quoted(fork.variant_text)
    return (
        f"{a} {fork.probabilities['reference_a']:.0%} → {b} {fork.probabilities['variant_b']:.0%}"
    )


def quoted(text: str) -> str:
    """A token in quotation marks, on one line, shortened."""
    shown = visible_line(text)
    return f"“{shown if len(shown) <= 18 else shown[:17] + '…'}”"


def _footing(comparison: Comparison, loaded: p.Loaded) -> str:
    started = comparison.started
    rate = comparison.tokens_per_second
    precisions = {variant.precision for variant in started.variants}
    model = loaded.model
    facts = [
        f"{model.id} ({model.family}, {model.dtype}{_quantized(model)})",
        loaded.device,
        f"{started.schedule}, functions in {'/'.join(sorted(precisions))}",
        "chat template" if started.chat else "raw prompt",
    ]
    if rate:
        facts.append(f"{rate:.1f} tok/s of all streams")
    lines = [visible_line(" · ".join(facts))]
    if (check := comparison.self_check) is not None:
        lines.append(self_check_sentence(check))
    if comparison.finished is None or comparison.finished.status == "cancelled":
        lines.append("Interrupted: this is what there was.")
    return "\n" + "\n".join(lines)


def _quantized(model: p.ModelInfo) -> str:
    return f", {model.quantization.get('bits', '?')} bit" if model.quantization else ""


def self_check_sentence(check: p.SelfCheckReport) -> str:
    """The A/A control in one sentence."""
    if check.identical:
        return f"Self-check: one function on {check.rows} rows gave bit-identical logits."
    if check.max_logit_difference is None:
        return "Self-check: the reference's function made logits that are not finite."
    return (
        f"Self-check: one function on {check.rows} rows differs by up to "
        f"{check.max_logit_difference:.2g} in the logits on this machine; "
        "smaller differences between functions mean nothing."
    )


def activations_table() -> Table:
    """The registry, with the largest error against exact GELU for x in [−6, 6]."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column("formula")
    table.add_column("max |f−gelu|", justify="right", no_wrap=True)
    table.add_column("at x", justify="right", no_wrap=True)
    table.add_column("native of")
    table.add_column("aliases")
    for activation in REGISTRY.values():
        error, x = error_against_gelu(Variant(activation.name, activation.formula))
        native = ", ".join(NATIVE_OF.get(activation.name, ()))
        table.add_row(
            activation.name,
            Text(activation.formula),
            f"{error:.2e}" if error else "0",
            f"{x:.2f}" if error else "",
            native,
            ", ".join(activation.aliases),
        )
    return table


def bench_report(report: p.BenchReport, startup: dict[str, float], machine: str) -> RenderableType:
    """Measured ways of decoding and their ratios."""
    ways = Table(box=None, pad_edge=False, header_style="bold")
    for header in ("way", "ms a step", "tok/s, all rows", "peak memory", "caches"):
        ways.add_column(header, justify="left" if header == "way" else "right")
    for row in report.rows:
        ways.add_row(
            row.name,
            f"{row.step_s * 1e3:.1f}",
            f"{row.tokens_per_second:.2f}",
            f"{row.peak_memory_bytes / 1e6:,.0f} MB",
            f"{row.cache_bytes / 1e6:,.0f} MB" if row.cache_bytes else "",
        )
    ratios = Table(box=None, pad_edge=False, header_style="bold")
    ratios.add_column("ratio")
    ratios.add_column("median", justify="right")
    for name, value in {**report.ratios, **startup}.items():
        ratios.add_row(name, f"{value:.3f}")
    ratios.add_row("statistics ÷ decode time, most rows", f"{report.statistics_share:.3f}")
    notes = [
        machine,
        f"{report.rounds} rounds of {report.tokens} tokens after {report.prompt_tokens} of prompt",
        *map(self_check_sentence, report.self_checks),
    ]
    return Group(ways, Text(), ratios, Text(), Text("\n".join(notes), style="dim"))


def hint_lines(message: str, hint: str, pointer: str = "") -> Sequence[str]:
    """An error for stderr: the sentence, the place in the text if there is one, what to do."""
    lines = [f"gelu-tui: {visible_line(message)}"]
    lines += [f"  {visible(line)}" for line in pointer.splitlines()]
    return [*lines, f"  {visible_line(hint)}"] if hint else lines
