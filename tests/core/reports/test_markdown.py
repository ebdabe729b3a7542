"""The Markdown report: what it says, and that no text leaves its place in it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gelu_tui.core.reports.markdown import escaped, fence, markdown_report
from tests.support.comparisons import run_document

HOSTILE = "```\n# owned\n````\n| a | b |\r\n<script>alert(1)</script>\x1b[31m\u202e@all ![x](y)"


def cells(row: str) -> list[str]:
    """The cells of a table row, split as Markdown does."""
    return [cell.strip() for cell in re.split(r"(?<!\\)(?:\\\\)*\|", row)[1:-1]]


def test_the_report_says_what_happened() -> None:
    report = markdown_report(run_document("Why is the sky blue?"))
    assert "```text\nWhy is the sky blue?\n```" in report
    assert "| model | demo (gemma3\\_text, float32) |" in report
    assert "| gelu\\_approx (native) | f(x) | 5 | 40.0 | reference | – | token limit |" in report
    assert "| gelu | f(x) | 5 | 40.0 | =5 | 0.001 | token limit |" in report
    assert "| silu | f(x) | 5 | 40.0 | 2 | 0.002 | token limit |" in report
    assert (
        "| silu | 2 | “ is” 50.0 % → 25.0 % | “ was” 25.0 % → 50.0 % "
        "| Not checked: "
        "forks are not replayed in float32 yet. |"
    ) in report
    assert "```text\nThe sky► was◄ grey.\n```" in report
    assert report.startswith("# 3 activation functions, one prompt\n\nDone; 2025-11-22T00:12")


def test_how_tokens_were_drawn_is_said_if_they_were() -> None:
    document = run_document()
    assert "drawn" not in markdown_report(document)
    settings = replace(document.settings, temperature=0.7, seed=42, top_p=0.9)
    report = markdown_report(replace(document, settings=settings))
    assert "| tokens drawn with | temperature 0.7, seed 42, top-p 0.9 |" in report


def test_a_stopped_run_without_forks() -> None:
    report = markdown_report(run_document(status="cancelled", texts={"relu": ["a"]}))
    assert "# 1 activation function, one prompt" in report
    assert "\n\nStopped; " in report
    assert "## Forks" not in report


@pytest.mark.parametrize("text", ["", "`", "```", "a\n````\nb", "~~~", "\n", "``` text\n`````"])
def test_a_fence_holds_its_text(text: str) -> None:
    assert block(fence(text)) == text


def block(markdown: str) -> str:
    """The content of a fenced block, which must be all there is, by CommonMark's rule."""
    first, *lines = markdown.split("\n")
    opening = re.fullmatch(r"(`{3,})text", first)
    assert opening
    ends = [
        index
        for index, line in enumerate(lines)
        if re.fullmatch(rf" {{0,3}}`{{{len(opening[1])},}}[ \t]*", line)
    ]
    assert ends == [len(lines) - 1]
    return "\n".join(lines[:-1])


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("`~\n| \\<>#*_-\r\x0b\u2028ab"), max_size=30))
def test_nothing_ends_a_fence_or_a_cell(text: str) -> None:
    block(fence(text))
    row = f"| {escaped(text)} | end |"
    assert "\n" not in row and "\r" not in row
    assert len(cells(row)) == 2
    assert not re.search(r"(?<!\\)(\\\\)*[<`]", row)


def test_hostile_text_stays_in_its_place() -> None:
    document = run_document(
        HOSTILE,
        texts={"gelu": ["a", "b"], "mine": ["a", HOSTILE, "|"]},
        formulas={"mine": "x|y\n| <b>"},
    )
    report = markdown_report(document)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028]", report)
    inside, ticks, outside = False, "", []
    for line in report.split("\n"):
        mark = re.match(r"(`{3,})(text)?$", line)
        if mark and not inside and mark[2]:
            inside, ticks = True, mark[1]
        elif mark and inside and len(mark[1]) >= len(ticks):
            inside = False
        elif not inside:
            outside.append(line)
    assert not inside
    headings = [line for line in outside if line.startswith("#")]
    assert len(headings) == 8, headings
    assert not any("<" in line.replace("\\<", "") for line in outside)
    widths = {len(cells(line)) for line in outside if line.startswith("|")}
    assert widths == {2, 7, 5}
