"""A comparison as a Markdown report: settings, variants, forks, and the texts themselves.

Text of models and prompts stands in fences and table cells that it cannot leave.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gelu_tui.core.comparison import Comparison, Stream
from gelu_tui.core.document import ComparisonDocument
from gelu_tui.core.explanation import explain_verdict, percent
from gelu_tui.core.noise import mean_kl, noise_sentences
from gelu_tui.core.report import (
    FINISH,
    FORK_LEFT,
    FORK_RIGHT,
    PRECISIONS,
    marks,
    quoted,
    sites_sentence,
    stream_text,
)
from gelu_tui.core.restore import restore
from gelu_tui.core.safe_text import visible, visible_line
from gelu_tui.core.settings.run_settings import sampling_words

# What Markdown, its tables, inline HTML or GitHub's mentions would act on.
_ACTIVE = re.compile(r"[\\`*_\[\]<>|~&#@!$^]")


def markdown_report(document: ComparisonDocument) -> str:
    """The report of a document, a few screens long, complete with every stream's text."""
    comparison = restore(document)
    streams = comparison.streams
    parts = [
        f"# {len(streams)} activation function{'s' * (len(streams) > 1)}, one prompt",
        _intro(document),
        "## Prompt",
        fence(document.prompt),
        "## Settings",
        _settings(document),
        "## Variants",
        _variants(comparison),
        "The first divergent token is the first step, counted from 0, at which a stream's token "
        "differs from the reference's. KL (nats, against the reference) is the mean over the steps "
        "up to and including that one: until there both have read the same text.",
        *map(escaped, noise_sentences(comparison)),
        *_forks(comparison),
        "## Texts",
        f"{FORK_LEFT}…{FORK_RIGHT} is the first divergent token.",
    ]
    for stream in streams:
        parts += [f"### {escaped(stream.name)}", fence(stream_text(stream).plain)]
        if stream.error is not None:
            parts.append(_said(stream.error.message, stream.error.hint))
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Any text as plain words on one line, in a paragraph, a heading or a table cell."""
    return _ACTIVE.sub(r"\\\g<0>", visible_line(text))


def fence(text: str) -> str:
    """Any text as a block that it cannot end: the fence is longer than what it has of its kind."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}text\n{visible(text)}\n{ticks}"


# --- parts ----------------------------------------------------------------------------------------


def _intro(document: ComparisonDocument) -> str:
    status = {
        "completed": "Completed",
        "cancelled": "Stopped before its end",
        "failed": "Failed",
    }[document.status]
    sentence = f"{status}; {escaped(document.created)}."
    if document.error is not None:
        sentence += f" {_said(document.error.message, document.error.hint)}"
    return sentence


def _settings(document: ComparisonDocument) -> str:
    model, settings = document.model, document.settings
    quantized = f", {model.quantization.get('bits', '?')} bit" if model.quantization else ""
    check = document.self_check
    rows = [
        ("model", f"{model.id} ({model.family}, {model.dtype}{quantized})"),
        *([("the function acts in", sites_sentence(model.sites))] if model.sites else []),
        ("device", document.device),
        ("reference", document.reference),
        ("tokens at most", f"{settings.max_tokens} for each stream"),
        ("schedule", settings.schedule),
        ("prompt", "chat template" if settings.chat else "raw"),
        ("prompt tokens", str(len(document.prompt_tokens))),
        ("functions evaluated in", PRECISIONS[settings.activation_precision]),
        ("versions", ", ".join(f"{name} {v}" for name, v in document.versions.items())),
    ]  # fmt: skip
    if words := sampling_words(settings):
        rows.append(("tokens drawn with", ", ".join(words)))
    if check is not None:
        same = "bit-identical logits" if check.identical else "logits that differ: noise floor"
        rows.append(("one function on several rows", same))
    return _table(("setting", "value"), rows)


def _variants(comparison: Comparison) -> str:
    numbers = ("tokens", "first divergent token", "KL mean", "tok/s")
    rows = [
        (
            stream.name + marks(stream.variant),
            stream.variant.formula,
            str(len(stream.tokens)),
            _divergence(comparison, stream),
            "–" if (mean := mean_kl(comparison, stream)) is None else f"{mean:.3g}",
            f"{stream.generation_tps:.1f}" if stream.generation_tps else "–",
            FINISH[stream.finish_reason or "cancelled"],
        )
        for stream in comparison.streams
    ]
    return _table(("function", "formula", *numbers, "ended"), rows, numbers)


def _divergence(comparison: Comparison, stream: Stream) -> str:
    if stream is comparison.reference:
        return "reference"
    return "none" if stream.first_divergent_token is None else str(stream.first_divergent_token)


def _forks(comparison: Comparison) -> list[str]:
    forked = [(stream, stream.fork) for stream in comparison.streams if stream.fork is not None]
    if not forked:
        return []
    header = ("function", "step", "reference's token", "its own token", "verdict")
    rows = []
    for stream, fork in forked:
        share = fork.probabilities
        both = (("reference_a", "variant_a"), ("reference_b", "variant_b"))
        a, b = (
            f"{quoted(text)} {percent(share[of_reference])} → {percent(share[of_variant])}"
            for text, (of_reference, of_variant) in zip(
                (fork.reference_text, fork.variant_text), both, strict=True
            )
        )
        said = explain_verdict(fork, comparison.reference.name, stream.name)
        rows.append((stream.name, str(fork.step), a, b, said))
    return [
        "## Forks",
        _table(header, rows, numbers=("step",)),
        "Each token with its probability under the reference → under the variant.",
    ]


# --- Markdown -------------------------------------------------------------------------------------


def _said(*sentences: str) -> str:
    return " ".join(escaped(sentence) for sentence in sentences if sentence)


def _table(
    header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str] = ()
) -> str:
    rules = ("---:" if name in numbers else "---" for name in header)
    lines = [header, tuple(rules), *(tuple(escaped(cell) for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
