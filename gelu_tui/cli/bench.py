"""`gelu-tui bench`: the engine's measurements, and command to first token against plain mlx-lm."""

from __future__ import annotations

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

import click

from gelu_tui.cli import options as o
from gelu_tui.cli.conversation import Conversation
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError, UsageError
from gelu_tui.core.protocol.requests import check_prompt
from gelu_tui.core.runs.document import BENCH_SCHEMA, BenchDocument, StartUp
from gelu_tui.core.settings.run_settings import RunSettings


@click.command("bench", short_help="Measure against plain mlx-lm.")
@click.option("--prompt", default="Why is the sky blue?", show_default=True, help="What to decode.")
@click.option(
    "--sweep", is_flag=True, help="Measure a sweep: many prompts, four functions, batches."
)
@o.number_option("--prompts", 1, 400, 32, "Of a sweep: so many of builtin:mixed.")
@o.number_option("--rows", 0, 4096, 0, "Of a sweep: at most so many in a batch; 0: as many as fit.")
@o.options_of(RunSettings, "model", "dtype")
@o.number_option("--tokens", 2, 1000, 24, "For each row.")
@o.number_option(
    "--rounds", 1, 100, 3, "Each measures every way of decoding once; reported are medians."
)
@click.option("--start-up/--no-start-up", default=True, help="Also time command to first token.")
@o.text_or_json_option
@o.engine_options
def bench_command(
    prompt: str,
    sweep: bool,
    prompts: int,
    rows: int,
    model: str,
    dtype: str | None,
    tokens: int,
    rounds: int,
    start_up: bool,
    output_format: str,
    color: str,
    engine_command: str | None,
) -> int:
    """Measure speed and memory against plain mlx-lm, as ratios in one run."""
    _check_options(sweep=sweep, start_up=start_up)
    check_prompt(prompt)
    engine, load = Conversation(engine_command), p.Load(model, dtype)
    report, of_sweep = None, None
    if sweep:
        from gelu_tui.cli.bench_sweep import measure, some_prompts

        texts = some_prompts(prompts)
        asked = p.BenchSweep(texts, tokens=tokens, rounds=rounds, rows=rows)
        of_sweep = measure(engine, load, asked)
    else:
        report = engine.answer(p.BenchReport, load, p.Bench(prompt, tokens, rounds))
    loaded = engine.loaded
    if engine.error is not None:
        o.complain(engine.error)
    if loaded is None or (report is None and of_sweep is None):
        return engine.exit_code or o.FAILED
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            # As an exception, so that the processes started here are killed too.
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    # There is no plain script to compare with on another machine or in another dtype.
    comparable = start_up and not sweep and engine_command is None and dtype is None
    whole = BenchDocument(
        schema=BENCH_SCHEMA,
        machine=_machine(loaded, is_here=engine_command is None),
        versions=loaded.versions,
        model=loaded.model,
        start_up=_start_up(model, loaded.folder, prompt, rounds) if comparable else None,
        report=report,
        sweep=of_sweep,
    )
    if output_format == "json":
        o.print_json(whole, indent=2)
    else:
        from gelu_tui.core.reports.bench import bench_report

        o.print_report(bench_report(whole), color)
    return o.DONE


def _check_options(*, sweep: bool, start_up: bool) -> None:
    """Raise `UsageError` for an option of the other kind of bench."""
    if sweep:
        if o.was_given("prompt"):
            message = "--prompt does not go with --sweep."
            raise UsageError(message, "A sweep is measured with prompts of builtin:mixed.")
        if start_up and o.was_given("start_up"):
            message = "--start-up does not go with --sweep."
            raise UsageError(message, "Measure it by another `gelu-tui bench`, without --sweep.")
        return
    for name in ("prompts", "rows"):
        if o.was_given(name):
            raise UsageError(f"--{name} is for --sweep only.", "Add --sweep.")


def _machine(loaded: p.Loaded, *, is_here: bool) -> tuple[str, ...]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # An engine elsewhere tells its device, and nothing else about its machine.
    here = f", {cores} cores, {platform.system()} {platform.machine()}" if is_here else ""
    return (
        f"{loaded.model.id} ({loaded.model.family}, {loaded.model.dtype})",
        f"{loaded.device}{here}",
        *((f"BLAS {loaded.blas}",) if loaded.blas else ()),
        f"mlx {loaded.versions.get('mlx')}, mlx-lm {loaded.versions.get('mlx_lm')}, "
        f"Python {loaded.versions.get('python')}",
    )


def _start_up(model: str, folder: str, prompt: str, rounds: int) -> StartUp:
    """Time command to first token of both programs, in turn."""
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
    null, pipe = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(
        command, stdin=null, stdout=pipe, stderr=null, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                with contextlib.suppress(ValueError, AttributeError):  # a library printed the line
                    if json.loads(line).get("event") == "step":
                        seconds = time.perf_counter() - began
                        process.stdout.read()  # until it ends by itself
                        return seconds
        except BaseException:
            process.kill()
            raise
    raise GeluError(
        "bench", f"'{' '.join(command[2:4])}' ended before its first token.", "Run it by hand."
    )
