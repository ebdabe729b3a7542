"""The engine as a process: its handshake, its log, and its end."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from gelu_tui.core.protocol import PROTOCOL_VERSION
from tests.support import odd_models
from tests.support.engine_process import (
    COMMAND,
    ENDLESS,
    EngineProcess,
    broken_mlx,
    compare,
    environment,
    failure,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(odd_models.long_running(tmp_path_factory.mktemp("model")))


def test_hello_comes_first_and_before_mlx_is_imported(tmp_path: Path) -> None:
    broken_mlx(tmp_path)
    with EngineProcess(environment(tmp_path, PYTHONPATH=str(tmp_path))) as engine:
        hello = engine.next()
        assert hello["event"] == "hello"
        assert hello["protocol"] == PROTOCOL_VERSION
        assert hello["pid"] == engine.process.pid
        assert set(hello["versions"]) == {"gelu_tui", "mlx", "mlx_lm", "python"}
        assert Path(hello["log_file"]).is_file()
        engine.send(compare())
        assert failure(engine)["kind"] == "install"
        engine.send({"command": "load", "model": "/nowhere"})
        assert failure(engine)["kind"] == "model_not_found"


def test_shutdown_while_decoding(tmp_path: Path, model: str) -> None:
    with EngineProcess(environment(tmp_path)) as engine:
        engine.send({"command": "load", "model": model}, compare(max_tokens=ENDLESS))
        engine.until("step")
        engine.send({"command": "shutdown"})
        engine.wait()
        assert engine.process.returncode == 0


@pytest.mark.parametrize("moment", ["idle", "importing", "prefill", "decoding"])
def test_the_end_of_stdin_ends_it_at_once(tmp_path: Path, model: str, moment: str) -> None:
    with EngineProcess(environment(tmp_path)) as engine:
        engine.until("hello")
        prompt = "the sky is blue " * (5000 if moment == "prefill" else 1)
        if moment != "idle":
            engine.send({"command": "load", "model": model})
            engine.send(compare(prompt, max_tokens=ENDLESS))
            engine.until({"importing": "progress", "prefill": "started"}.get(moment, "step"))
            time.sleep(0.3)  # into the work itself
        assert engine.process.stdin is not None
        engine.process.stdin.close()
        engine.wait()
        assert engine.process.returncode == 0


def test_a_reader_that_leaves_ends_it(tmp_path: Path) -> None:
    process = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(tmp_path)
    )
    try:
        assert process.stdin is not None and process.stdout is not None
        assert b"hello" in process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"anything that wants an answer\n")
        process.stdin.flush()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("redirection", ["<&-", "</dev/null", "</", "0>/dev/null"])
def test_a_stdin_that_cannot_be_read_ends_it(tmp_path: Path, redirection: str) -> None:
    command = f'exec "{sys.executable}" -P -m gelu_tui.engine {redirection}'
    done = subprocess.run(
        ["sh", "-c", command],
        env=environment(tmp_path),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert b"Traceback" not in done.stderr


# --- what is printed, what is logged --------------------------------------------------------------

NOISY = """
import os, subprocess, sys
from gelu_tui.engine import session

run = session.Session._run

def noisy(self, job):
    print("a print", flush=True)
    sys.__stdout__.write("another\\n")
    sys.__stdout__.flush()
    os.write(1, b"raw bytes without an end")
    subprocess.run(["echo", "a child's words"], check=True)
    stolen = subprocess.run(["cat"], capture_output=True, check=True).stdout
    os.write(1, b"stolen: " + stolen + b".")
    run(self, job)

session.Session._run = noisy

from gelu_tui.engine.__main__ import main
main()
"""


def test_what_a_library_prints_does_not_touch_the_protocol(tmp_path: Path, model: str) -> None:
    # The patch would not survive the restart with another BLAS.
    env = environment(tmp_path, GELU_TUI_BLAS="off")
    with EngineProcess(env, [sys.executable, "-P", "-c", NOISY]) as engine:
        hello = engine.next()
        engine.send({"command": "load", "model": model}, compare(max_tokens=2))
        events = engine.until("finished")
        assert {e["event"] for e in events} >= {"loaded", "started", "step"}
    log = Path(hello["log_file"]).read_text()
    for words in ("a print", "another", "raw bytes", "a child's words", "stolen: ."):
        assert words in log


def test_the_log_is_rotated(tmp_path: Path) -> None:
    with EngineProcess(environment(tmp_path)) as first:
        log = Path(first.next()["log_file"])
    assert log.is_relative_to(tmp_path)
    assert log.stat().st_mode & 0o077 == 0  # prompts may stand in an error
    old = b"x" * 1_000_001
    log.write_bytes(old)
    with EngineProcess(environment(tmp_path)) as second:
        second.until("hello")
    assert log.with_suffix(".log.1").read_bytes() == old
    assert log.stat().st_size < 10_000


def test_a_log_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    for name in ("state", "Library"):  # files where folders are wanted
        (tmp_path / name).write_text("")
    with EngineProcess(environment(tmp_path)) as engine:
        assert engine.next()["log_file"] == "not written"
        engine.send({"command": "load", "model": "/nowhere"})
        assert failure(engine)["kind"] == "model_not_found"
