"""Reports fit any width, and no name, id or number in them is broken."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType

from gelu_tui.core import protocol as p
from gelu_tui.core.models.inventory import LocalModel
from gelu_tui.core.models.memory import Memory
from gelu_tui.core.reports.history_table import HistoryTable, cut_start
from gelu_tui.core.reports.layout import FittedTable, StreamHeading, filled
from gelu_tui.core.reports.models import fetchable_report, local_report
from gelu_tui.core.runs.history import Entry

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,19}", fullmatch=True)
NUMBERS = st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,3})?", fullmatch=True)


def lines(report: RenderableType, width: int) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(report, crop=False)
    return file.getvalue().splitlines()


def has_words(shown: list[str], words: list[str]) -> bool:
    text = " ".join(shown)
    return all(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for word in words)


@given(
    st.lists(st.tuples(NAMES, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=5),
    st.integers(24, 100),
)
def test_a_table_fits_and_breaks_nothing(rows: list[tuple[str, ...]], width: int) -> None:
    headers = ("function", "tokens", "mean KL", "diverges at")
    table = FittedTable([dict(zip(headers, row, strict=True)) for row in rows])
    shown = lines(table, width)
    assert max(map(cell_len, shown)) <= width
    assert has_words(shown, [word for row in rows for word in row])


@given(
    NAMES,
    NAMES,
    st.sampled_from(["the reference", "diverges at 12 · formula"]),
    st.integers(28, 100),
)
def test_a_heading_fits_and_breaks_nothing(
    name: str, formula: str, standing: str, width: int
) -> None:
    shown = lines(StreamHeading(name, formula, standing), width)
    assert max(map(cell_len, shown)) <= width
    assert has_words(shown, [name, formula, standing])


@given(st.lists(NAMES, min_size=1), st.integers(20, 60))
def test_filled_lines_hold_every_part_whole(parts: list[str], width: int) -> None:
    found = filled(parts, width)
    assert [part for line in found for part in line.split(" · ")] == parts
    assert max(map(cell_len, found)) <= width


@given(
    st.integers(1, 10**6),
    st.lists(st.tuples(NAMES, st.none() | st.integers(0, 999)), min_size=1, max_size=8),
    st.integers(60, 75),
)
def test_a_narrow_history_keeps_what_matters(
    number: int, functions: list[tuple[str, int | None]], width: int
) -> None:
    names = [f"{name}{place}" for place, (name, _) in enumerate(functions)]
    ats = [at if place else None for place, (_, at) in enumerate(functions)]
    entry = Entry(
        number, datetime.now(UTC).isoformat(), "demo", "a long prompt " * 20,
        tuple(names), names[0], tuple(ats), "cancelled", 100,
    )  # fmt: skip
    shown = lines(HistoryTable([entry]), width)
    assert max(map(cell_len, shown)) <= width
    assert has_words(shown, [str(number), "stopped", *names])
    for name, at in zip(names[1:], ats[1:], strict=True):
        where = "same" if at is None else f"diverges at {at}"
        assert any(f"{name} {where}" in line for line in shown)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize(
    "name",
    ["mlx-community/gemma-3n-E2B-it-lm-4bit", "/home/someone/models/" + "gemma-" * 12 + "it"],
)
def test_ids_of_models_are_whole(name: str, width: int) -> None:
    model = LocalModel(
        id=name,
        source="folder",
        folder="/x",
        state="ready",
        family="gemma3_text",
        dtype="bfloat16",
        parameters=10**9,
        weight_bytes=10**9,
        disk_bytes=10**9,
    )
    found = p.ModelsFound((model,), 0, Memory(10**11, 10**11, 10**11))
    shown = lines(Group(local_report(found), fetchable_report(found)), width)
    assert any(line.startswith(name) for line in shown)
    assert has_words(shown, ["fits", "gemma3_text", "bfloat16", "google/gemma-7b-it"])


def test_an_id_that_is_cut_keeps_its_end() -> None:
    assert cut_start("questions-032", 13) == "questions-032"
    assert cut_start("questions-032", 8) == "…ons-032"
    assert cut_start("ab", 4) == "ab  "


@given(st.text(st.characters(exclude_categories=("C", "M", "Z")), max_size=12), st.integers(1, 9))
def test_it_takes_exactly_its_cells(text: str, width: int) -> None:
    assert cell_len(cut_start(text, width)) == width
