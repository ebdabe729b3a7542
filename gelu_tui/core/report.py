"""Comparisons, registry and bench as text for a terminal, through Rich.

Everything reads without colour, and nothing is cut off at 80 columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from gelu_tui.core import protocol as p
from gelu_tui.core.activations import CONTROL, parse_variant
from gelu_tui.core.comparison import Comparison, Stream
from gelu_tui.core.document import BenchDocument
from gelu_tui.core.explanation import decided, explain, explain_verdict
from gelu_tui.core.noise import largest_kl, noise_sentences
from gelu_tui.core.registry import NATIVE_OF, REGISTRY, Precision
from gelu_tui.core.safe_text import visible, visible_line
from gelu_tui.core.settings.run_settings import sampling_words
from gelu_tui.core.tables import plain_table as _table

# A shape around the first divergent token, so that it reads without colour too.
FORK_LEFT, FORK_RIGHT = "►", "◄"
_FORK_STYLE = "bold black on yellow"

# A name and a formula that are longer together get a line each.
_TITLE_WIDTH = 58


# --- streams ------------------------------------------------------------------------------------


def stream_text(stream: Stream) -> Text:
    """A stream's text: the shared prefix quiet, the first divergent token marked.

    Line feeds at the very start and end show as ↵: they are tokens, but blank lines only a gap.
    """
    fork = stream.first_divergent_token
    if fork is None:
        text = Text(_mark_first_line_feeds(_mark_last_line_feeds(visible(stream.text))))
    else:
        text = Text()
        shared = visible("".join(stream.segments[:fork]))
        text.append(_mark_first_line_feeds(shared), style="dim")
        text.append(f"{FORK_LEFT}{fork_text(stream)}{FORK_RIGHT}", style=_FORK_STYLE)
        if "".join(stream.segments[fork : fork + 1]).endswith("\n"):
            text.append("\n")
        rest = "".join(stream.segments[fork + 1 :]) + stream.tail
        text.append(_mark_last_line_feeds(visible(rest)))
    text.highlight_regex(r"\A↵+|↵+\Z", "dim")
    return text or Text("(no text)", style="dim")


def _mark_first_line_feeds(text: str) -> str:
    body = text.lstrip("\n")
    count = len(text) - len(body)
    return "↵" * count + "\n" + body if count else body


def _mark_last_line_feeds(text: str) -> str:
    body = text.rstrip("\n")
    return body + "↵" * (len(text) - len(body))


def fork_text(stream: Stream) -> str:
    """The first divergent token on one line, visible whatever it is."""
    fork = stream.first_divergent_token
    assert fork is not None
    if fork >= len(stream.segments):
        return "end"  # the reference went on
    shown = stream.segments[fork] or (stream.fork.variant_text if stream.fork else "")
    return visible_line(shown).replace(" ", "␣") if not shown.strip() else visible_line(shown)


def divergence(comparison: Comparison, stream: Stream) -> str:
    """Where a stream stands against the reference, in a few words."""
    reference = comparison.reference
    if stream is reference:
        return "reference"
    if stream.first_divergent_token is not None:
        return f"diverges at {stream.first_divergent_token}{decided(stream.fork)}"
    shared = min(len(stream.tokens), len(reference.tokens))
    if not shared:
        return "not compared"
    whole = {stream.finish_reason, reference.finish_reason} <= {"stop", "length"}
    return f"identical ({shared})" if whole else f"same so far ({shared})"


def comparison_report(comparison: Comparison, loaded: p.Loaded) -> RenderableType:
    """Streams one under the other, tables of them and of their forks, and what it was run on."""
    parts: list[RenderableType] = []
    for stream in comparison.streams:
        parts += [*_heading(comparison, stream), Padding(stream_text(stream), (0, 0, 0, 2))]
        if stream.error is not None:
            said = visible_line(f"{stream.error.message} {stream.error.hint}")
            parts.append(Padding(Text(said, style="bold"), (0, 0, 0, 2)))
        parts.append(Text())
    parts += [_streams_table(comparison), Text()]
    if noise := noise_sentences(comparison):
        parts += [Text("\n".join(noise)), Text()]
    if forks := _forks(comparison):
        parts += [*forks, Text()]
    return Group(*parts, Text("\n".join(_footing(comparison, loaded)), style="dim"))


def _heading(comparison: Comparison, stream: Stream) -> list[RenderableType]:
    """Name and formula at the left, where the stream stands at the right, a rule between them."""
    title = Text(visible_line(stream.name), style="bold")
    formula = visible_line(stream.variant.formula)
    together = len(title) + len(formula) <= _TITLE_WIDTH
    if together:
        title.append(f"  {formula}", style="not bold")
    line = Table.grid(padding=(0, 1, 0, 0), expand=True)
    line.add_column(overflow="fold")
    line.add_column(ratio=1)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(title, Rule(style="dim"), Text(divergence(comparison, stream), style="italic"))
    return [line] if together else [line, Padding(Text(formula), (0, 0, 0, 2))]


# --- tables of a comparison -----------------------------------------------------------------------


def _streams_table(comparison: Comparison) -> Table:
    numbers = ("tokens", "tok/s", "diverges at", "largest KL")
    table = _table("activation", *numbers, "ended", numbers=numbers)
    for stream in comparison.streams:
        kls = [step.kl for step in stream.steps if step.kl is not None]
        table.add_row(
            Text(visible_line(stream.name) + marks(stream.variant)),
            str(len(stream.tokens)),
            f"{stream.generation_tps:.1f}" if stream.generation_tps else "–",
            _diverges_at(comparison, stream),
            f"{max(kls):.2g}" if kls else "–",
            FINISH[stream.finish_reason or "cancelled"],
        )
    return table


def marks(variant: p.VariantInfo) -> str:
    """What a function is in this comparison, in brackets behind its name."""
    is_control = variant.control and variant.name != CONTROL
    found = ["native"] * variant.native + ["control"] * is_control
    return f" ({', '.join(found)})" if found else ""


PRECISIONS: Mapping[Precision, str] = {"float32": "float32", "model": "the model's dtype"}

FINISH: Mapping[p.FinishReason, str] = {
    "stop": "end of text",
    "length": "token limit",
    "cancelled": "stopped",
    "failed": "failed",
}


def _diverges_at(comparison: Comparison, stream: Stream) -> str:
    if stream is comparison.reference:
        return "reference"
    return "–" if stream.first_divergent_token is None else str(stream.first_divergent_token)


def _forks(comparison: Comparison) -> list[RenderableType]:
    """Each fork in plain sentences; what made it is told once where it is the same for all."""
    forks = [(stream, stream.fork) for stream in comparison.streams if stream.fork is not None]
    name = comparison.reference.name
    verdicts = [explain_verdict(fork, name, stream.name) for stream, fork in forks]
    same = len(set(verdicts)) == 1
    parts: list[RenderableType] = [Text("forks", style="bold")] if forks else []
    for (stream, fork), verdict in zip(forks, verdicts, strict=True):
        said = explain(fork, name, stream.name)
        parts.append(_hanging(said if same else f"{said} {verdict}"))
    return [*parts, Text(verdicts[0], style="dim")] if forks and same else parts


def _hanging(sentence: str) -> RenderableType:
    """A paragraph behind a bullet."""
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row("·", Text(sentence))
    return line


def quoted(text: str) -> str:
    """A token in quotation marks, on one line, shortened."""
    shown = visible_line(text)
    return f"“{shown if len(shown) <= 18 else shown[:17] + '…'}”"


def _footing(comparison: Comparison, loaded: p.Loaded) -> list[str]:
    started = comparison.started
    model = loaded.model
    precisions = sorted({variant.precision for variant in started.variants})
    how = [
        started.settings.schedule,
        f"functions in {' and '.join(PRECISIONS[precision] for precision in precisions)}",
        "chat template" if started.settings.chat else "raw prompt",
        *sampling_words(started.settings),
    ]
    if rate := comparison.tokens_per_second:
        how.append(f"{rate:.1f} tok/s of all streams")
    lines = [*model_lines(model, loaded.device), " · ".join(how)]
    if (check := comparison.self_check) is not None:
        lines.append(self_check_sentence(check))
    if comparison.finished is None or comparison.finished.status == "cancelled":
        lines.append("Interrupted: this is what there was.")
    return lines


def sites_sentence(sites: Mapping[str, int]) -> str:
    """`18 × feed-forward, 18 × per-layer gate`."""
    return visible_line(", ".join(f"{count} × {name}" for name, count in sites.items()))


def model_lines(model: p.ModelInfo, device: str) -> list[str]:
    """What was computed, on what, and where the function acted."""
    line = f"{model.id} ({model.family}, {model.dtype}{_quantized(model)}) · {device}"
    sites = [f"The function acts in {sites_sentence(model.sites)}."] if model.sites else []
    return [visible_line(line), *sites]


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
        f"{check.max_logit_difference:.2g} in the logits on this machine, a KL of at most "
        f"{largest_kl(check.max_logit_difference):.1g}; smaller differences between functions mean "
        "nothing."
    )


# --- registry and bench -----------------------------------------------------------------------


def activations_table() -> RenderableType:
    """The registry, with the largest error against exact GELU for x in [−6, 6]."""
    from gelu_tui.core.curves import curve

    functions = _table("name", "formula", "max |f−gelu|", "at x", numbers=("max |f−gelu|", "at x"))
    aliases = _table("name", "aliases")
    for activation in REGISTRY.values():
        of = curve(parse_variant(activation.name))
        place = f"{of.error_at:.2f}".replace("-", "−") if of.error else ""
        functions.add_row(activation.name, activation.formula, f"{of.error:.6f}", place)
        if activation.aliases:
            aliases.add_row(activation.name, ", ".join(activation.aliases))
    native = "; ".join(f"{name} in {', '.join(of)}" for name, of in NATIVE_OF.items())
    notes = (
        f"Native, what mlx-lm itself computes: {native}.\n"
        "A formula of your own: -a 'gelu2024=x*sigmoid(1.773*x)'."
    )
    return Group(functions, Text(), aliases, Text(), Text(notes, style="dim"))


def bench_report(bench: BenchDocument) -> RenderableType:
    """Measured ways of decoding, and their ratios."""
    report, start_up = bench.report, bench.start_up
    numbers = ("ms a step", "tok/s, all rows", "peak memory", "caches")
    ways = _table("way", *numbers, numbers=numbers)
    for row in report.rows:
        ways.add_row(
            Text(visible_line(row.name)),
            f"{row.step_s * 1e3:.1f}",
            f"{row.tokens_per_second:.2f}",
            f"{row.peak_memory_bytes / 1e6:,.0f} MB",
            f"{row.cache_bytes / 1e6:,.0f} MB" if row.cache_bytes else "",
        )
    ratios = _table("ratio", "median", numbers=("median",))
    for name, value in report.ratios.items():
        ratios.add_row(Text(visible_line(name)), f"{value:.3f}")
    ratios.add_row("statistics ÷ decode time, most rows", f"{report.statistics_share:.3f}")
    if start_up is not None:
        ratios.add_row("command to first token ÷ plain mlx-lm script", f"{start_up.ratio:.3f}")
    notes = [
        *map(visible_line, bench.machine),
        f"{report.tokens} tokens after {report.prompt_tokens} of prompt, rounds: {report.rounds}",
        *map(self_check_sentence, report.self_checks),
    ]
    if start_up is not None:
        notes.append(
            f"Command to first token {start_up.gelu_tui_s:.2f} s, "
            f"by a plain mlx-lm script {start_up.mlx_lm_s:.2f} s."
        )
    return Group(ways, Text(), ratios, Text(), Text("\n".join(notes), style="dim"))


def hint_lines(message: str, hint: str, pointer: str = "") -> Sequence[str]:
    """An error for stderr: the sentence, the place in the text if there is one, what to do."""
    lines = [f"gelu-tui: {visible_line(message)}"]
    lines += [f"  {visible(line)}" for line in pointer.splitlines()]
    return [*lines, f"  {visible_line(hint)}"] if hint else lines
