"""`gelu-tui bench`: the engine's measurements, and command to first token against plain mlx-lm."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from gelu_tui.cli import options as o
from gelu_tui.cli.conversation import Conversation
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.protocol.requests import check_prompt
from gelu_tui.core.runs.document import BENCH_SCHEMA, BenchDocument, StartUp


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
    check_prompt(prompt)
    load, bench = p.Load(model, dtype), p.Bench(prompt, tokens, rounds)
    engine = Conversation(engine_command, lambda: False)
    reports: list[p.BenchReport] = []

    def take(event: p.Event) -> None:
        if isinstance(event, p.BenchReport):
            reports.append(event)

    asyncio.run(engine.hold(take, load, bench))
    loaded = engine.loaded
    if engine.error is not None:
        o.complain(engine.error)
    if loaded is None or not reports:
        return engine.exit_code or o.FAILED
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            # As an exception, so that the processes started here end too.
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    # Another machine's or another dtype's start-up has no plain script to stand beside it.
    comparable = start_up and engine_command is None and dtype is None
    whole = BenchDocument(
        schema=BENCH_SCHEMA,
        machine=_machine(loaded),
        versions=loaded.versions,
        model=loaded.model,
        start_up=_start_up(model, loaded.folder, prompt, rounds) if comparable else None,
        report=reports[0],
    )
    if output_format == "json":
        o.print_json(whole, indent=2)
    else:
        from gelu_tui.cli.console import print_report
        from gelu_tui.core.reports.terminal import bench_report

        print_report(bench_report(whole), color)
    return o.DONE


def _machine(loaded: p.Loaded) -> tuple[str, ...]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{loaded.model.id} ({loaded.model.family}, {loaded.model.dtype})",
        f"{loaded.device}, {cores} cores, {platform.system()} {platform.machine()}",
        *((f"BLAS {loaded.blas}",) if loaded.blas else ()),
        f"mlx {loaded.versions.get('mlx')}, mlx-lm {loaded.versions.get('mlx_lm')}, "
        f"Python {loaded.versions.get('python')}",
    )


# --- start-up -----------------------------------------------------------------------------------


def _start_up(model: str, folder: str, prompt: str, rounds: int) -> StartUp:
    """Command to first token of both, in turn."""
    from gelu_tui.engine.device import find_blas

    blas = find_blas()
    # The same BLAS for both: what is compared is the way to the first token.
    environment = {**os.environ, **({"LD_PRELOAD": blas} if blas else {})}
    script = str(Path(__file__).parent.parent / "engine" / "jobs" / "plain_mlx_lm.py")
    plain = [sys.executable, "-P", script, folder, prompt]
    ours = [sys.executable, "-P", "-m", "gelu_tui", "run", "--model", model, "--raw"]
    ours += ["--max-tokens", "1", "-a", "gelu_approx", "--format", "jsonl", "--", prompt]
    pairs = [
        (_until_first_token(plain, environment), _until_first_token(ours, None))
        for _ in range(rounds + 1)
    ][1:]  # the first warms the file cache and mlx-lm's compiled functions
    return StartUp(
        gelu_tui_s=statistics.median(b for _, b in pairs),
        mlx_lm_s=statistics.median(a for a, _ in pairs),
        ratio=statistics.median(b / a for a, b in pairs),
    )


def _until_first_token(command: list[str], environment: dict[str, str] | None) -> float:
    """Seconds until a line of output holds the first token. Raises `GeluError`."""
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if _is_step(line):
                    seconds = time.perf_counter() - began
                    process.stdout.read()  # let it end in peace
                    return seconds
        except BaseException:
            process.kill()
            raise
    raise GeluError(
        "bench", f"'{' '.join(command[2:4])}' ended before its first token.", "Run it by hand."
    )


def _is_step(line: bytes) -> bool:
    with contextlib.suppress(ValueError, AttributeError):
        return bool(json.loads(line).get("event") == "step")
    return False  # something that a library printed
