"""A comparison as a Markdown report: settings, variants, forks, and the texts themselves.

Text of models and prompts stands in fences and table cells that it cannot leave.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gelu_tui.core.comparison.fork_sentences import explain_verdict, percent
from gelu_tui.core.comparison.standing import FINISH, STATUS
from gelu_tui.core.reports.noise_sentences import noise_sentences
from gelu_tui.core.reports.terminal import (
    FORK_LEFT,
    FORK_RIGHT,
    PRECISIONS,
    marks,
    model_words,
    sites_sentence,
    stream_text,
)
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.safe_text import quoted, visible, visible_line
from gelu_tui.core.settings.run_settings import sampling_words

# What Markdown, its tables, inline HTML or GitHub's mentions would act on.
_ACTIVE = re.compile(r"[\\`*_\[\]<>|~&#@!$^]")


def markdown_report(document: ComparisonDocument) -> str:
    """The report of a document, a few screens long, complete with every stream's text."""
    variants = document.variants
    parts = [
        f"# {len(variants)} activation function{'s' * (len(variants) > 1)}, one prompt",
        _intro(document),
        "## Prompt",
        fence(document.prompt),
        "## Settings",
        _settings(document),
        "## Variants",
        _variants(document),
        "The first divergent token is the first step, counted from 0, at which a stream's token "
        "differs from the reference's. KL (nats, against the reference) is the mean over the steps "
        "up to and including that one: until there both have read the same text.",
        *map(escaped, noise_sentences(document)),
        *_forks(document),
        "## Texts",
        f"{FORK_LEFT}…{FORK_RIGHT} is the first divergent token.",
    ]
    for variant in variants:
        parts += [f"### {escaped(variant.name)}", fence(stream_text(variant).plain)]
        if variant.error is not None:
            parts.append(_said(variant.error.message, variant.error.hint))
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
    sentence = f"{STATUS[document.status].capitalize()}; {escaped(document.created)}."
    if document.error is not None:
        sentence += f" {_said(document.error.message, document.error.hint)}"
    return sentence


def _settings(document: ComparisonDocument) -> str:
    model, settings = document.model, document.settings
    check = document.self_check
    rows = [
        ("model", model_words(model)),
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


def _variants(document: ComparisonDocument) -> str:
    numbers = ("tokens", "first divergent token", "KL mean", "tok/s")
    rows = [
        (
            variant.name + marks(document, variant),
            variant.formula,
            str(len(variant.tokens)),
            document.standing(variant).short,
            "–" if variant.mean_kl is None else f"{variant.mean_kl:.3g}",
            f"{variant.generation_tps:.1f}" if variant.generation_tps else "–",
            FINISH[variant.finish_reason][0],
        )
        for variant in document.variants
    ]
    return _table(("function", "formula", *numbers, "ended"), rows, numbers)


def _forks(document: ComparisonDocument) -> list[str]:
    forked = [(variant.name, variant.fork) for variant in document.variants if variant.fork]
    if not forked:
        return []
    header = ("function", "step", "reference's token", "its own token", "verdict")
    rows = []
    for name, fork in forked:
        share = fork.probabilities
        both = (("reference_a", "variant_a"), ("reference_b", "variant_b"))
        a, b = (
            f"{quoted(text, 18)} {percent(share[of_reference])} → {percent(share[of_variant])}"
            for text, (of_reference, of_variant) in zip(
                (fork.reference_text, fork.variant_text), both, strict=True
            )
        )
        rows.append((name, str(fork.step), a, b, explain_verdict(fork, document.reference, name)))
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
