"""A comparison as a Markdown report: settings, variants, forks and texts.

Text of models and prompts is put into fences and table cells that it cannot end.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.fork_sentences import explain_verdict, percent
from gelu_tui.core.comparison.standing import STATUS
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.reports import terminal
from gelu_tui.core.reports.noise_sentences import noise_sentences
from gelu_tui.core.reports.repetition_sentences import repetition_sentences
from gelu_tui.core.reports.what_if_sentences import what_if_sentence
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.safe_text import quoted, visible, visible_line
from gelu_tui.core.settings.run_settings import sampling_words

# What Markdown, its tables, inline HTML or GitHub's mentions would act on.
_ACTIVE = re.compile(r"[\\`*_\[\]<>|~&#@!$^]")


def markdown_report(document: ComparisonDocument) -> str:
    """The report of a document, with the whole text of every stream."""
    variants = document.variants
    numbers = ("tokens", "tok/s", "diverges at", "mean KL")
    parts = [
        f"# {len(variants)} activation function{'s' * (len(variants) > 1)}, one prompt",
        f"{STATUS[document.status].capitalize()}; {escaped(document.created)}. "
        f"{_error(document.error)}".strip(),
        "## Prompt",
        fence(document.prompt),
        "## Settings",
        table([{"setting": k, "value": value} for k, value in setting_values(document).items()]),
        "## Functions",
        table([terminal.stream_cells(document, v) for v in variants], numbers),
        "A stream diverges at the first step, counted from 0, at which its token differs from the "
        "reference's. Mean KL (nats, against the reference) is over the steps up to and including "
        "that one: until there both have read the same text.",
        *map(escaped, noise_sentences(document)),
        *map(escaped, repetition_sentences(document)),
        *_forks(document),
        "## Texts",
        f"{terminal.FORK_LEFT}…{terminal.FORK_RIGHT} is the first divergent token.",
    ]
    for variant in variants:
        parts += [f"### {escaped(variant.name)}", fence(terminal.stream_text(variant).plain)]
        parts.append(_error(variant.error))
    return "\n\n".join(filter(None, parts)) + "\n"


def escaped(text: str) -> str:
    """Any text as plain words on one line: in a paragraph, a heading or a table cell."""
    return _ACTIVE.sub(r"\\\g<0>", visible_line(text))


def with_code(text: str) -> str:
    """The same, but what stands between two backticks in it is code."""
    parts = re.split("`([^`]+)`", visible_line(text))
    return "".join(f"`{part}`" if i % 2 else escaped(part) for i, part in enumerate(parts))


def fence(text: str) -> str:
    """Any text as a block that it cannot end: the fence is longer than any run of backticks."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}text\n{visible(text)}\n{ticks}"


def setting_values(document: ComparisonDocument) -> dict[str, str]:
    """Return how a comparison was made, by the names that reports give to it."""
    model, settings = document.model, document.settings
    check = document.self_check
    same = ""
    if check is not None:
        same = "bit-identical logits" if check.identical else "logits that differ"
        same += " from those of the prompt alone" if check.mixed and not check.identical else ""
    values = {
        "model": terminal.model_words(model),
        "the function acts in": terminal.sites_sentence(model.sites),
        "device": document.device,
        "reference": document.reference,
        "tokens at most": f"{settings.max_tokens} for each stream",
        "schedule": settings.schedule,
        "prompt": "chat template" if settings.chat else "raw",
        "prompt tokens": str(len(document.prompt_tokens)),
        "functions computed in": terminal.PRECISIONS[settings.activation_precision],
        "versions": ", ".join(f"{name} {v}" for name, v in document.versions.items()),
        "tokens drawn with": ", ".join(sampling_words(settings)),
        "one function on several rows": same,
    }
    return {name: value for name, value in values.items() if value}


def _forks(document: ComparisonDocument) -> list[str]:
    forked = [(variant, variant.fork) for variant in document.variants if variant.fork]
    if not forked:
        return []
    rows = [
        {
            "function": variant.name,
            "step": str(fork.step),
            "reference's token": _token(fork, fork.reference_text, "a"),
            "its own token": _token(fork, fork.variant_text, "b"),
            "verdict": explain_verdict(fork, document.reference, variant.name),
            "what if": what_if_sentence(document, variant),
        }
        for variant, fork in forked
    ]
    if not any(row["what if"] for row in rows):
        rows = [{k: cell for k, cell in row.items() if k != "what if"} for row in rows]
    note = "Each token with its probability under the reference → under the function of the row."
    return ["## Forks", table(rows, numbers=("step",)), note]


def _token(fork: p.Fork, text: str, side: str) -> str:
    shares = [percent(fork.probabilities[f"{of}_{side}"]) for of in ("reference", "variant")]
    return f"{quoted(text, 18)} {' → '.join(shares)}"


def _error(error: ErrorInfo | None) -> str:
    return escaped(f"{error.message} {error.hint}".strip()) if error else ""


def table(rows: Sequence[Mapping[str, str]], numbers: Collection[str] = ()) -> str:
    """A table whose headers are the keys of each row; at least one row.

    Columns in `numbers` are aligned right.
    """
    rules = ["---:" if header in numbers else "---" for header in rows[0]]
    lines = [[*map(escaped, rows[0])], rules, *(map(escaped, row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
