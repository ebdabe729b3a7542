"""The text of a scoring in colour, token by token, without a script.

Two rows of buttons choose the function and what is coloured: each token has the classes of all, and
the style sheet uses those of the buttons that are on. Every level has a shape besides its colour,
for paper and for eyes that tell few colours.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

from gelu_tui.core.comparison.fork_sentences import percent, visible_token
from gelu_tui.core.reports.html.page import element, escaped, table, text_content, words
from gelu_tui.core.reports.numbers import number
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.scoring.document import ScoreDocument
from gelu_tui.core.scoring.measures import (
    BOUNDS,
    RELATIVE,
    TOP_LEVEL,
    Measure,
    legend,
    level,
    measured,
    own_bounds,
)
from gelu_tui.core.scoring.tokens import ScoredTokens

# What can be coloured, by the letter of its classes: a measure, and whether on its own scale.
_COLOURINGS: dict[str, tuple[Measure, bool]] = {
    "r": ("kl", True), "k": ("kl", False), "d": ("delta_p", False), "t": ("top", False),
}  # fmt: skip
_NAMES = {
    "r": "KL, beside this function's other tokens", "k": "KL, on one scale for all functions",
    "d": "Δp of the text's token", "t": "other top-1 token",
}  # fmt: skip
_WORST = 5  # of each function
_AROUND = 6  # tokens before a worst one that are shown with it


def scored_text(document: ScoreDocument) -> list[str]:
    """The parts of a page: buttons, legend, text, worst tokens; none without tokens."""
    text, compared = document.text, _compared(document)
    if text is None or not text.ids or not compared:
        return []
    name = hashlib.sha256(f"{document.created}{text.ids[:1000]}".encode()).hexdigest()[:8]
    first = max(compared, key=lambda index: _mean_kl(document, index))
    functions = (
        _button(f"{name}f", f"v{index}", document.variants[index].name, index == first)
        for index in compared
    )
    measures = (
        _button(f"{name}m", f"by-{letter}", says, letter == "r") for letter, says in _NAMES.items()
    )
    note = (
        "Each token as its own function predicts it; hold the pointer over one for its numbers. "
        "Δp: red is less probable than under the reference, green more."
    )
    scored = element(
        "div",
        f"<style>{_rules(compared)}</style>"
        + element("div", "".join(functions), class_="buttons")
        + element("div", "".join(measures), class_="buttons")
        + "".join(map(_legend, _COLOURINGS))
        + element("div", "".join(_tokens(document, text, compared)), class_="given", dir="auto"),
        class_="scored",
    )
    worst = table(list(_worst(document, text, compared)), left=("text",))
    return [words("p", note, class_="quiet"), scored, words("h3", "Where it differs most"), worst]


def _compared(document: ScoreDocument) -> list[int]:
    return [i for i, v in enumerate(document.variants) if v.name != document.reference]


def _mean_kl(document: ScoreDocument, index: int) -> float:
    variant = document.variants[index]
    return -1.0 if variant.kl is None or variant.control else variant.kl.mean


def _button(group: str, class_: str, name: str, is_on: bool) -> str:
    checked = ' checked=""' if is_on else ""
    button = f'<input type="radio" name="{group}" class="{class_}"{checked}>'
    return element("label", button + element("span", escaped(visible_line(name))))


def _rules(compared: list[int]) -> str:
    """Which classes of the tokens count, by the buttons that are on."""
    made = []
    for number_ in range(1, TOP_LEVEL + 1):
        for sign, style in (("", "l"), ("m", "l"), ("p", "g")):
            selectors = [
                f".gelu-tui .scored:has(.v{index}:checked):has(.by-{letter}:checked) "
                f".{letter}{index}{sign}{number_}"
                for index in compared
                for letter, (measure, _) in _COLOURINGS.items()
                if (measure == "delta_p") == bool(sign)
            ]
            shape = f"background: var(--{style}{number_}); {_SHAPES[style][number_ - 1]}"
            made.append(f"{', '.join(selectors)} {{ {shape} }}")
    legends = (
        f".gelu-tui .scored:has(.by-{letter}:checked) .legend-{letter} {{ display: block; }}"
        for letter in _COLOURINGS
    )
    return "\n".join((*made, *legends))


_SHAPES = {
    "l": (
        "",
        "text-decoration: underline dotted;",
        "font-weight: bold;",
        "font-weight: bold; text-decoration: underline; color: var(--l-text);",
    ),
    "g": (
        "font-style: italic;",
        "font-style: italic; text-decoration: underline dotted;",
        "font-style: italic; font-weight: bold;",
        "font-style: italic; font-weight: bold; text-decoration: underline; color: var(--l-text);",
    ),
}


def _legend(letter: str) -> str:
    measure, is_own = _COLOURINGS[letter]
    meanings = list(enumerate(RELATIVE if is_own else legend(measure, BOUNDS[measure])))
    if measure == "top":
        meanings = [(0, meanings[0][1]), (TOP_LEVEL, meanings[1][1])]
    parts = [
        element("span", escaped(meaning), class_="sample", **_styled(number_))
        for number_, meaning in meanings
    ]
    return element("p", " ".join(parts), class_=f"scale legend-{letter}")


def _styled(number_: int) -> dict[str, str]:
    if not number_:
        return {}
    return {"style": f"background: var(--l{number_}); {_SHAPES['l'][number_ - 1]}"}


def _tokens(document: ScoreDocument, text: ScoredTokens, compared: list[int]) -> Iterator[str]:
    names = [visible_line(variant.name) for variant in document.variants]
    reference = names.index(visible_line(document.reference))
    own_scale = {index: own_bounds(text.variants[index].kl) for index in compared}
    for place, (token, piece) in enumerate(zip(text.ids, text.texts, strict=True)):
        if not piece:
            continue
        own = text.figures(place, reference, reference).logprob
        said = [f"token {place} · id {token}"]
        if own is not None:
            said[0] += f" · p {percent(math.exp(min(0.0, own)))} ({names[reference]})"
        classes = []
        for index in compared:
            figures = text.figures(place, index, reference)
            if figures.kl is None:
                continue
            parts = [f"KL {figures.kl:.2e}", f"Δp {number('{:+.2f}', figures.delta_p)} pp"]
            parts += [] if figures.same_top_1 else ["other top-1"]
            said.append(f"{names[index]}: {' · '.join(parts)}")
            for letter, (measure, is_own) in _COLOURINGS.items():
                bounds = own_scale[index] if is_own else BOUNDS[measure]
                if found := level(measured(figures, measure), bounds):
                    sign = ("m" if found < 0 else "p") if measure == "delta_p" else ""
                    classes.append(f"{letter}{index}{sign}{abs(found)}")
        hover = {"title": "\n".join(said)}
        chosen = {"class_": " ".join(classes)} if classes else {}
        yield element("span", text_content(piece), **hover, **chosen)


def _worst(
    document: ScoreDocument, text: ScoredTokens, compared: list[int]
) -> Iterator[dict[str, str]]:
    reference = next(i for i, v in enumerate(document.variants) if v.name == document.reference)
    for index in compared:
        kls = [(kl, at) for at, kl in enumerate(text.variants[index].kl) if kl is not None]
        for kl, at in sorted(kls, key=lambda each: -each[0])[:_WORST]:
            before = "".join(text.texts[max(0, at - _AROUND) : at])
            figures = text.figures(at, index, reference)
            yield {
                "function": document.variants[index].name,
                "text": f"{before}►{visible_token(text.texts[at], text.ids[at])}◄",
                "token": f"{at:,}",
                "KL": f"{kl:.2e}",
                "Δp": number("{:+.2f}", figures.delta_p),
                "top-1": "same" if figures.same_top_1 else "other",
            }
