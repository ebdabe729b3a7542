"""Saved runs on the command line: kept by `run`, listed, shown, deleted, opened."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gelu_tui.core.runs.history import History
from tests.support.command import COMMAND, TIMEOUT_S, UNSAFE, Done, complaint, fake_engine, gelu
from tests.support.comparisons import run_document
from tests.support.engine_process import environment
from tests.support.terminal import Terminal

PROMPT = "Why is the \x1b[31msky blue?"
FUNCTIONS = ("-a", "gelu_approx,gelu,silu", "--max-tokens", "20")


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path)


def run(env: dict[str, str], *words: str, scenario: str = "five", prompt: str = PROMPT) -> Done:
    return gelu(env, "run", *FUNCTIONS, "--engine-command", fake_engine(scenario), *words, prompt)


def saved(env: dict[str, str], *words: str) -> list[dict[str, object]]:
    done = gelu(env, "history", "--format", "json", *words)
    assert (done.code, done.err) == (0, "")
    whole = json.loads(done.raw)
    assert whole["schema"] == "gelu-tui.history/1"
    return list(whole["runs"])


def history_file(env: dict[str, str]) -> Path:
    code = "from gelu_tui.core.runs.history import History; print(History().path)"
    said = subprocess.check_output((sys.executable, "-P", "-c", code), env=env, text=True)
    return Path(said.strip())


# --- saved by run ---------------------------------------------------------------------------------


def test_run_saves_what_it_prints(home: dict[str, str]) -> None:
    printed = run(home, "--format", "json")
    assert (printed.code, printed.err) == (0, "")
    shown = gelu(home, "show", "last", "--format", "json")
    assert shown.raw == printed.raw
    (entry,) = saved(home)
    assert entry["first_divergent_tokens"] == [None, None, 1]
    assert entry["activations"] == ["gelu_approx", "gelu", "silu"]
    assert (entry["prompt"], entry["status"], entry["total_tokens"]) == (PROMPT, "completed", 60)


@pytest.mark.parametrize("output", ["text", "jsonl"])
def test_every_format_saves(home: dict[str, str], output: str) -> None:
    assert run(home, "--format", output).code == 0
    assert len(saved(home)) == 1


def test_no_save_by_option_and_by_setting(home: dict[str, str], tmp_path: Path) -> None:
    assert run(home, "--no-save").code == 0
    settings = tmp_path / "config.toml"
    settings.write_text("save_runs = false\n")
    unsaved = {**home, "GELU_TUI_CONFIG": str(settings)}
    assert run(unsaved).code == 0
    assert saved(home) == []
    assert run(unsaved, "--save").code == 0
    assert len(saved(home)) == 1


@pytest.mark.parametrize(("scenario", "count"), [("dies", 1), ("garbage", 1), ("compare_error", 0)])
def test_a_failed_run_is_kept_if_it_has_tokens(
    home: dict[str, str], scenario: str, count: int
) -> None:
    assert run(home, scenario=scenario).code == 1
    kept = saved(home)
    assert [entry["status"] for entry in kept] == ["failed"] * count
    if count:
        assert "gelu-tui: " in gelu(home, "show", "last").err  # why it failed


@pytest.mark.parametrize(
    ("scenario", "said", "count"),
    [
        ("same_names", "variants of different names", 0),
        ("wrong_fork", "a fork of silu where there is none", 1),
        ("huge_token", "length <= 200000", 1),
    ],
)
def test_what_could_not_be_read_later_is_refused_when_it_is_told(
    home: dict[str, str], scenario: str, said: str, count: int
) -> None:
    done = run(home, "--format", "text", scenario=scenario)
    assert done.code == 1 and said in done.err.splitlines()[0], done.err
    assert [entry["status"] for entry in saved(home)] == ["failed"] * count
    if count:
        assert "The sky is" in gelu(home, "show", "last").out


def test_an_interrupted_run_is_kept(home: dict[str, str]) -> None:
    engine = fake_engine("long", 0.02)
    words = ("run", *FUNCTIONS, "--max-tokens", "9999", "--format", "jsonl")
    process = subprocess.Popen(
        [*COMMAND, *words, "--engine-command", engine, PROMPT],
        env=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    steps = 0
    for line in process.stdout:
        steps += json.loads(line)["event"] == "step"
        if steps == 5:
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 128 + signal.SIGTERM
    (entry,) = saved(home)
    assert entry["status"] == "cancelled" and int(str(entry["total_tokens"])) >= 15


def test_a_killed_run_is_kept(home: dict[str, str]) -> None:
    words = ("run", *FUNCTIONS, "--max-tokens", "9999", "--format", "jsonl")
    with subprocess.Popen(
        [*COMMAND, *words, "--engine-command", fake_engine("long", 0.02), PROMPT],
        env=home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        until = time.monotonic() + TIMEOUT_S
        history = History(history_file(home))
        while not history.entries() and time.monotonic() < until:
            time.sleep(0.05)
        process.kill()
    (entry,) = saved(home)
    assert entry["status"] == "cancelled" and int(str(entry["total_tokens"])) > 0
    assert "Stopped;" in gelu(home, "show", "last", "--format", "markdown").out


def test_output_that_nobody_reads_is_saved_all_the_same(home: dict[str, str]) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as nobody:
        done = subprocess.run(
            [*COMMAND, "run", *FUNCTIONS, "--engine-command", fake_engine("five"), PROMPT],
            env=home,
            stdout=nobody,
            stderr=subprocess.PIPE,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert b"Traceback" not in done.stderr
    assert len(saved(home)) == 1


def test_a_history_that_cannot_be_written_is_a_warning(home: dict[str, str]) -> None:
    history_file(home).mkdir(parents=True)
    done = run(home)
    assert done.code == 0 and "The sky is blue" in done.out
    assert done.err.startswith("gelu-tui: The run could not be saved: ")
    assert len(done.err.splitlines()) == 2


def test_a_damaged_history_is_set_aside_and_the_run_saved(home: dict[str, str]) -> None:
    path = history_file(home)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged" * 1000)
    done = run(home)
    assert done.code == 0
    assert done.err.startswith("gelu-tui: The history was damaged and is now history.damaged-")
    assert len(saved(home)) == 1


# --- listed, shown, deleted -----------------------------------------------------------------------


@pytest.fixture
def three(home: dict[str, str]) -> dict[str, str]:
    history = History(history_file(home))
    for prompt in ("Why is the sky blue?", "Ein Haiku, bitte", PROMPT + "|" * 200):
        history.save(run_document(prompt))
    return home


def test_the_list(three: dict[str, str]) -> None:
    done = gelu(three, "history")
    header, *rows = done.out.splitlines()
    assert header.split() == ["run", "when", "prompt", "functions", "diverge", "at", "status"]
    assert [row.split()[0] for row in rows] == ["3", "2", "1"]
    assert "Why is the sky blue?" in rows[2] and "gelu_approx +2" in rows[2]
    assert all(len(row) <= 80 for row in rows)
    assert not UNSAFE.search(done.out)
    assert done.err == ""


def test_search_limit_and_nothing_found(three: dict[str, str]) -> None:
    assert [entry["id"] for entry in saved(three, "--search", "SKY why")] == [3, 1]
    assert [entry["id"] for entry in saved(three, "--limit", "1")] == [3]
    limited = gelu(three, "history", "--limit", "2")
    assert len(limited.out.splitlines()) == 3 and "--limit lists more" in limited.err
    nothing = gelu(three, "history", "--search", "\x1b[31m nothing")
    assert (nothing.code, nothing.out) == (0, "")
    assert nothing.err == "No saved run holds all of: ␛[31m nothing\n"


def test_nothing_saved_yet(home: dict[str, str]) -> None:
    done = gelu(home, "history")
    assert (done.code, done.out, done.err) == (0, "", "No runs yet.\n")
    assert complaint(gelu(home, "show", "last"), 1)[0] == "There are no saved runs yet."


def test_delete(three: dict[str, str]) -> None:
    done = gelu(three, "history", "--delete", "2")
    assert (done.code, done.out, done.err) == (0, "", "Run 2 is deleted.\n")
    assert [entry["id"] for entry in saved(three)] == [3, 1]
    assert complaint(gelu(three, "history", "--delete", "2"), 1)[0] == "There is no saved run 2."


def test_show_as_text_and_as_markdown(three: dict[str, str]) -> None:
    text = gelu(three, "show", "3")
    assert (text.code, text.err) == (0, "")
    assert " ".join(text.out.split()).startswith("Why is the ␛[31msky blue?|||")
    assert "The sky► was◄ grey." in text.out and not UNSAFE.search(text.out)
    report = gelu(three, "show", "1", "--format", "markdown")
    assert report.out.startswith("# 3 activation functions, one prompt\n")
    assert "```text\nThe sky► was◄ grey.\n```" in report.out


def test_show_a_file(three: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(gelu(three, "show", "1", "--format", "json").raw)
    assert gelu(three, "show", str(file)).out == gelu(three, "show", "1").out


@pytest.mark.parametrize("command", ["show", "open"])
def test_what_is_no_run(three: dict[str, str], tmp_path: Path, command: str) -> None:
    garbage = tmp_path / "\x1b[31m.json"
    garbage.write_bytes(b"{")
    newer = tmp_path / "newer.json"
    newer.write_bytes(b'{"schema": "gelu-tui.comparison/2"}')
    for run_, code, said in (
        ("99", 1, "There is no saved run 99."),
        ("9" * 30, 1, f"There is no saved run {'9' * 30}."),
        ("0" * 30 + "7", 1, "There is no saved run 7."),
        (str(garbage), 1, "This is not a saved comparison"),
        (str(newer), 1, "saved by a newer gelu-tui"),
        (str(tmp_path), 2, "cannot be read"),
        ("-1", 2, "No such option"),
        ("none.json", 2, "cannot be read: No such file"),
    ):
        assert said in complaint(gelu(three, command, run_), code)[0]


def test_a_newer_history_is_refused(three: dict[str, str]) -> None:
    connection = sqlite3.connect(history_file(three))
    connection.execute("PRAGMA user_version = 9")
    connection.commit()
    connection.close()
    assert "newer gelu-tui" in complaint(gelu(three, "history"), 1)[0]


# --- opened ---------------------------------------------------------------------------------------


def test_open_hands_the_saved_run_to_the_app(three: dict[str, str], tmp_path: Path) -> None:
    code = (
        "import sys, types\n"
        "def run_app(run, prompt, warnings, saved, number, sweep, text):\n"
        "    print('opened', saved.prompt, run.activations, run.reference,\n"
        "          run.model, run.dtype, prompt, number)\n"
        "    return 0\n"
        "sys.modules['gelu_tui.tui.app'] = types.SimpleNamespace(run_app=run_app)\n"
        "from gelu_tui.cli import main\n"
        "sys.argv = ['gelu-tui', 'open', '1']\n"
        "main()\n"
    )
    opened = Terminal((sys.executable, "-P", "-c", code), (120, 24), three)
    try:
        opened.until_shown(
            "opened Why is the sky blue? ('gelu_approx', 'gelu', 'silu') gelu_approx demo float32 "
            "None 1"
        )
        assert opened.wait() == 0
    finally:
        opened.close()


def test_open_needs_a_terminal(three: dict[str, str]) -> None:
    assert "needs a terminal" in complaint(gelu(three, "open", "1"), 2)[0]
