"""The scale of mean KL: order, places, widths, and the sentence beside it."""

from __future__ import annotations

import io
import itertools
import math
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.reports.html.scale import scale
from gelu_tui.core.reports.html.score import score_page
from gelu_tui.core.reports.scale import SIGNS, Mark, Scale, in_order, marks_of, sentences
from gelu_tui.core.reports.score import score_report
from gelu_tui.core.scoring.document import ScoredYardstick
from tests.core.reports.test_score import clustered
from tests.core.scoring.test_statistics import document

NATS = st.floats(1e-14, 30) | st.just(0.0)
MARKS = st.lists(
    st.builds(
        Mark,
        st.text(min_size=1, max_size=60) | st.sampled_from(["q8", "again", "silu@0-5,12"]),
        st.sampled_from(["function", "floor", "yardstick"]),
        NATS,
    ),
    min_size=1,
    max_size=16,
)


def lines(marks: list[Mark], width: int) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(Scale(marks))
    return file.getvalue().splitlines()


@given(MARKS, st.integers(30, 250))
def test_any_marks_at_any_width(marks: list[Mark], width: int) -> None:
    marks = in_order(marks)
    head, *rows = lines(marks, width)
    assert head.split()[:3] == ["mean", "KL", "nats"] and "|1e" in head
    rows = rows[: len(marks)]
    ends = [cell_len(row) for row in rows]
    assert max(len(head), *ends) <= min(width, 120)
    assert ends == sorted(ends), "larger values end further right"
    for row, mark in zip(rows, marks, strict=True):
        assert row.endswith(SIGNS[mark.kind]) and mark.shown in row
    if all(mark.name.isascii() and mark.name.isprintable() for mark in marks):
        assert "".join([head, *rows]).replace("…", "").isascii()


@given(MARKS)
def test_any_marks_as_svg(marks: list[Mark]) -> None:
    page = "".join(scale(in_order(marks)))
    assert page.count("<rect") == sum(mark.kind == "yardstick" for mark in marks)
    assert page.count("<circle") == sum(mark.kind == "function" for mark in marks)
    assert "nan" not in re.sub(r"<title>.*?</title>|<text.*?</text>|<p.*?</p>", "", page)


def test_places_are_logarithmic() -> None:
    marks = [Mark(f"m{e}", "function", 10.0**e) for e in range(-8, 1)]
    head, *rows = lines(marks, 100)
    ends = [len(row) for row in rows[:9]]
    steps = {b - a for a, b in itertools.pairwise(ends)}
    assert max(steps) - min(steps) <= 1
    for row, exponent in zip(rows, range(-8, 1), strict=False):
        if (at := head.find(f"|1e{exponent}")) >= 0:
            assert len(row) - 1 == at, "below its tick"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1e-3 / 1300, "gelu: 1/1,300 of what 8-bit weights do"),
        (4.1e-4, "gelu: 0.41 times what 8-bit weights do"),
        (5.3e-3, "gelu: 5.3 times what 8-bit weights do"),
        (0.0, "gelu: nothing of what 8-bit weights do"),
    ],
)
def test_the_sentence(value: float, words: str) -> None:
    marks = [Mark("gelu", "function", value), Mark("q8", "yardstick", 1e-3)]
    assert sentences(marks) == [f"Mean KL beside a yardstick: {words}."]
    more = [*marks, Mark("q4", "yardstick", 0.1), Mark("silu", "function", 2e-3)]
    assert sentences(more) == [f"Mean KL beside a yardstick: {words}; silu: 2 times that."]


def test_what_functions_are_held_against() -> None:
    function, zero = Mark("gelu", "function", 1e-4), Mark("q8", "yardstick", 0.0)
    assert sentences([function, zero, Mark("again", "yardstick", 1e-11)]) == []
    (sentence,) = sentences([function, zero, Mark("bf16", "yardstick", 1e-3)])
    assert sentence.endswith("gelu: 1/10 of what bfloat16 does.")
    assert sentences([zero, Mark("control", "floor", 1.0)]) == []


def test_in_the_reports_of_a_scoring() -> None:
    plain = document(clustered(9))
    assert marks_of(plain) == []
    error = ErrorInfo("yardstick", "q4 cannot be measured: the weights are 4-bit.", "Leave it.")
    found = msgspec.structs.replace(
        plain,
        yardsticks=[
            ScoredYardstick("q8", "weights rounded", 0.02, 0.01, 0.02, 13.3, 87.5, 1.0),
            ScoredYardstick("q4", "", error=error),
        ],
    )
    file = io.StringIO()
    Console(file=file, width=80).print(score_report(found))
    text = file.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    for part in (
        "q8 2.00e−02 ± 2e−02 13 87.50 ± 1.00",
        "q4 – – –",
        "q8: 8-bit weights 2.0e-02",
        "silu: 7.2 times what 8-bit weights do.",
        "q8, under gelu_approx: weights rounded.",
        "q4 cannot be measured: the weights are 4-bit. Leave it.",
    ):
        assert part in words, part
    page = score_page(found)
    assert "Beside what people know" in page and "Beside what" not in score_page(plain)
    assert "silu: 7.2 times what 8-bit weights do." in page


def test_the_order_of_a_scoring() -> None:
    found = msgspec.structs.replace(
        document(clustered(9)),
        yardsticks=[ScoredYardstick("q8", "", 1e-9), ScoredYardstick("q4", "", 1e9)],
    )
    marks = marks_of(found)
    assert [(mark.name, mark.kind) for mark in marks] == [
        ("q8", "yardstick"), ("control", "floor"), ("silu", "function"), ("q4", "yardstick"),
    ]  # fmt: skip
    assert math.isclose(marks[1].value, found.variants[2].kl.mean)  # type: ignore[union-attr]


def test_a_yardstick_has_every_position_or_the_engine_is_wrong() -> None:
    started = msgspec.structs.replace(
        clustered(1).started, yardsticks=(p.YardstickInfo("q8", "weights"),)
    )
    from gelu_tui.core.scoring.statistics import Scoring

    scoring = Scoring(started)
    silu = p.ScoredRow(0, (-1.0,), (0.1,), (True,))
    control = p.ScoredRow(2, (-1.0,), (0.0,), (True,))
    q8 = p.ScoredRow(3, (-1.0,), (0.25,), (False,))
    with pytest.raises(p.ProtocolError):
        scoring.apply(p.ScoreChunk((-1.0,), (0.5,), (silu, control)))
    scoring.apply(p.ScoreChunk((-1.0,), (0.5,), (silu, control, q8)))
    scoring.apply(p.ScoreFailed(3, ErrorInfo("memory", "No room.", "")))
    scoring.apply(p.ScoreChunk((-1.0,), (0.5,), (silu, control)))
    (found,) = document(scoring).yardsticks
    assert found.error is not None and found.mean_kl is None
