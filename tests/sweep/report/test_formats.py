"""The formats of a sweep's files: JSON, Markdown, and rows as CSV and Parquet."""

from __future__ import annotations

import csv
import io
import re
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gelu_tui.api.results import report_text
from gelu_tui.core.errors import GeluError
from gelu_tui.core.reports.export import export, format_of
from gelu_tui.core.reports.tokens_csv import tokens_csv
from gelu_tui.sweep.document import SweepDocument
from gelu_tui.sweep.outcomes import StreamOutcome
from gelu_tui.sweep.report import formats
from gelu_tui.sweep.report.figures import share_with_interval
from gelu_tui.sweep.report.formats import SWEEP_FORMATS, SWEEP_TOKEN_FORMATS
from gelu_tui.sweep.report.markdown import sweep_markdown
from gelu_tui.sweep.report.rows import PROMPT_COLUMNS, SweepData
from gelu_tui.sweep.report.text import sweep_report
from tests.support.command import UNSAFE
from tests.support.pages import HOSTILE
from tests.support.sweep_outcomes import FUNCTIONS, all_outcomes
from tests.support.sweeps import Rows, a_run, hostile_sweep, sweep_document


def data(prompts: int = 6, models: tuple[str, ...] = ("demo",)) -> SweepData:
    outcomes = all_outcomes(prompts, models=len(models), answers=True, full_kl=True)
    return SweepData(
        sweep_document(outcomes=outcomes, models=models, total=prompts), Rows(outcomes)
    )


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


# --- documents ------------------------------------------------------------------------------------


def test_json_is_the_document() -> None:
    found = data()
    text = SWEEP_FORMATS["json"].text(found)
    assert msgspec.json.decode(text, type=SweepDocument) == found.document


def test_markdown_has_the_same_tables() -> None:
    text = sweep_markdown(sweep_document(answers=True))
    assert text.startswith("# mixed: 5 activation functions, 40 prompts\n")
    assert "| function | diverged | formula | rounding | tie |\n| --- | ---: |" in text
    for title in ("How soon", "By how much", "Right answers", "Prompts that diverge first"):
        assert f"### {title}\n" in text
    assert "▁" not in text and "Intervals are 95 %" in text


def test_what_came_of_the_forks_is_in_every_format() -> None:
    outcomes = all_outcomes(40, what_if=True)
    found = SweepData(sweep_document(outcomes=outcomes, total=40), Rows(outcomes))
    fast = found.document.results[1]
    assert fast.variant == "gelu_fast_approx" and fast.what_if is not None
    share, tried = fast.what_if.parts_again, fast.what_if.tried
    cells = f"| gelu_fast_approx | {tried} | {share_with_interval(share, tried)} |"
    markdown = sweep_markdown(found.document)
    assert "### What if\n" in markdown and cells in markdown.replace("\\", "")
    assert ">What if</h3>" in SWEEP_FORMATS["html"].text(found)
    printed = report_text(sweep_report(found.document))
    assert "What if" in printed and share_with_interval(share, tried) in printed
    rows = [
        row for row in table(SWEEP_FORMATS["csv"].text(found)) if row["variant"] == fast.variant
    ]
    assert sum(row["parts_again"] == "1" for row in rows) == share.count
    assert sum(row["parts_again"] != "" for row in rows) == tried
    assert all((row["parts_again"] == "") == (row["agreed_again"] == "") for row in rows)
    assert "What if" not in sweep_markdown(sweep_document())


@given(st.sampled_from(HOSTILE) | st.text(max_size=40))
@settings(max_examples=40, deadline=None)
def test_no_text_acts_in_markdown(text: str) -> None:
    made = sweep_markdown(hostile_sweep(text))
    plain = sweep_markdown(hostile_sweep(""))
    assert not UNSAFE.search(made)
    made.encode("utf-8")

    def cells(line: str) -> int:
        return len(re.findall(r"(?<!\\)(?:\\\\)*\|", line))

    of = [[cells(line) for line in each.splitlines() if line.startswith("| ")] for each in
          (made, plain)]  # fmt: skip
    assert of[0] == of[1]
    assert not re.search(r"(?<!\\)[<`\[]", made)


def test_a_page_has_the_forks_of_runs() -> None:
    found = data()
    assert "Forks of the prompts that diverge first" in SWEEP_FORMATS["html"].text(found)
    alone = SweepData(found.document)
    assert "Forks of the prompts" not in SWEEP_FORMATS["html"].text(alone)


def test_runs_are_found_by_their_ids() -> None:
    found = data(models=("a", "b"))
    assert isinstance(found.rows, Rows)
    found.run("mixed-1a2b3c4d/4")
    found.run("mixed-1a2b3c4d/1/5")
    assert found.rows.loaded == [(0, 4), (1, 5)]
    for other in ("other/4", "mixed-1a2b3c4d/x", "mixed-1a2b3c4d/1/2/3", ""):
        with pytest.raises(GeluError, match="There is no run"):
            found.run(other)


# --- rows -----------------------------------------------------------------------------------------


def test_a_row_for_each_prompt_model_and_function() -> None:
    found = data(prompts=6, models=("a", "b"))
    rows = table(SWEEP_FORMATS["csv"].text(found))
    assert list(rows[0]) == list(PROMPT_COLUMNS)
    assert isinstance(found.rows, Rows)
    places = [(r["model"], r["number"], r["variant"]) for r in rows]
    assert places == [(m, str(n), f) for m in "ab" for n in range(6) for f in FUNCTIONS]
    streams = [stream for outcome in found.rows.finished for stream in outcome.streams]
    for row, stream in zip(rows, streams, strict=True):
        fdt = stream.first_divergent_token
        assert row["fdt"] == ("" if fdt is None else str(fdt))
        assert row["outcome"] == stream.outcome and row["correct"] == str(int(bool(stream.correct)))
        mean = stream.kl / stream.kl_steps if stream.kl_steps else None
        assert row["mean_kl"] == ("" if mean is None else str(mean))
        assert row["wwb_sdt_norm"] == str(stream.wwb[3])
    roles = ["reference", "", "", "", "control"]
    assert [row["role"] for row in rows[:5]] == roles


def test_the_row_of_a_yardstick_has_nothing_of_streams_that_were_not_decoded() -> None:
    q4 = StreamOutcome(6, "length", "unverified", 2, 2, False, kl=0.5, kl_steps=2)
    outcomes = [replace(each, yardsticks=(q4,)) for each in all_outcomes(2)]
    document = sweep_document(outcomes=outcomes, total=2)
    chosen = replace(document, settings=replace(document.settings, yardsticks=("q4",)))
    rows = table(SWEEP_FORMATS["csv"].text(SweepData(chosen, Rows(outcomes))))
    found = [row for row in rows if row["role"] == "yardstick"]
    assert [(row["variant"], row["fdt"], row["mean_kl"]) for row in found] == [
        ("q4", "2", "0.25")
    ] * 2
    names = [name for name in rows[0] if name.startswith("wwb_")]
    assert len(names) == 4 and not any(row[name] for row in found for name in names)


def test_a_row_for_each_token() -> None:
    found = data(prompts=3)
    rows = table(SWEEP_TOKEN_FORMATS["csv"].text(found))
    expected = [row for n in range(3) for row in table(tokens_csv(a_run(n)))]
    own = [{name: row[name] for name in expected[0]} for row in rows]
    assert own == expected
    assert {row["number"] for row in rows} == {"0", "1", "2"}


def test_rows_are_read_while_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_AT_ONCE", 10)
    found = data(prompts=50)
    assert isinstance(found.rows, Rows)
    parts = iter(SWEEP_TOKEN_FORMATS["csv"].parts(found))
    next(parts)
    assert len(found.rows.loaded) == 1
    next(parts)
    assert len(found.rows.loaded) == 1  # 25 tokens a run
    assert b"".join(parts).count(b"\n") == 50 * 25 + 1 - 20
    assert len(found.rows.loaded) == 50


def test_no_finished_prompt_is_a_header() -> None:
    for these in (SWEEP_FORMATS, SWEEP_TOKEN_FORMATS):
        assert table(these["csv"].text(data(prompts=0))) == []
        assert these["csv"].text(data(prompts=0)).startswith("number,id,category,model,")


def test_a_document_alone_has_no_rows() -> None:
    with pytest.raises(GeluError, match="holds no rows of its prompts"):
        SWEEP_FORMATS["csv"].text(SweepData(sweep_document()))


@given(st.sampled_from(HOSTILE) | st.text(max_size=40))
@settings(max_examples=30, deadline=None)
def test_hostile_rows_keep_their_cells(text: str) -> None:
    outcomes = [msgspec.structs.replace(o, id=text, category=text) for o in all_outcomes(2)]
    written = SWEEP_FORMATS["csv"].text(SweepData(hostile_sweep(text), Rows(outcomes)))
    assert not UNSAFE.search(written)
    rows = table(written)
    assert len(rows) == 10 and all(
        None not in row and len(row) == len(PROMPT_COLUMNS) for row in rows
    )


def test_a_file_is_written_by_its_suffix(tmp_path: Path) -> None:
    found = data()
    export(found, tmp_path / "rows.csv", SWEEP_FORMATS)
    assert (tmp_path / "rows.csv").read_text() == SWEEP_FORMATS["csv"].text(found)
    assert format_of("x.parquet", SWEEP_FORMATS) == "parquet"
    with pytest.raises(GeluError, match="holds no rows"):
        export(SweepData(found.document), tmp_path / "none.csv", SWEEP_FORMATS)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


# --- Parquet --------------------------------------------------------------------------------------


def test_without_pyarrow_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (SWEEP_FORMATS["parquet"].check,
                 lambda: export(data(), tmp_path / "x.parquet", SWEEP_FORMATS)):  # fmt: skip
        with pytest.raises(GeluError, match="written with pyarrow, which is not installed") as e:
            call()
        assert "pip install 'gelu-tui[parquet]'" in e.value.info.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("prompts", [0, 5])
def test_parquet_has_the_rows_of_csv(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, prompts: int
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(formats, "_AT_ONCE", 8)  # several groups of rows
    for these in (SWEEP_FORMATS, SWEEP_TOKEN_FORMATS):
        found = data(prompts=prompts)
        export(found, tmp_path / "x.parquet", these, overwrite=True)
        read = parquet.read_table(tmp_path / "x.parquet").to_pylist()
        expected = table(these["csv"].text(found))

        def cell(value: object) -> str:
            return "" if value is None else str(int(value) if isinstance(value, bool) else value)

        assert [{k: cell(v) for k, v in row.items()} for row in read] == expected
