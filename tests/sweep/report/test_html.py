"""The page of a sweep: what it says and draws, and that no text leaves its place."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.variants import CONTROL
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.sweep.document import SweepDocument
from gelu_tui.sweep.report.charts import incidence_chart, kl_chart, spread
from gelu_tui.sweep.report.html import sweep_page
from tests.core.reports.test_html import ATTRIBUTES
from tests.support.command import UNSAFE
from tests.support.pages import HOSTILE, Parsed, measured, needs_browser
from tests.support.sweep_outcomes import FUNCTIONS
from tests.support.sweeps import a_run, hostile_sweep, sweep_document

OURS = ATTRIBUTES | {"cx", "cy", "r"}
TAGS = {
    "html", "head", "meta", "title", "style", "body", "div", "section", "article", "h1", "h2", "h3",
    "p", "span", "mark", "table", "thead", "tbody", "tr", "th", "td", "svg", "line", "text",
    "polyline", "polygon", "circle",
}  # fmt: skip
FAST = "gelu_fast_approx"


def run(name: str) -> ComparisonDocument:
    return a_run(int(name.split("/")[-1]))


def points(drawn: str, kind: str = "polyline") -> list[list[tuple[float, float]]]:
    found = re.findall(rf'<{kind} [^>]*points="([^"]*)"', drawn)
    return [[(float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())]
            for line in found]  # fmt: skip


def colours(document: SweepDocument) -> dict[str, int]:
    return {function.name: i for i, function in enumerate(document.functions)}


# --- what is said ---------------------------------------------------------------------------------


def test_summary_tables_curves_and_settings() -> None:
    document = sweep_document(answers=True)
    page = sweep_page(document)
    text = " ".join(Parsed.of(page).texts)
    for said in ("mixed: 5 activation functions, 40 prompts", "How soon",
                 "Right answers", "Diverged, by category", "A band is the pointwise 95 %",
                 "the control's floor", "mixed-1a2b3c4d/"):  # fmt: skip
        assert said in text, said
    for sentence in document.summary:
        coded = re.sub("`(.*?)`", r"<code>\1</code>", sentence)
        assert f">{coded}</p>" in page, sentence
    assert len(points(page)) == len(points(page, "polygon")) == 4
    assert page.count("<circle ") == 4
    assert "▁" not in page  # the curve of block characters


def test_forks_of_runs_that_there_are() -> None:
    document = sweep_document()
    assert "Forks of the prompts" not in sweep_page(document)
    page = sweep_page(document, run)
    (result,) = [r for r in document.results if r.variant == FAST]
    for worst in result.worst[:3]:
        assert f"{FAST}, {worst.id}: {worst.verdict} at token 2" in page
    assert page.count("<mark") == 2 * 3 and "At token 2 gelu_approx took" in page


def test_a_run_that_is_lost_is_left_out() -> None:
    def lost(name: str) -> ComparisonDocument:
        raise GeluError("damaged", "It is damaged.", "")

    assert "Forks of the prompts" not in sweep_page(sweep_document(), lost)


@pytest.mark.parametrize(
    "parts",
    [{"prompts": 0, "total": 9}, {"prompts": 1}, {"functions": ("gelu",)},
     {"functions": ("gelu", "relu")}, {"hazards": dict.fromkeys(FUNCTIONS, (0.0, 0.0))},
     {"categories": ()}, {"max_tokens": 1}, {"models": ("a", "b")}],
    ids=str,
)  # fmt: skip
def test_a_page_is_well_formed_and_loads_nothing(parts: dict[str, Any]) -> None:
    page = sweep_page(sweep_document(**parts), run)
    parsed = Parsed.of(page)
    assert {"script", "link", "img", "iframe", "a", "object"}.isdisjoint(parsed.tags)
    assert {name for name, _ in parsed.attributes} <= OURS
    assert "url(" not in page and "@import" not in page and "//" not in page
    policy = ("content", "default-src 'none'; style-src 'unsafe-inline'")
    assert policy in parsed.attributes


@given(st.sampled_from(HOSTILE) | st.text(min_size=1, max_size=40))
@settings(max_examples=20, deadline=None)
def test_no_text_makes_or_ends_an_element(text: str) -> None:
    def hostile_run(name: str) -> ComparisonDocument:
        made = a_run(functions=[f.name for f in hostile_sweep(text).functions])
        return replace(made, prompt=text)

    page = sweep_page(hostile_sweep(text), hostile_run)
    found = Parsed.of(page)
    assert set(found.tags) <= TAGS
    assert {name for name, _ in found.attributes} <= OURS
    assert not UNSAFE.search(page)
    page.encode("utf-8")


# --- charts ---------------------------------------------------------------------------------------


def test_a_curve_is_a_staircase_within_its_band() -> None:
    document = sweep_document(functions=("gelu", FAST, CONTROL))
    drawn = incidence_chart(document.results, colours(document), 256)
    curve, band = points(drawn)[0], points(drawn, "polygon")[0]
    assert [x for x, _ in curve] == sorted(x for x, _ in curve)
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(curve))
    upper, lower = band[: len(curve)], band[len(curve) :][::-1]
    for (x, y), (a, high), (b, low) in zip(curve, upper, lower, strict=True):
        assert x == a == b and high <= y <= low


@given(st.lists(st.floats(14, 280), max_size=9))
@settings(max_examples=60, deadline=None)
def test_names_keep_apart_and_in_order(heights: list[float]) -> None:
    placed = spread(heights, 14, 280)
    assert all(13.9 <= y <= 280.1 for y in placed)
    by_height = [placed[i] for i in sorted(range(len(heights)), key=heights.__getitem__)]
    assert all(b - a >= 14.9 for a, b in pairwise(by_height))


def test_a_kl_of_zero_and_an_error_beyond_the_axis_stay_in_the_chart() -> None:
    document = sweep_document()
    results = []
    for number, result in enumerate(document.results):
        assert result.kl is not None
        kl = replace(result.kl, mean=[0.0, 1e-3, 2e-9, 1.0][number], se=5.0)
        results.append(replace(result, kl=kl))
    drawn = kl_chart(results, colours(document))
    places = [float(x) for x in re.findall(r'(?:cx|x1|x2)="([-\d.]+)"', drawn)]
    assert places and all(170 <= x <= 750 for x in places)
    assert kl_chart([replace(r, kl=None) for r in results], {}) == ""


# --- in a browser ---------------------------------------------------------------------------------

LOOK = """(() => {
  const box = e => e.getBoundingClientRect(), all = e => [...document.querySelectorAll(e)];
  const inside = e => { const a = box(e), b = box(e.ownerSVGElement);
    return a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom; };
  const style = e => getComputedStyle(document.querySelector(e));
  return {
    wide: document.documentElement.scrollWidth > innerWidth,
    back: style('.gelu-tui').backgroundColor, text: style('.gelu-tui').color,
    curves: all('polyline').filter(e => box(e).width > 100).length,
    filled: all('polyline').filter(e => getComputedStyle(e).fill !== 'none').length,
    bands: all('polygon').filter(e => box(e).width > 100).length,
    band: style('polygon').fillOpacity,
    outside: all('svg text').filter(e => !inside(e)).map(e => e.textContent),
    marks: all('mark').length,
  };
})()"""


@needs_browser
def test_a_browser_shows_curves_with_names_in_light_and_dark(tmp_path: Path) -> None:
    page = sweep_page(sweep_document(answers=True), run)
    light = measured(page, LOOK, tmp_path, "--blink-settings=preferredColorScheme=1")
    dark = measured(page, LOOK, tmp_path, "--blink-settings=preferredColorScheme=0")
    for seen in (light, dark):
        assert isinstance(seen, dict)
        assert seen["curves"] == seen["bands"] == 4 and not seen["filled"]
        assert 0 < float(seen["band"]) < 0.5
        assert not seen["wide"] and seen["outside"] == [] and seen["marks"] == 6
    assert light["back"] != dark["back"] and light["text"] != dark["text"]
