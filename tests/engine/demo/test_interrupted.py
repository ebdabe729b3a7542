"""Conversions of the demo that are cancelled or killed, or that two processes want at once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gelu_tui.core import protocol as p
from gelu_tui.engine.demo import convert as demo
from gelu_tui.engine.demo.source import Source
from gelu_tui.engine.failures import Interrupted
from tests.support.demo_fake import (
    chunks_of,
    finder,
    left_in,
    no_source,
    prepare,
    sha256_of,
    source_of,
)


@pytest.fixture(scope="module")
def chunks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return chunks_of(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def source(chunks: list[Path]) -> Source:
    return source_of(chunks, sha256_of(chunks))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models" / "tiny"


@pytest.mark.parametrize(
    "label", ["checking the packaged", "converting", "building", "checking the demo"]
)
def test_a_cancel_leaves_nothing(label: str, folder: Path, source: Source) -> None:
    def tick(now: str, *_: int) -> None:
        if now.startswith(label):
            raise Interrupted

    with pytest.raises(Interrupted):
        demo.prepare(folder, source.sha256, finder(source), tick)
    assert left_in(folder) == set()


def test_progress_is_throttled_and_polls_the_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(step / 100 for step in range(1, 1000))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    reports: list[p.Progress] = []
    answers = iter([False] * 101 + [True])
    progress = demo.throttled(reports.append, lambda: next(answers))
    for step in range(100):  # one second
        progress("converting", step, 100)
    assert 9 <= len(reports) <= 11
    progress("building", 0, 0)
    assert reports[-1] == p.Progress("convert", "building", 0, 0, "bytes")
    with pytest.raises(Interrupted):
        progress("building", 1, 0)


# A converter in its own process. It stops at the label STOP: there it makes the file `stopped`, and
# goes on when the file `go` is there.
_PROCESS = """
import json, sys, time
from pathlib import Path
from gelu_tui.engine.demo import convert as demo
from tests.support.demo_fake import source_of

folder, chunks, sha256, stop, signs = json.loads(sys.argv[1])
signs, seen = Path(signs), []

def tick(label, done, total):
    if label not in seen:
        seen.append(label)
        if label.startswith(stop):
            (signs / "stopped").touch()
            while not (signs / "go").exists():
                time.sleep(0.01)

source = source_of(list(map(Path, chunks)), sha256)
demo.prepare(Path(folder), sha256, lambda: source, tick)
print(json.dumps(seen))
"""


def start(folder: Path, chunks: list[Path], stop: str, signs: Path) -> subprocess.Popen[bytes]:
    signs.mkdir()
    argument = [str(folder), [str(path) for path in chunks], sha256_of(chunks), stop, str(signs)]
    return subprocess.Popen(
        [sys.executable, "-c", _PROCESS, json.dumps(argument)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],  # it imports the tests
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not come"
        time.sleep(0.01)


@pytest.fixture
def signs(tmp_path: Path) -> Path:
    return tmp_path / "signs"


@pytest.mark.parametrize("label", ["converting", "building", "checking the demo"])
def test_a_killed_conversion_is_never_taken_for_whole(
    label: str, folder: Path, chunks: list[Path], source: Source, signs: Path
) -> None:
    with start(folder, chunks, label, signs) as process:
        wait_for(signs / "stopped")
        process.send_signal(signal.SIGKILL)
    assert not folder.exists()
    assert left_in(folder) == {".tiny.building"}
    assert "converting the demo model" in prepare(folder, source)
    assert left_in(folder) == {"tiny"}


def test_two_processes_do_the_work_once(
    folder: Path, chunks: list[Path], source: Source, signs: Path, tmp_path: Path
) -> None:
    with start(folder, chunks, "converting", signs) as first:
        wait_for(signs / "stopped")
        with start(folder, chunks, "waiting", tmp_path / "second") as second:
            wait_for(tmp_path / "second" / "stopped")
            (tmp_path / "second" / "go").touch()
            (signs / "go").touch()
            first_seen, _ = first.communicate(timeout=60)
            second_seen, _ = second.communicate(timeout=60)
    assert "converting the demo model" in json.loads(first_seen)
    assert json.loads(second_seen) == ["waiting for another gelu-tui that converts the demo model"]
    assert prepare(folder, source) == []


def test_waiting_for_another_process_can_be_cancelled(
    folder: Path, chunks: list[Path], source: Source, signs: Path
) -> None:
    def cancel(label: str, *_: int) -> None:
        assert label.startswith("waiting")
        raise Interrupted

    with start(folder, chunks, "converting", signs) as other:
        wait_for(signs / "stopped")
        with pytest.raises(Interrupted):
            demo.prepare(folder, source.sha256, no_source, cancel)
        (signs / "go").touch()
        other.communicate(timeout=60)
    assert other.returncode == 0
    assert prepare(folder, source) == []
