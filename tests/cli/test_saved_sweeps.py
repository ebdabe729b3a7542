"""Sweeps and their runs on the command line: listed, shown, opened, deleted, completed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gelu_tui.core.runs.history import History
from gelu_tui.sweep.outcomes import FailedPrompt
from gelu_tui.sweep.store import SweepStore
from tests.cli.test_history import history_file
from tests.support.command import UNSAFE, complaint, gelu
from tests.support.comparisons import run_document
from tests.support.engine_process import environment
from tests.support.stored_sweeps import KEY, header, save
from tests.support.terminal import Terminal

SKY = f"sky-{KEY[:8]}"
TWO = "two-aaaaaaaa"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A home with a saved run, a sweep that is not finished, and one over two models."""
    env = environment(tmp_path_factory.mktemp("home"))
    history = History(history_file(env))
    history.save(run_document("Ein Haiku, bitte"))
    root = history.path.parent / "sweeps"
    store = SweepStore.create(header(4), root)
    for number in (0, 2):
        save(store, number)
    store.save_failed(0, FailedPrompt("p3", "It is \x1b[31mtoo long.", 3, "demo"))
    models = ("demo", "\x1b[31mother")
    late = "2026-01-01T00:00:00+00:00"
    two = SweepStore.create(header(2, key="a" * 16, name="two", models=models, created=late), root)
    save(two, 1, 1)
    yield env


def sweeps_folder(env: dict[str, str]) -> Path:
    return history_file(env).parent / "sweeps"


def test_the_list_has_sweeps_below_the_runs(home: dict[str, str]) -> None:
    done = gelu(home, "history")
    assert (done.code, done.err) == (0, "")
    first, run, blank, heading, *sweeps = done.out.splitlines()
    assert first.split()[0] == "run" and "Haiku" in run and blank == ""
    assert heading.split() == ["sweep", "when", "finished", "functions", "models"]
    assert [line.split()[0] for line in sweeps] == [TWO, SKY]
    assert "2 of 4, 1 failed" in sweeps[1] and "1 of 4" in sweeps[0]
    assert not UNSAFE.search(done.out) and all(len(line) <= 80 for line in done.out.splitlines())


@pytest.mark.parametrize("width", [30, 50, 200])
def test_the_list_at_any_width(home: dict[str, str], width: int) -> None:
    done = gelu({**home, "COLUMNS": str(width)}, "history", "--search", "sky")
    assert done.out.splitlines()[-1].startswith(SKY)
    assert all(len(line) <= width for line in done.out.splitlines())


def test_the_list_as_json_and_searched(home: dict[str, str]) -> None:
    whole = json.loads(gelu(home, "history", "--format", "json").raw)
    assert [sweep["id"] for sweep in whole["sweeps"]] == [TWO, SKY]
    assert (whole["sweeps"][1]["completed"], whole["sweeps"][1]["failed"]) == (2, 1)
    found = json.loads(gelu(home, "history", "--format", "json", "--search", "OTHER two").raw)
    assert [sweep["id"] for sweep in found["sweeps"]] == [TWO] and found["runs"] == []
    limited = gelu(home, "history", "--limit", "1")
    assert SKY not in limited.out and "--limit lists more" in limited.err


def test_show_prints_the_report(home: dict[str, str]) -> None:
    report = gelu(home, "show", SKY)
    assert (report.code, report.err) == (0, "") and "sky" in report.out
    assert "too long" in report.out and not UNSAFE.search(report.out)
    document = json.loads(gelu(home, "show", SKY, "--format", "json").raw)
    assert (document["schema"], document["completed"]) == ("gelu-tui.sweep/1", 2)
    worst = document["results"][1]["worst"][0]["run"]
    assert gelu(home, "show", worst).code == 0
    rows = gelu(home, "show", SKY, "--format", "csv").out.splitlines()
    assert len(rows) == 1 + 2 * 3


def test_show_prints_a_run_of_it(home: dict[str, str]) -> None:
    text = gelu(home, "show", f"{SKY}/2")
    assert (text.code, text.err) == (0, "") and text.out.startswith("Why is sky 2 blue?")
    assert "The sky► was◄ grey." in text.out
    assert gelu(home, "show", f"{TWO}/1/1").out.startswith("Why is sky 1 blue?")
    assert gelu(home, "show", "sky/2").out == text.out  # the beginning of an id is enough
    folder = sweeps_folder(home) / SKY
    assert gelu(home, "show", f"{folder}/2").out == text.out


def test_a_file_comes_first(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sky").mkdir()
    (tmp_path / "sky" / "2").write_bytes(gelu(home, "show", "1", "--format", "json").raw)
    here = os.getcwd()  # noqa: PTH109
    os.chdir(tmp_path)
    try:
        assert gelu(home, "show", "sky/2").out.startswith("Ein Haiku")
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("command", "name", "code", "said"),
    [
        ("show", f"{SKY}/1", 1, f"Prompt 1 of the sweep {SKY} has not been run."),
        ("show", f"{SKY}/3", 1, "Prompt 3 of the sweep sky-01234567 could not be run: It is ␛[31m"),
        ("show", f"{SKY}/x", 2, "cannot be read"),
        ("show", f"{SKY}/0/0/0", 2, "cannot be read"),
        ("show", f"{SKY}/5/0", 1, "has not been run"),
        ("open", f"{SKY}/1", 1, "has not been run"),
        ("run --continue", SKY, 1, f"{SKY} is a sweep, not one run."),
    ],
)
def test_what_is_no_run_of_it(
    home: dict[str, str], command: str, name: str, code: int, said: str
) -> None:
    assert said in complaint(gelu(home, *command.split(), name), code)[0]


def test_formats_that_there_are_not(home: dict[str, str]) -> None:
    said = complaint(gelu(home, "show", "1", "--format", "parquet"), 2)[0]
    assert said == "A run has no format parquet."


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"{SKY}/2", "opened Why is sky 2 blue? None None"),
        (SKY, f"opened None None {SKY} for demo, 256 tokens"),
        ("sky", f"opened None None {SKY} for demo, 256 tokens"),
    ],
)
def test_open_hands_it_to_the_app(home: dict[str, str], name: str, said: str) -> None:
    code = (
        "import sys, types\n"
        "def run_app(run, prompt, warnings, saved, number, sweep, text):\n"
        "    shown = f'{sweep.id} for {run.model}, {run.max_tokens} tokens' if sweep else None\n"
        "    print('opened', saved and saved.prompt, number, shown)\n"
        "    return 0\n"
        "sys.modules['gelu_tui.tui.app'] = types.SimpleNamespace(run_app=run_app)\n"
        "from gelu_tui.cli import main\n"
        f"sys.argv = ['gelu-tui', 'open', '{name}']\n"
        "main()\n"
    )
    opened = Terminal((sys.executable, "-P", "-c", code), (120, 24), home)
    try:
        opened.until_shown(said)
        assert opened.wait() == 0
    finally:
        opened.close()


def test_delete(home: dict[str, str]) -> None:
    root = sweeps_folder(home)
    store = SweepStore.create(header(1, key="d" * 16, name="gone"), root)
    store.claim(0, 1, range(1))
    busy = complaint(gelu(home, "history", "--delete", store.id), 1)
    assert busy[0] == f"Another program works on the sweep {store.id}."
    store.release()
    done = gelu(home, "history", "--delete", store.id)
    assert (done.code, done.out, done.err) == (0, "", f"The sweep {store.id} is deleted.\n")
    assert not store.folder.exists()
    for name in (store.id, "sky", "..", "../sweeps"):
        said = complaint(gelu(home, "history", "--delete", name), 1)[0]
        assert said == f"There is no sweep {name}."


def test_a_damaged_sweep_is_listed_and_told(home: dict[str, str]) -> None:
    broken = sweeps_folder(home) / "broken"
    broken.mkdir()
    (broken / "sweep.json").write_text("{")
    assert "broken" in gelu(home, "history").out
    assert "sweep.json is damaged." in complaint(gelu(home, "show", "broken"), 1)[0]
    assert gelu(home, "history", "--delete", "broken").code == 0
    store = SweepStore.create(header(1, key="e" * 16, name="torn"), sweeps_folder(home))
    (store.folder / "results.sqlite").write_bytes(b"damaged" * 1000)
    done = gelu(home, "show", store.id)
    assert done.code == 0 and done.err.startswith("gelu-tui: The sweep was damaged and is now")
    assert gelu(home, "history", "--delete", store.id).code == 0


def completed(env: dict[str, str], *words: str) -> list[str]:
    asked = {
        "_GELU_TUI_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("gelu-tui", *words)),
        "COMP_CWORD": str(len(words)),
    }
    return [line.partition(",")[2] for line in gelu({**env, **asked}).out.splitlines()]


def test_completion(home: dict[str, str]) -> None:
    assert {"last", "1", SKY, TWO} <= {*completed(home, "show", "")}
    assert completed(home, "show", f"{SKY}/") == [f"{SKY}/0", f"{SKY}/2"]
    assert completed(home, "open", f"{TWO}/") == [f"{TWO}/1/1"]
    assert completed(home, "history", "--delete", "s") == [SKY]
