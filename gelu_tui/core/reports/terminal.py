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
from gelu_tui.core.comparison.fork_sentences import explain_fork, explain_verdict
from gelu_tui.core.comparison.noise import largest_kl
from gelu_tui.core.comparison.standing import FINISH
from gelu_tui.core.functions.registry import NATIVE_OF, REGISTRY, Precision
from gelu_tui.core.functions.variants import CONTROL, parse_variant
from gelu_tui.core.reports.noise_sentences import noise_sentences
from gelu_tui.core.reports.tables import plain_table as _table
from gelu_tui.core.runs.document import BenchDocument, ComparisonDocument, VariantDocument
from gelu_tui.core.safe_text import visible, visible_line
from gelu_tui.core.settings.run_settings import sampling_words

# A shape around the first divergent token, so that it reads without colour too.
FORK_LEFT, FORK_RIGHT = "►", "◄"
_FORK_STYLE = "bold black on yellow"

# A name and a formula that are longer together get a line each.
_TITLE_WIDTH = 58


# --- streams ------------------------------------------------------------------------------------


def stream_text(variant: VariantDocument) -> Text:
    """A stream's text: the shared prefix quiet, the first divergent token marked.

    Line feeds at the very start and end show as ↵: they are tokens, but blank lines only a gap.
    """
    fork = variant.first_divergent_token
    if fork is None:
        text = Text(_mark_first_line_feeds(_mark_last_line_feeds(visible(variant.text))))
    else:
        text = Text()
        shared = "".join(step.text for step in variant.steps[:fork])
        token = "".join(step.text for step in variant.steps[fork : fork + 1])
        text.append(_mark_first_line_feeds(visible(shared)), style="dim")
        text.append(f"{FORK_LEFT}{fork_text(variant, fork)}{FORK_RIGHT}", style=_FORK_STYLE)
        if token.endswith("\n"):
            text.append("\n")
        rest = variant.text[len(shared) + len(token) :]
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


def fork_text(variant: VariantDocument, fork: int) -> str:
    """The first divergent token, at step `fork`, on one line and visible whatever it is."""
    if fork >= len(variant.steps):
        return FINISH[variant.finish_reason][0]  # the reference went on
    shown = variant.steps[fork].text or (variant.fork.variant_text if variant.fork else "")
    return visible_line(shown).replace(" ", "␣") if not shown.strip() else visible_line(shown)


def comparison_report(document: ComparisonDocument) -> RenderableType:
    """Streams one under the other, tables of them and of their forks, and what it was run on."""
    parts: list[RenderableType] = []
    for variant in document.variants:
        parts += [*_heading(document, variant), Padding(stream_text(variant), (0, 0, 0, 2))]
        if variant.error is not None:
            said = visible_line(f"{variant.error.message} {variant.error.hint}")
            parts.append(Padding(Text(said, style="bold"), (0, 0, 0, 2)))
        parts.append(Text())
    parts += [_streams_table(document), Text()]
    if noise := noise_sentences(document):
        parts += [Text("\n".join(noise)), Text()]
    if forks := _forks(document):
        parts += [*forks, Text()]
    return Group(*parts, Text("\n".join(_footing(document)), style="dim"))


def _heading(document: ComparisonDocument, variant: VariantDocument) -> list[RenderableType]:
    """Name and formula at the left, the standing at the right, a rule between them."""
    title = Text(visible_line(variant.name), style="bold")
    formula = visible_line(variant.formula)
    together = len(title) + len(formula) <= _TITLE_WIDTH
    if together:
        title.append(f"  {formula}", style="not bold")
    line = Table.grid(padding=(0, 1, 0, 0), expand=True)
    line.add_column(overflow="fold")
    line.add_column(ratio=1)
    line.add_column(justify="right", no_wrap=True)
    standing = Text(document.standing(variant).long, style="italic")
    line.add_row(title, Rule(style="dim"), standing)
    return [line] if together else [line, Padding(Text(formula), (0, 0, 0, 2))]


# --- tables of a comparison -----------------------------------------------------------------------


def _streams_table(document: ComparisonDocument) -> Table:
    numbers = ("tokens", "tok/s", "diverges at", "largest KL")
    table = _table("activation", *numbers, "ended", numbers=numbers)
    for variant in document.variants:
        kls = [step.kl for step in variant.steps if step.kl is not None]
        table.add_row(
            Text(visible_line(variant.name) + marks(document, variant)),
            str(len(variant.tokens)),
            f"{variant.generation_tps:.1f}" if variant.generation_tps else "–",
            document.standing(variant).short,
            f"{max(kls):.2g}" if kls else "–",
            FINISH[variant.finish_reason][0],
        )
    return table


def marks(document: ComparisonDocument, variant: VariantDocument) -> str:
    """What a function is in this comparison, in brackets behind its name."""
    is_control = variant.control and variant.name != CONTROL
    found = ["native"] * document.is_native(variant) + ["control"] * is_control
    return f" ({', '.join(found)})" if found else ""


PRECISIONS: Mapping[Precision, str] = {"float32": "float32", "model": "the model's dtype"}


def _forks(document: ComparisonDocument) -> list[RenderableType]:
    """Each fork in plain sentences; the verdict only once where it is the same for all."""
    forks = [(variant.name, variant.fork) for variant in document.variants if variant.fork]
    reference = document.reference
    verdicts = [explain_verdict(fork, reference, name) for name, fork in forks]
    same = len(set(verdicts)) == 1
    parts: list[RenderableType] = [Text("forks", style="bold")] if forks else []
    for (name, fork), verdict in zip(forks, verdicts, strict=True):
        said = explain_fork(fork, reference, name)
        parts.append(_hanging(said if same else f"{said} {verdict}"))
    return [*parts, Text(verdicts[0], style="dim")] if same else parts


def _hanging(sentence: str) -> RenderableType:
    """A paragraph behind a bullet."""
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row("·", Text(sentence))
    return line


def _footing(document: ComparisonDocument) -> list[str]:
    settings = document.settings
    precisions = sorted({variant.precision for variant in document.variants})
    how = [
        settings.schedule,
        f"functions in {' and '.join(PRECISIONS[precision] for precision in precisions)}",
        "chat template" if settings.chat else "raw prompt",
        *sampling_words(settings),
    ]
    if rate := document.timing.tokens_per_second:
        how.append(f"{rate:.1f} tok/s of all streams")
    lines = [*model_lines(document.model, document.device), " · ".join(how)]
    if document.self_check is not None:
        lines.append(self_check_sentence(document.self_check))
    if document.status == "cancelled":
        lines.append("Interrupted: this is what there was.")
    return lines


def sites_sentence(sites: Mapping[str, int]) -> str:
    """`18 × feed-forward, 18 × per-layer gate`."""
    return visible_line(", ".join(f"{count} × {name}" for name, count in sites.items()))


def model_words(model: p.ModelInfo) -> str:
    """`google/gemma-3-1b-it (gemma3_text, bfloat16, 4-bit)`."""
    facts = ", ".join(filter(None, (model.family, model.dtype, model.bits)))
    return visible_line(f"{model.id} ({facts})")


def model_lines(model: p.ModelInfo, device: str) -> list[str]:
    """What was computed, on what, and where the function acted."""
    sites = [f"The function acts in {sites_sentence(model.sites)}."] if model.sites else []
    return [f"{model_words(model)} · {visible_line(device)}", *sites]


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
    from gelu_tui.core.functions.curves import curve

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
