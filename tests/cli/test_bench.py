"""`gelu-tui bench` on a tiny model: the figures are there and agree with each other."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from rich.cells import cell_len
from rich.console import Console

from gelu_tui.cli.bench_sweep import some_prompts
from gelu_tui.core import protocol as p
from gelu_tui.core.reports.bench import bench_report
from gelu_tui.core.runs.document import BenchDocument, StartUp
from gelu_tui.core.runs.sweep_bench import sweep_bench
from tests.support.command import (
    COMMAND,
    complaint,
    copying_engine,
    finished,
    gelu,
    soon_gone,
    wait_for,
)

ROWS = {
    "mlx-lm": 1,
    "one variant": 1,
    "raw ×2": 2,
    "lockstep ×2": 2,
    "raw ×4": 4,
    "lockstep ×4": 4,
    "raw ×8": 8,
    "lockstep ×8": 8,
}
RATIOS = {
    "one variant ÷ mlx-lm",
    *(f"lockstep ×{n} ÷ {base}" for n in (2, 4, 8) for base in (f"raw ×{n}", "mlx-lm")),
    "peak memory ×8 ÷ (×1 + caches)",
}


@pytest.fixture(scope="module")
def raw(env: dict[str, str], model: str) -> bytes:
    words = ("--no-start-up", "--tokens", "3", "--rounds", "1", "--format", "json")
    done = gelu(env, "bench", "--model", model, *words)
    assert (done.code, done.err) == (0, "")
    return done.raw


@pytest.fixture(scope="module")
def document(raw: bytes) -> dict[str, Any]:
    return json.loads(raw)


def test_what_was_measured(document: dict[str, Any], model: str) -> None:
    assert document["schema"] == "gelu-tui.bench/1"
    assert document["start_up"] is None
    assert document["model"]["id"] == model
    assert any("cores" in line for line in document["machine"])
    report = document["report"]
    assert (report["tokens"], report["rounds"]) == (3, 1)
    assert report["prompt_tokens"] > 1
    assert report["weight_bytes"] > 500_000
    assert [check["rows"] for check in report["self_checks"]] == [2, 4, 8]


def test_every_way_is_measured_and_consistent(document: dict[str, Any]) -> None:
    ways = {way["name"]: way for way in document["report"]["rows"]}
    assert {name: way["rows"] for name, way in ways.items()} == ROWS
    weights = document["report"]["weight_bytes"]
    for way in ways.values():
        assert way["step_s"] > 0
        assert way["tokens_per_second"] == pytest.approx(way["rows"] / way["step_s"])
        assert way["peak_memory_bytes"] >= weights
    caches = [ways[f"raw ×{n}"]["cache_bytes"] for n in (2, 4, 8)]
    assert 0 < caches[0] < caches[1] < caches[2]


def test_ratios_are_those_of_the_rows(document: dict[str, Any]) -> None:
    report = document["report"]
    assert set(report["ratios"]) == RATIOS
    assert all(ratio > 0 for ratio in report["ratios"].values())
    assert report["statistics_share"] >= 0
    speed = {way["name"]: way["tokens_per_second"] for way in report["rows"]}
    # With one round the median of the pairwise ratios is the ratio of the rows.
    for ratio, value in report["ratios"].items():
        if "memory" not in ratio:
            way, base = ratio.split(" ÷ ")
            assert value == pytest.approx(speed[way] / speed[base]), ratio


def test_the_report_at_80_columns(raw: bytes) -> None:
    whole = msgspec.json.decode(raw, type=BenchDocument, strict=True)
    out = io.StringIO()
    console = Console(file=out, width=80, markup=False)
    console.print(bench_report(msgspec.structs.replace(whole, start_up=StartUp(1.5, 3.0, 0.5))))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert max(map(cell_len, lines)) <= 80
    assert not any("…" in line for line in lines)
    for name in (*ROWS, *RATIOS):
        assert any(line.startswith(f"{name} ") for line in lines)
    assert any(line.endswith(" 0.500") and "first token" in line for line in lines)
    assert "Command to first token 1.50 s, by a plain mlx-lm script 3.00 s." in lines


def test_text_with_start_up(env: dict[str, str], model: str) -> None:
    """The whole command; the figures of a tiny model mean nothing."""
    done = gelu(env, "bench", "--model", model, "--tokens", "2", "--rounds", "1")
    assert (done.code, done.err) == (0, "")
    assert "command to first token ÷ plain mlx-lm script" in done.out
    assert all(name in done.out for name in RATIOS)


# --- a sweep --------------------------------------------------------------------------------------

SWEEP_RATIOS = [
    f"{way}, stored ÷ mlx-lm, {base}"
    for base in ("one after another", "batch_generate")
    for way in ("sweep", "sweep with replays")
]


@pytest.fixture(scope="module")
def sweep(env: dict[str, str], model: str) -> BenchDocument:
    words = ("--prompts", "3", "--rows", "8", "--tokens", "2", "--rounds", "1", "--format", "json")
    done = gelu(env, "bench", "--sweep", "--model", model, *words)
    assert (done.code, done.err) == (0, "")
    return msgspec.json.decode(done.raw, type=BenchDocument, strict=True)


def test_a_sweep_is_measured_and_its_ratios_follow(sweep: BenchDocument) -> None:
    assert (sweep.report, sweep.start_up) == (None, None)
    found = sweep.sweep
    assert found is not None
    assert found.storing_s > 0
    ways = {way.name: way for way in found.report.ways}
    assert {name: way.rows for name, way in ways.items()} == {
        "sweep": 8,
        "sweep with replays": 8,
        "mlx-lm, one after another": 1,
        "mlx-lm, batch_generate": 8,
    }
    assert list(found.ratios) == SWEEP_RATIOS
    for ratio, value in found.ratios.items():  # of one round
        way, base = (ways[name] for name in ratio.split(", stored ÷ "))
        assert value == pytest.approx(base.seconds[0] / (way.seconds[0] + found.storing_s))
    assert [(budget.ratio, budget.goal) for budget in found.budgets] == [
        (SWEEP_RATIOS[0], 15.0),
        (SWEEP_RATIOS[2], 1.0),
    ]
    for budget in found.budgets:
        assert budget.reached == found.ratios[budget.ratio]
        assert budget.met == (budget.reached >= budget.goal)


def test_the_report_of_a_sweep_at_80_columns(sweep: BenchDocument) -> None:
    out = io.StringIO()
    Console(file=out, width=80, markup=False).print(bench_report(sweep))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert max(map(cell_len, lines)) <= 80
    for name in (*SWEEP_RATIOS, "mlx-lm, one after another *", "prefill", "decode", "to store it"):
        assert any(line.startswith(name) for line in lines), name
    assert sum(line.endswith((" met", " missed")) for line in lines) == 2
    assert any(line.startswith("* measured with 3 of 12 pairs") for line in lines)


def test_medians_are_of_the_rounds() -> None:
    def way(name: str, *seconds: float) -> p.SweepWay:
        return p.SweepWay(name, 4, 8, 8, seconds, 1)

    ways = (way("sweep", 1.0, 9.0, 3.0), way("mlx-lm, one after another", 60.0, 30.0, 64.0))
    report = p.BenchSweepReport(ways, ("gelu",), 2, 1, "", 9, 4, 3, ())
    found = sweep_bench(report, 1.0)
    # 60 / 2, 30 / 10, 64 / 4; where mlx-lm cannot batch a model, there is no other ratio.
    assert found.ratios == {"sweep, stored ÷ mlx-lm, one after another": 16.0}
    assert [budget.met for budget in found.budgets] == [True]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--prompts", "3"), "--prompts is for --sweep only."),
        (("--rows", "8"), "--rows is for --sweep only."),
        (("--sweep", "--prompt", "the"), "--prompt does not go with --sweep."),
        (("--sweep", "--start-up"), "--start-up does not go with --sweep."),
    ],
)
def test_options_of_the_other_kind(env: dict[str, str], words: tuple[str, ...], said: str) -> None:
    assert complaint(gelu(env, "bench", *words), 2)[0] == said


def test_prompts_are_spread_over_the_set() -> None:
    every = some_prompts(400)
    assert len(set(every)) == 400
    some = some_prompts(8)
    assert len(set(some)) == 8
    assert [every.index(prompt) for prompt in some] == sorted(map(every.index, some))
    assert len({len(prompt) for prompt in some}) > 4


# --- what ends it ---------------------------------------------------------------------------------


def test_a_model_that_is_not_there(env: dict[str, str]) -> None:
    assert complaint(gelu(env, "bench", "--model", "/nowhere"), 1)[0] == (
        "There is no folder '/nowhere'."
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(
    env: dict[str, str], long_model: Path, tmp_path: Path, number: signal.Signals
) -> None:
    events = tmp_path / "events"
    words = ("--model", str(long_model), "--tokens", "1000", "--engine-command")
    process = subprocess.Popen(
        [*COMMAND, "bench", *words, copying_engine(events)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        engine = json.loads(wait_for(events, b'"phase":"bench"').splitlines()[0])["pid"]
        children = psutil.Process(process.pid).children(recursive=True)
        assert engine in [child.pid for child in children]
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    done = finished(process.returncode, out, err)
    assert (done.code, done.raw, done.err.strip()) == (128 + number, b"", "")
    assert all(soon_gone(child.pid) for child in children)
