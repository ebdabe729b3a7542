"""What the version before left on users' disks is read: saved runs, documents, settings.

The files are made by `tests/version_before/make.py`. Everything goes through the command line, so
that nothing here depends on how the present version is built.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import COMMAND, gelu
from tests.support.engine_process import environment
from tests.support.terminal import Terminal
from tests.version_before.make import RUNS, SETTINGS

FILES = Path(__file__).parent / "version_before"
_STATUS = {"cancelled": "cancelled", "failed": "failed"}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user who has the history and the settings of the version before."""
    env = environment(tmp_path, GELU_TUI_CONFIG=str(FILES / "config.toml"))
    data = Path(env["XDG_DATA_HOME"]) / "gelu-tui"
    data.mkdir(parents=True)
    shutil.copy(FILES / "history.sqlite", data)
    return env


def document(name: str) -> dict[str, Any]:
    return dict(json.loads((FILES / f"{name}.json").read_bytes()))


def holds(now: Any, before: Any) -> bool:
    """Whether everything of `before` is in `now`, where there may be more fields."""
    if isinstance(before, dict):
        return all(key in now and holds(now[key], value) for key, value in before.items())
    if isinstance(before, list):
        return len(now) == len(before) and all(map(holds, now, before))
    return bool(now == before)


def test_the_files_hold_what_they_are_to_hold() -> None:
    documents = {name: document(name) for name in RUNS}
    for name, found in documents.items():
        assert found["status"] == _STATUS.get(name, "completed")
        assert all(variant["tokens"] for variant in found["variants"])
    assert documents["sampled"]["settings"]["temperature"] == 1
    assert documents["own_formula"]["variants"][1]["formula"] == "x*sigmoid(3*x)"
    assert "control" in [variant["name"] for variant in documents["control"]["variants"]]
    assert documents["failed"]["error"]["kind"] == "engine_died"
    with sqlite3.connect(FILES / "history.sqlite") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()


def test_the_history_lists_every_run(home: dict[str, str]) -> None:
    done = gelu(home, "history", "--format", "json")
    assert (done.code, done.err) == (0, "")
    runs = sorted(json.loads(done.raw)["runs"], key=lambda run: run["id"])
    for run, name in zip(runs, RUNS, strict=True):
        before = document(name)
        assert run["prompt"] == before["prompt"] and run["status"] == before["status"]
        assert run["activations"] == [variant["name"] for variant in before["variants"]]
    listed = gelu(home, "history")
    assert listed.code == 0 and "the sky is blue" in listed.out


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_shown_from_the_history_and_from_its_file(name: str, home: dict[str, str]) -> None:
    before = document(name)
    for source in (str([*RUNS].index(name) + 1), str(FILES / f"{name}.json")):
        shown = gelu(home, "show", source, "--format", "json")
        assert (shown.code, shown.err) == (0, "")
        assert holds(json.loads(shown.raw), before)
        for output in ("text", "markdown"):
            done = gelu(home, "show", source, "--format", output)
            assert done.code == 0
            if before["error"] is None:
                assert done.err == ""
            else:
                assert before["error"]["message"] in done.out + done.err
            for variant in before["variants"]:
                assert variant["name"] in done.out.replace("\\", "")


@pytest.mark.parametrize("name", ["greedy", "own_formula", "control", "cancelled", "failed"])
def test_a_run_is_opened_in_the_app(name: str, home: dict[str, str]) -> None:
    before = document(name)
    app = Terminal((*COMMAND, "open", str([*RUNS].index(name) + 1)), (160, 48), home)
    try:
        for variant in before["variants"]:
            app.until_shown(variant["name"])
            fork = variant["first_divergent_token"]
            if fork is not None:
                app.until_shown(f"diverges at {fork}")
        app.send("\x11")
        assert app.wait() == 0
        assert b"Traceback" not in app.output
    finally:
        app.close()


def test_the_settings_are_as_the_file_has_them(home: dict[str, str]) -> None:
    assert gelu(home, "settings", "--check").code == 0
    done = gelu(home, "settings")
    assert (done.code, done.err) == (0, "")
    written = tomllib.loads((FILES / "config.toml").read_text())
    assert written.keys() == {*SETTINGS, "keys"} and written["keys"] == {"run": "f12"}
    assert holds(tomllib.loads(done.out), written)
