"""That a run is in the history however it ends, and what the user sees when it cannot be."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from gelu_tui.core.runs.history import Entry, History
from tests.support import shown
from tests.support.app_terminal import saved, terminal
from tests.support.driving import fake_engine
from tests.support.terminal import Terminal, alive

WIDE = (120, 36)


def until_saved(opened: Terminal, home: Path, status: str) -> Entry:
    """Wait for a run with this status."""
    opened.until(lambda: [e for e in saved(home) if e.status == status], f"a run {status}", 30)
    (entry,) = saved(home)
    return entry


@pytest.mark.parametrize(
    ("end", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("hang-up", None), ("Ctrl+Q", 0)]
)
def test_the_part_of_a_run_that_there_was(end: str, code: int | None, tmp_path: Path) -> None:
    """And that nothing else is left of the app: neither its engine nor a mode of the terminal."""
    engine = fake_engine("long", 0.01)
    with terminal(engine, tmp_path, prompt="Why?", size=WIDE, max_tokens=4000) as it:
        it.until_shown(shown.LATER, 40)
        (child,) = it.engines()
        match end:
            case "hang-up":
                it.hang_up()
            case "Ctrl+Q":
                it.send(shown.QUIT)
            case _:
                it.process.send_signal(signal.Signals[end])
        assert it.wait() == code or code is None
        assert end == "hang-up" or not it.left_behind()
        assert b"Traceback" not in it.output
        it.until(lambda: not alive(child), "the engine is gone")
    (entry,) = saved(tmp_path)
    assert entry.status == "cancelled"
    assert entry.total_tokens >= 5 * 10, "what was on the screen is saved"


def test_a_full_disk(tmp_path: Path) -> None:
    # No file of the app's process may grow beyond this: what a full disk does, without root.
    before = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))"
    parts = {"prompt": "Why?", "size": WIDE, "max_tokens": 2000, "before": before}
    with terminal(fake_engine("long", 0.02), tmp_path, **parts) as it:  # type: ignore[arg-type]
        it.until_shown(shown.LATER)
        it.send(shown.STOP)
        it.until_shown(shown.NOT_SAVED)
        assert shown.FORKED in it.text, "what was shown stays"
        it.send(shown.ENTER)
        it.until_shown(shown.RUNNING)
        it.send(shown.QUIT)
        assert it.wait() == 0
        assert not it.left_behind()
    assert not saved(tmp_path)


_OFTEN = "from gelu_tui.core.runs import saved_run\nsaved_run._KEEP_EVERY_S = 0.05"


@pytest.mark.parametrize("wait_s", [0.0, 0.12])
def test_a_killed_app_leaves_what_was_on_the_screen(wait_s: float, tmp_path: Path) -> None:
    engine = fake_engine("long", 0.02)
    parts = {"prompt": "Why?", "size": WIDE, "max_tokens": 2000, "before": _OFTEN}
    with terminal(engine, tmp_path, **parts) as it:  # type: ignore[arg-type]
        it.until(lambda: saved(tmp_path), "a part of the run is saved", 40)
        before = saved(tmp_path)[0].total_tokens
        it.until(lambda: saved(tmp_path)[0].total_tokens > before, "more of it is saved", 40)
        drain(it, wait_s)
        (child,) = it.engines()
        it.process.kill()
        it.wait()
        it.until(lambda: not alive(child), "the engine is gone")
    (entry,) = saved(tmp_path)
    assert entry.status == "cancelled" and entry.total_tokens > before
    (file,) = tmp_path.rglob("history.sqlite")
    document = History(file).load(entry.id)
    assert {variant.finish_reason for variant in document.variants} <= {"cancelled", "stop"}
    assert document.variants[0].text.startswith("The sky is blue")


def drain(opened: Terminal, seconds: float) -> None:
    """Let it run for so long."""
    until = time.monotonic() + seconds
    opened.until(lambda: time.monotonic() >= until, "time passes")


def test_a_damaged_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME")
    file = History().path
    file.parent.mkdir(parents=True)
    file.write_bytes(b"This is no database.\n" * 500)
    with terminal(fake_engine("five", 0.005), tmp_path, prompt="Why?", size=WIDE) as it:
        it.until_shown(shown.DAMAGED)
        entry = until_saved(it, tmp_path, "completed")
        it.send(shown.QUIT)
        assert it.wait() == 0
    assert entry.prompt == "Why?"
    assert entry.first_divergent_tokens == (None, None, 10, 1, 0)
    kept = [other for other in file.parent.iterdir() if b"no database" in other.read_bytes()]
    assert len(kept) == 1, "set aside, not deleted"
