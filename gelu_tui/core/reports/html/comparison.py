"""A comparison as HTML: streams side by side, curves of KL, figures, forks and settings."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.fork_sentences import (
    explain_fork,
    explain_verdict,
    percent,
    visible_token,
)
from gelu_tui.core.comparison.standing import FINISH, STATUS, count_tokens
from gelu_tui.core.comparison.state import Peaks, TokenStep
from gelu_tui.core.reports import terminal
from gelu_tui.core.reports.html.curves import Curve, chart
from gelu_tui.core.reports.html.page import (
    element,
    error_words,
    escaped,
    fragment,
    page,
    section,
    table,
    text_content,
    words,
)
from gelu_tui.core.reports.markdown import setting_values
from gelu_tui.core.reports.noise_sentences import noise_sentences
from gelu_tui.core.reports.repetition_sentences import repetition_sentences
from gelu_tui.core.reports.what_if_sentences import what_if_sentence
from gelu_tui.core.runs.document import ComparisonDocument, VariantDocument


def comparison_page(document: ComparisonDocument) -> str:
    """One file that shows a comparison and needs nothing else."""
    return page(f"gelu-tui: {document.prompt[:80]}", comparison_fragment(document))


def comparison_fragment(document: ComparisonDocument) -> str:
    """The same as a part of another page."""
    count = len(document.variants)
    when = f"{STATUS[document.status].capitalize()}; {document.created}"
    prompt = element("div", escaped(document.prompt), class_="given", dir="auto")
    streams = [_stream(document, i, variant) for i, variant in enumerate(document.variants)]
    return fragment(
        words("h1", f"{count} activation function{'s' * (count > 1)}, one prompt"),
        words("p", f"{terminal.model_words(document.model)} · {when}", class_="quiet"),
        error_words(document.error),
        section("Prompt", prompt),
        section("Streams", element("div", "\n".join(streams), class_="streams")),
        section("KL along the stream", _curves(document)),
        section("Figures", *_figures(document)),
        section("Forks", *_forks(document)),
        section("Settings", table(_settings(document), left=("value",))),
    )


def _stream(document: ComparisonDocument, number: int, variant: VariantDocument) -> str:
    standing = document.standing(variant).long
    ended = f"{count_tokens(len(variant.tokens))}, {FINISH[variant.finish_reason][0]}"
    return element(
        "article",
        words("h3", variant.name)
        + words("p", variant.formula, class_="quiet")
        + words("p", f"{standing} · {ended}")
        + error_words(variant.error)
        + element("div", _text(variant) or "(no text)", dir="auto"),
        class_=f"stream c{number}",
    )


def _text(variant: VariantDocument) -> str:
    """Each token with its figures: those before the fork quiet, the fork itself marked."""
    fork = variant.first_divergent_token
    shared: list[str] = []
    parts: list[str] = []
    for number, (token, step) in enumerate(zip(variant.tokens, variant.steps, strict=True)):
        figures = _token_figures(number, token, step)
        if number == fork:
            parts.append(_fork(variant, fork, figures, step.text))
        elif step.text:
            is_shared = fork is not None and number < fork
            made = element("span", text_content(step.text), title=figures)
            (shared if is_shared else parts).append(made)
    if fork is not None and fork >= len(variant.steps):
        parts.append(_fork(variant, fork, "the reference goes on", ""))
    before = element("span", "".join(shared), class_="shared") if shared else ""
    tail = variant.text[len("".join(step.text for step in variant.steps)) :]
    return before + "".join(parts) + text_content(tail)


def _fork(variant: VariantDocument, fork: int, figures: str, text: str) -> str:
    """The first divergent token, on one line; a line feed at its end follows it."""
    shown = escaped(terminal.fork_text(variant, fork))
    return element("mark", shown, title=figures) + ("\n" if text.endswith("\n") else "")


def _token_figures(number: int, token: int, step: TokenStep) -> str:
    figures = [f"token {number}", f"id {token}"]
    if step.logprob is not None:
        figures.append(f"probability {percent(math.exp(min(0.0, step.logprob)))}")
    if step.margin is not None:
        figures.append(f"margin {step.margin:.4g} logits")
    if step.kl is not None:
        figures.append(f"KL {step.kl:.3g} nats")
    return " · ".join(figures)


def _curves(document: ComparisonDocument) -> str:
    """KL at each step up to the fork; of a long stream the largest of neighbouring steps."""
    curves = []
    for number, variant in enumerate(document.variants):
        peaks = Peaks()
        is_compared = variant is not document.reference_variant
        for step in variant.steps[: variant.compared_steps if is_compared else 0]:
            peaks.add(step.kl or 0.0)
        points = [(i * peaks.size, kl) for i, kl in enumerate(peaks.values)]
        curves.append(Curve(variant.name, number, points))
    floor = document.noise_floor.mean_kl if document.noise_floor else None
    drawn = chart(curves, axis="step", floor=floor)
    note = (
        "KL in nats against the reference, up to and including the first divergent token: until "
        "there both have read the same text. A KL of 0 is at the bottom."
    )
    return drawn and drawn + words("p", note, class_="quiet")


def _figures(document: ComparisonDocument) -> list[str]:
    rows = [terminal.stream_cells(document, variant) for variant in document.variants]
    sentences = (*noise_sentences(document), *repetition_sentences(document))
    return [table(rows, left=("formula", "ended")), *(words("p", each) for each in sentences)]


def _forks(document: ComparisonDocument) -> list[str]:
    parts = []
    for variant in document.variants:
        if variant.fork is not None:
            parts += [words("h3", variant.name)]
            parts += fork_parts(variant.fork, document.reference, variant.name)
            if said := what_if_sentence(document, variant):
                parts += [words("p", said), *_tried_text(variant.fork)]
    return parts


def fork_parts(fork: p.Fork, reference: str, variant: str) -> list[str]:
    """A fork in two paragraphs, and the candidates of both sides."""
    names, tops = (reference, variant), (fork.reference_top, fork.variant_top)
    sides = (_candidates(*side) for side in zip(names, tops, strict=True))
    return [
        words("p", explain_fork(fork, *names)),
        words("p", explain_verdict(fork, *names)),
        element("div", "".join(sides), class_="sides"),
    ]


def _tried_text(fork: p.Fork) -> list[str]:
    """The text that followed the reference's token."""
    text = fork.what_if.text if fork.what_if is not None else ""
    return [element("div", text_content(text), class_="given", dir="auto")] if text else []


def _candidates(name: str, top: Sequence[p.Candidate]) -> str:
    """The tokens that a side could have taken, each with a bar."""
    if not top:
        return ""
    rows = []
    for candidate in top:
        share = f"{min(1.0, candidate.probability) * 100:.1f}%"
        bar = f"background-size: {share} 100%"
        rows.append(
            words("td", visible_token(candidate.text, candidate.id), class_="left share", style=bar)
            + element("td", escaped(percent(candidate.probability)))
        )
    head = element("tr", words("th", name, class_="left") + element("th", "probability"))
    lines = "".join(element("tr", row) for row in rows)
    return element("table", element("thead", head) + element("tbody", lines))


def _settings(document: ComparisonDocument) -> list[dict[str, str]]:
    return [{"setting": name, "value": value} for name, value in setting_values(document).items()]
