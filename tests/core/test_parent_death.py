"""A child ends with its parent on Linux, also while it is stopped by a signal."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from gelu_tui.core.parent_death import end_with, parent_named
from tests.support.command import alive, soon_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such a signal")

# A child that says its process id when it is bound, and then waits for ever.
BOUND = """
import os, time
from gelu_tui.core.parent_death import end_with_named_parent
end_with_named_parent()
print(os.getpid(), flush=True)
time.sleep(600)
"""
PARENT = f"""
import os, subprocess, sys, threading, time
from gelu_tui.core.parent_death import parent_named

def start():
    subprocess.Popen([sys.executable, "-c", {BOUND!r}], env=parent_named())
"""
BY_THE_MAIN_THREAD = PARENT + "\nstart()\ntime.sleep(600)\n"
BY_A_THREAD_THAT_ENDS = (
    PARENT
    + """
thread = threading.Thread(target=start)
thread.start()
thread.join()
print("the thread has ended", flush=True)
time.sleep(600)
"""
)


@pytest.fixture
def python() -> Any:
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str, **more: Any) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", code]
        started.append(
            subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True, **more)
        )
        return started[-1]

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


Python = Callable[..., "subprocess.Popen[bytes]"]


def told(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("stopped", [True, False])
def test_a_child_ends_with_its_parent(python: Python, stopped: bool) -> None:
    parent = python(BY_THE_MAIN_THREAD)
    child = int(told(parent))
    if stopped:
        os.kill(child, signal.SIGSTOP)
    parent.kill()
    assert soon_gone(child)


def test_a_thread_that_started_it_may_end(python: Python) -> None:
    parent = python(BY_A_THREAD_THAT_ENDS)
    lines = {told(parent).strip(), told(parent).strip()}
    lines.remove(b"the thread has ended")
    assert alive(int(lines.pop()))


def test_a_parent_that_died_before_ends_it_at_once(python: Python) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, check=True)  # fmt: skip
    late = python(BOUND, env={**parent_named(), "GELU_TUI_PARENT": gone.stdout.decode().strip()})
    assert told(late) == b""
    assert late.wait(60) == 0


@pytest.mark.parametrize("named", ["", "no number", "1", str(os.getppid())])
def test_who_is_not_the_parent_binds_nothing(python: Python, named: str) -> None:
    child = python(BOUND, env={**parent_named(), "GELU_TUI_PARENT": named})
    assert int(told(child)) == child.pid


def test_the_environment_names_the_process_for_its_main_thread_only() -> None:
    assert parent_named()["GELU_TUI_PARENT"] == str(os.getpid())
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.append(parent_named()["GELU_TUI_PARENT"]))
    thread.start()
    thread.join()
    assert seen == [""]


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    end_with(2**30)  # nobody; this process goes on
