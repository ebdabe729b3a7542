"""`gelu-tui bench`: the engine's measurements, and command to first token against plain mlx-lm."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import click

from gelu_tui.cli import options as o
from gelu_tui.cli.progress import ProgressLine
from gelu_tui.client import EngineClient
from gelu_tui.core import protocol as p
from gelu_tui.core.document import to_json
from gelu_tui.core.errors import GeluError

START_UP_RATIO = "command to first token ÷ plain mlx-lm script"


def run_bench(
    *,
    prompt: str,
    model: str,
    dtype: str | None,
    tokens: int,
    rounds: int,
    start_up: bool,
    output_format: str,
    color: str,
    engine_command: str | None,
) -> int:
    """Measure and print; returns the exit code. Raises `GeluError`."""
    load, bench = p.Load(model, dtype), p.Bench(prompt, tokens, rounds)
    loaded, report = asyncio.run(_measure(load, bench, engine_command))
    # Another machine's or another dtype's start-up has no plain script to stand beside it.
    comparable = start_up and engine_command is None and dtype is None
    seconds = _start_up(model, loaded.folder, prompt, rounds) if comparable else {}
    machine = _machine(loaded)
    if output_format == "json":
        whole = {
            "schema": "gelu-tui.bench/1",
            "machine": machine,
            "versions": loaded.versions,
            "model": loaded.model,
            "start_up_s": seconds,
            "report": report,
        }
        click.echo(to_json(whole, indent=2))
    else:
        from gelu_tui.cli.console import output_console
        from gelu_tui.core.report import bench_report

        output_console(color).print(bench_report(report, seconds, machine))
    return o.DONE


async def _measure(
    load: p.Load, bench: p.Bench, engine_command: str | None
) -> tuple[p.Loaded, p.BenchReport]:
    progress = ProgressLine()
    loaded: p.Loaded | None = None
    async with EngineClient(engine_command) as client:
        await client.send(load)
        await client.send(bench)
        async for event in client.events():
            progress.show(event, None)
            match event:
                case p.Loaded():
                    loaded = event
                case p.Failed():
                    progress.clear()
                    raise GeluError(event.error.kind, event.error.message, event.error.hint)
                case p.BenchReport() if loaded is not None:
                    progress.clear()
                    return loaded, event
    raise GeluError("bench", "The engine ended without a report.", "See the engine log.")


def _machine(loaded: p.Loaded) -> str:
    blas = f", BLAS {loaded.blas}" if loaded.blas else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{loaded.device}, {cores} cores{blas} · {platform.system()} {platform.machine()} · "
        f"mlx {loaded.versions.get('mlx')}, mlx-lm {loaded.versions.get('mlx_lm')}, "
        f"Python {loaded.versions.get('python')} · {loaded.model.id} ({loaded.model.dtype})"
    )


# --- start-up -----------------------------------------------------------------------------------


def _start_up(model: str, folder: str, prompt: str, rounds: int) -> dict[str, float]:
    """Median seconds from command to first token of both, and the median of the paired ratios."""
    from gelu_tui.engine.device import find_blas

    blas = find_blas()
    # The same BLAS for both: what is compared is the way to the first token.
    environment = {**os.environ, **({"LD_PRELOAD": blas} if blas else {})}
    script = str(Path(__file__).parent.parent / "engine" / "plain_mlx_lm.py")
    plain = [sys.executable, script, folder, prompt]
    ours = [sys.executable, "-m", "gelu_tui", "run", "--model", model, "--raw", "--max-tokens", "1"]
    ours += ["-a", "gelu_approx", "--format", "jsonl", prompt]
    pairs = []
    for _ in range(rounds + 1):
        pairs.append((_until_first_token(plain, environment), _until_first_token(ours, None)))
    del pairs[0]  # warms the file cache and mlx-lm's compiled functions
    return {
        "seconds, plain mlx-lm script": statistics.median(a for a, _ in pairs),
        "seconds, gelu-tui run": statistics.median(b for _, b in pairs),
        START_UP_RATIO: statistics.median(b / a for a, b in pairs),
    }


def _until_first_token(command: list[str], environment: dict[str, str] | None) -> float:
    """Seconds until a line of output holds the first token. Raises `GeluError`."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("event") == "step":
                seconds = time.perf_counter() - began
                process.stdout.read()  # let it end in peace
                return seconds
    raise GeluError("bench", f"'{command[1]}' ended before its first token.", "Run it by hand.")
