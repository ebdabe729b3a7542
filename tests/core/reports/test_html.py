"""The HTML pages: what they say, that no text leaves its place, and what a browser shows."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.reports.html.comparison import comparison_page
from gelu_tui.core.reports.html.curves import Curve, chart
from gelu_tui.core.reports.html.score import score_page
from gelu_tui.core.runs.document import ComparisonDocument, document
from gelu_tui.core.safe_text import visible
from gelu_tui.core.scoring.document import ScoreDocument, ScoreSource
from gelu_tui.core.scoring.statistics import Scoring
from tests.support.command import UNSAFE
from tests.support.comparisons import LOADED, finish, five, run_document
from tests.support.pages import (
    HOSTILE,
    Parsed,
    measured,
    needs_browser,
    shown_by_a_browser,
)

ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "style", "class", "title", "dir", "viewbox",
    "role", "aria-hidden", "points", "stroke-dasharray", "x", "y", "x1", "x2", "y1", "y2",
    "text-anchor", "type", "checked",
}  # fmt: skip


def a_run() -> ComparisonDocument:
    comparison = five()
    finish(comparison)
    return document(comparison, LOADED)


def a_score() -> ScoreDocument:
    variants = tuple(
        p.VariantInfo(name, "f(x)", "float32", control=name == "control")
        for name in ("gelu", "relu", "control")
    )
    scoring = Scoring(p.ScoreStarted(variants, 0, 9, 1, 8, 512))
    chunk = (0.5,) * 4
    rows = (
        p.ScoredRow(1, (-2.0,) * 4, (0.1, 0.2, 0.3, 0.4), (True, True, False, True)),
        p.ScoredRow(2, (-1.0,) * 4, (1e-9, 0.0, 2e-9, 1e-9), (True,) * 4),
    )
    tokens = {"tokens": (5, 6, 7, 8), "texts": (" the", " sky\n", "", "空<b>")}
    scoring.apply(p.ScoreChunk((-1.0,) * 4, chunk, rows, **tokens))
    source = ScoreSource("text", "a.txt")
    return scoring.document(LOADED, source, status="completed", activations=("gelu", "relu"))


def hostile_run(text: str) -> ComparisonDocument:
    """A run whose every text is the given one, where the format of runs allows it."""
    made = run_document(text, texts={"gelu": ["a", text, text], "relu": ["a", text, "b", text]},
                        formulas={"relu": text})  # fmt: skip
    error = ErrorInfo("x", text, text)
    model = replace(made.model, id=text, family=text, sites={text: 1})
    variants = [
        replace(v, error=error, fork=v.fork and replace(v.fork, reason=text)) for v in made.variants
    ]
    return replace(made, model=model, device=text, error=error, variants=variants)


def hostile_score(text: str) -> ScoreDocument:
    made = a_score()
    variants = [replace(v, formula=text, error=ErrorInfo("x", text)) for v in made.variants]
    assert made.text is not None
    tokens = replace(made.text, texts=[text, "x", f"\n{text}", text], activations=[text])
    source = ScoreSource("run", text)
    return replace(made, source=source, device=text, variants=variants, text=tokens)


# --- what is said ---------------------------------------------------------------------------------


def test_streams_forks_and_figures() -> None:
    page = comparison_page(a_run())
    text = " ".join(Parsed.of(page).texts)
    for said in ("5 activation functions, one prompt", "diverges at 10", "the reference",
                 "A close call", "Not checked", "mean KL"):  # fmt: skip
        assert said in text, said
    assert len(re.findall(r"<mark ", page)) == 3  # of three streams; two agree
    assert '<mark title="token 10 · id ' in page
    assert "probability 60.7 % · margin 1.5 logits · KL 0.25 nats" in page


@pytest.mark.parametrize("text", HOSTILE)
def test_a_token_is_in_one_place_and_whole(text: str) -> None:
    """The text of a stream without the marks of its line feeds is what the model wrote."""
    page = comparison_page(run_document(texts={"gelu": ["x", f"\n{text}", "\n\n", "y"]}))
    body = re.search(r'<div dir="auto">(.*?)</div>', page, re.S)
    assert body is not None
    assert "".join(Parsed.of(body[1]).texts).replace("↵", "") == visible(f"x\n{text}\n\ny")


def test_an_earlier_end_is_marked_after_the_last_token() -> None:
    made = run_document(texts={"gelu": ["a", "b"], "relu": ["a"]})
    short = replace(made.variants[1], first_divergent_token=1, finish_reason="stop")
    page = comparison_page(replace(made, variants=[made.variants[0], short]))
    assert '<mark title="the reference goes on">end of text</mark>' in page


def test_a_page_loads_and_runs_nothing() -> None:
    for page in (comparison_page(a_run()), score_page(a_score())):
        parsed = Parsed.of(page)
        assert {"script", "link", "img", "iframe", "a", "object"}.isdisjoint(parsed.tags)
        assert {name for name, _ in parsed.attributes} <= ATTRIBUTES
        assert "url(" not in page and "@import" not in page and "//" not in page
        policy = ("content", "default-src 'none'; style-src 'unsafe-inline'")
        assert policy in parsed.attributes


# --- hostile text ---------------------------------------------------------------------------------


def tags_of(page: Parsed) -> list[str]:
    return [tag for tag in page.tags if tag != "i"]  # the glyphs of line feeds


@functools.cache
def tags_of_plain_text(make: Callable[[str], Any], page_of: Callable[[Any], str]) -> list[str]:
    return tags_of(Parsed.of(page_of(make("x"))))


@given(st.sampled_from(HOSTILE) | st.text(max_size=40))
@settings(max_examples=150, deadline=None)
def test_no_text_makes_or_ends_an_element(text: str) -> None:
    for make, page_of in ((hostile_run, comparison_page), (hostile_score, score_page)):
        page = page_of(make(text))
        found = Parsed.of(page)
        if text.strip():
            assert tags_of(found) == tags_of_plain_text(make, page_of)
        assert {name for name, _ in found.attributes} <= ATTRIBUTES
        assert not UNSAFE.search(page)
        page.encode("utf-8")


# --- curves ---------------------------------------------------------------------------------------


@given(
    st.lists(
        st.lists(st.floats(0, 1e50) | st.just(0.0), max_size=20).map(
            lambda ys: [(float(i), y) for i, y in enumerate(ys)]
        ),
        max_size=8,
    ),
    st.none() | st.floats(0, 1e50),
)
@settings(max_examples=150, deadline=None)
def test_every_curve_lies_in_the_chart(
    curves: list[list[tuple[float, float]]], floor: float | None
) -> None:
    made = [Curve(f"c{i}", i, points) for i, points in enumerate(curves)]
    drawn = chart(made, axis="step", floor=floor)
    lines = re.findall(r'points="([^"]*)"', drawn)
    assert len(lines) == sum(1 for points in curves if points)
    for line, points in zip(lines, filter(None, curves), strict=True):
        places = [tuple(map(float, pair.split(","))) for pair in line.split()]
        assert all(50 <= x <= 960 and 0 <= y <= 260 for x, y in places)
        assert len(places) == max(2, len(points))
    for y in re.findall(r'y[12]="([-\d.]+)"', drawn):
        assert 0 <= float(y) <= 260


def test_a_larger_kl_is_higher() -> None:
    drawn = chart([Curve("a", 0, [(0, 0.0), (1, 1e-9), (2, 1e-3), (3, 2.0)])], axis="step")
    points = re.search(r'points="([^"]*)"', drawn)
    assert points is not None
    heights = [float(pair.split(",")[1]) for pair in points[1].split()]
    assert heights == sorted(heights, reverse=True) and heights[2] - heights[3] > 40


# --- the text of a scoring in colour --------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_the_text_of_a_scoring_is_whole_and_says_its_numbers(text: str) -> None:
    made = a_score()
    assert made.text is not None
    pieces = ["x", f"\n{text}", "", "y"]
    page = score_page(replace(made, text=replace(made.text, texts=pieces)))
    body = re.search(r'<div class="given" dir="auto">(.*?)</div>', page, re.S)
    assert body is not None
    assert "".join(Parsed.of(body[1]).texts).replace("↵", "") == visible("".join(pieces))
    titles = [value for name, value in Parsed.of(body[1]).attributes if name == "title"]
    assert titles[0] is not None and titles[0].splitlines() == [
        "token 0 · id 5 · p 36.8 % (gelu)",
        "relu: KL 1.00e-01 · Δp −23.25 pp",
        "control: KL 1.00e-09 · Δp 0 pp",
    ]
    assert titles[1] is not None and titles[1].count("other top-1") == 0
    assert len(titles) == 3, "a token without text has no place"


COLOURS = """(() => {
  const of = e => [...document.querySelectorAll('.scored .given span')].map(
    s => getComputedStyle(s).backgroundColor);
  const click = e => document.querySelector(e).click();
  const found = {};
  for (const f of ['.v1', '.v2']) for (const m of ['.by-r', '.by-k', '.by-d', '.by-t']) {
    click(f); click(m);
    found[f + m] = of();
    found['legend' + m] = getComputedStyle(
      document.querySelector('.legend-' + m.slice(-1))).display;
  }
  return found;
})()"""


@needs_browser
def test_buttons_choose_what_is_coloured_without_a_script(tmp_path: Path) -> None:
    found = measured(score_page(a_score()), COLOURS, tmp_path)
    assert isinstance(found, dict)
    none = "rgba(0, 0, 0, 0)"
    # relu: KL 0.1, 0.2, 0.4; the token without text, which has another top-1, is not shown
    assert found[".v1.by-k"] == [found[".v1.by-k"][0]] * 3 != [none] * 3, "all from 0.01 to 1"
    assert found[".v1.by-r"][0] == none, "below its own median"
    assert none not in found[".v1.by-r"][2:]
    assert set(found[".v1.by-d"]) == {found[".v1.by-d"][0]} != {none}
    assert found[".v1.by-t"] == [none] * 3
    assert found[".v2.by-k"] == found[".v2.by-d"] == [none] * 3, "the control has no difference"
    assert {found[f"legend.by-{x}"] for x in "rkdt"} == {"block"}


# --- in a browser ---------------------------------------------------------------------------------

LOOK = """(() => {
  const box = e => e.getBoundingClientRect();
  const tops = [...document.querySelectorAll('.stream')].map(e => box(e).top);
  const style = e => getComputedStyle(document.querySelector(e));
  return {
    first_row: tops.filter(top => top === tops[0]).length,
    wide: document.documentElement.scrollWidth > innerWidth,
    back: style('.gelu-tui').backgroundColor, text: style('.gelu-tui').color,
    shared: style('.shared').color, mark: style('mark').backgroundColor,
    curves: [...document.querySelectorAll('polyline')].filter(e => box(e).width > 0).length,
    hover: document.querySelector('mark').title,
  };
})()"""


@needs_browser
def test_a_browser_shows_streams_side_by_side_in_light_and_dark(tmp_path: Path) -> None:
    page = comparison_page(a_run())
    light = measured(page, LOOK, tmp_path, "--blink-settings=preferredColorScheme=1")
    dark = measured(page, LOOK, tmp_path, "--blink-settings=preferredColorScheme=0")
    for seen in (light, dark):
        assert isinstance(seen, dict)
        assert seen["first_row"] >= 3 and not seen["wide"]
        assert seen["shared"] != seen["text"] and seen["mark"] != seen["back"]
        assert seen["curves"] == 4 and seen["hover"].startswith("token 10 · id ")
    assert light["back"] == "rgb(255, 255, 255)" != dark["back"]
    assert light["text"] != dark["text"]


@needs_browser
@pytest.mark.parametrize("kind", ["run", "score"])
def test_hostile_text_does_nothing_in_a_browser(tmp_path: Path, kind: str) -> None:
    text = "\n".join(HOSTILE)
    page = comparison_page(hostile_run(text)) if kind == "run" else score_page(hostile_score(text))
    # Also without the policy, which alone would keep scripts from running.
    for each in (page, re.sub(r"<meta http-equiv=[^>]*>", "", page)):
        shown = shown_by_a_browser(each, tmp_path)
        seen = Parsed.of(shown)
        assert {"script", "img", "iframe", "a", "base"}.isdisjoint(seen.tags)
        assert not {name for name, _ in seen.attributes if name.startswith("on")}
        assert "<title>gelu-tui" in shown
        assert "document.title='owned'" in "".join(seen.texts)
