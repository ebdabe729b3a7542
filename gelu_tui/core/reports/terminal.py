"""Text reports of a comparison, readable at 80 columns."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.fork_sentences import explain_fork, explain_verdict
from gelu_tui.core.comparison.noise import largest_kl
from gelu_tui.core.comparison.standing import FINISH
from gelu_tui.core.functions.registry import Precision
from gelu_tui.core.functions.variants import CONTROL
from gelu_tui.core.reports.layout import INDENT, FittedTable, StreamHeading, spaced
from gelu_tui.core.reports.noise_sentences import noise_sentences
from gelu_tui.core.reports.repetition_sentences import repetition_sentences
from gelu_tui.core.reports.what_if_sentences import what_if_sentence
from gelu_tui.core.runs.document import ComparisonDocument, VariantDocument
from gelu_tui.core.safe_text import visible, visible_line
from gelu_tui.core.settings.run_settings import sampling_words

PRECISIONS: Mapping[Precision, str] = {"float32": "float32", "model": "the model's dtype"}
FORK_LEFT, FORK_RIGHT = "►", "◄"  # around the first divergent token, visible without colour


def stream_text(variant: VariantDocument) -> Text:
    """A stream's text: the shared prefix dim, the first divergent token marked.

    Line feeds at the start and the end show as ↵: they are tokens, but blank lines look like a gap.
    """
    fork = variant.first_divergent_token
    if fork is None:
        text = Text(_mark_first_line_feeds(_mark_last_line_feeds(visible(variant.text))))
    else:
        shared = "".join(step.text for step in variant.steps[:fork])
        token = "".join(step.text for step in variant.steps[fork : fork + 1])
        rest = variant.text[len(shared) + len(token) :]
        text = Text.assemble(
            (_mark_first_line_feeds(visible(shared)), "dim"),
            (f"{FORK_LEFT}{fork_text(variant, fork)}{FORK_RIGHT}", "bold black on yellow"),
            "\n" if token.endswith("\n") else "",
            _mark_last_line_feeds(visible(rest)),
        )
    text.highlight_regex(r"\A↵+|↵+\Z", "dim")
    return text or Text("(no text)", style="dim")


def _mark_first_line_feeds(text: str) -> str:
    return re.sub(r"\A\n+", lambda match: "↵" * len(match[0]) + "\n", text)


def _mark_last_line_feeds(text: str) -> str:
    return re.sub(r"\n+\Z", lambda match: "↵" * len(match[0]), text)


def fork_text(variant: VariantDocument, fork: int) -> str:
    """The first divergent token, at step `fork`, on one line and always visible."""
    if fork >= len(variant.steps):  # the reference is longer
        return FINISH[variant.finish_reason][0]
    shown = variant.steps[fork].text or (variant.fork.variant_text if variant.fork else "")
    return visible_line(shown).replace(" ", "␣") if not shown.strip() else visible_line(shown)


def comparison_report(
    document: ComparisonDocument, *, shown: Collection[str] = ()
) -> RenderableType:
    """The streams one below the other, their table, their forks, and how they were computed.

    The streams in `shown` are on the terminal already.
    """
    streams = [variant for variant in document.variants if variant.name not in shown]
    parts: list[RenderableType] = [_stream(document, variant) for variant in streams]
    without = ("formula",)
    rows = [stream_cells(document, variant, without) for variant in document.variants]
    parts.append(FittedTable(rows, left=("ended",)))
    if sentences := [*noise_sentences(document), *repetition_sentences(document)]:
        parts.append(Text("\n".join(sentences)))
    if forks := _forks(document):
        parts.append(Group(*forks))
    return spaced(*parts, Text("\n".join(_footing(document)), style="dim"))


def _stream(document: ComparisonDocument, variant: VariantDocument) -> RenderableType:
    """The heading and the text."""
    below = [stream_text(variant)]
    if variant.error is not None:
        sentence = visible_line(f"{variant.error.message} {variant.error.hint}")
        below.append(Text(sentence, style="bold"))
    standing = document.standing(variant).long
    if variant.repeats is not None:
        standing = f"{standing} · {variant.repeats.words}"
    heading = StreamHeading(variant.name, variant.formula, standing)
    return Group(heading, *(Padding(text, (0, 0, 0, INDENT)) for text in below))


def stream_cells(
    document: ComparisonDocument, variant: VariantDocument, without: Collection[str] = ()
) -> dict[str, str]:
    """The cells of a stream in the table of a report, by their headers."""
    is_control = variant.control and variant.name != CONTROL
    roles = ", ".join(["native"] * document.is_native(variant) + ["control"] * is_control)
    cells = {
        "function": f"{variant.name} ({roles})" if roles else variant.name,
        "formula": variant.formula,
        "tokens": str(len(variant.tokens)),
        "tok/s": f"{variant.generation_tps:.1f}" if variant.generation_tps else "–",
        "diverges at": document.standing(variant).short,
        "mean KL": "–" if variant.mean_kl is None else f"{variant.mean_kl:.3g}",
        "ended": FINISH[variant.finish_reason][0],
    }
    return {header: cell for header, cell in cells.items() if header not in without}


def _forks(document: ComparisonDocument) -> list[RenderableType]:
    """Each fork in sentences; the verdict only once if it is the same for all."""
    forks = [(variant, variant.fork) for variant in document.variants if variant.fork]
    reference = document.reference
    verdicts = [explain_verdict(fork, reference, variant.name) for variant, fork in forks]
    same = len(set(verdicts)) == 1
    parts: list[RenderableType] = [Text("forks", style="bold")] if forks else []
    for (variant, fork), verdict in zip(forks, verdicts, strict=True):
        said = [explain_fork(fork, reference, variant.name), verdict * (not same)]
        said.append(what_if_sentence(document, variant))
        bullet = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 1, 0, 0))
        bullet.add_row("·", Text(" ".join(filter(None, said))))
        parts.append(bullet)
    return [*parts, Text(verdicts[0], style="dim")] if same else parts


def _footing(document: ComparisonDocument) -> list[str]:
    settings = document.settings
    precisions = sorted({variant.precision for variant in document.variants})
    how = [
        settings.schedule,
        f"functions computed in {' and '.join(PRECISIONS[precision] for precision in precisions)}",
        "chat template" if settings.chat else "raw prompt",
        *sampling_words(settings),
    ]
    if rate := document.timing.tokens_per_second:
        how.append(f"{rate:.1f} tok/s of all streams")
    lines = [*model_lines(document.model, document.device), " · ".join(how)]
    if document.self_check is not None:
        lines.append(self_check_sentence(document.self_check))
    if document.status == "cancelled":
        lines.append("Interrupted: these are the tokens until then.")
    return lines


def sites_sentence(sites: Mapping[str, int]) -> str:
    """`18 × feed-forward, 18 × per-layer gate`."""
    return visible_line(", ".join(f"{count} × {name}" for name, count in sites.items()))


def model_words(model: p.ModelInfo) -> str:
    """`google/gemma-3-1b-it (gemma3_text, bfloat16, 4-bit)`."""
    facts = ", ".join(filter(None, (model.family, model.dtype, model.bits)))
    return visible_line(f"{model.id} ({facts})")


def model_lines(model: p.ModelInfo, device: str) -> list[str]:
    """The model, the device, and the places where the function acted."""
    sites = [f"The function acts in {sites_sentence(model.sites)}."] if model.sites else []
    return [f"{model_words(model)} · {visible_line(device)}", *sites]


def self_check_sentence(check: p.SelfCheckReport) -> str:
    """The A/A control in one sentence."""
    if check.identical:
        return f"Self-check: one function on {check.rows} rows gave bit-identical logits."
    if check.max_logit_difference is None:
        return "Self-check: the reference's function made logits that are not finite."
    if check.mixed:
        return (
            f"Self-check: with several prompts in one batch of {check.rows} rows, logits differ by "
            f"up to {check.max_logit_difference:.2g} from those of a prompt alone; a token whose "
            "margin is smaller may be another one there."
        )
    return (
        f"Self-check: one function on {check.rows} rows differs by up to "
        f"{check.max_logit_difference:.2g} in the logits on this machine, a KL of at most "
        f"{largest_kl(check.max_logit_difference):.1g}; smaller differences between functions mean "
        "nothing."
    )


def hint_lines(message: str, hint: str, pointer: str = "") -> Sequence[str]:
    """An error for stderr: what happened, the place in a formula (`pointer`), what to do."""
    lines = [f"gelu-tui: {visible_line(message)}"]
    lines += [f"  {visible(line)}" for line in pointer.splitlines()]
    return [*lines, f"  {visible_line(hint)}"] if hint else lines
