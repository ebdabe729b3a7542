"""`gelu-tui sweep`: from one command to the report, and on from wherever it was killed."""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from gelu_tui.core.errors import GeluError
from gelu_tui.sweep.store import SweepStore
from tests.support.command import (
    TIMEOUT_S,
    Background,
    Done,
    complaint,
    finished,
    gelu,
    soon_gone,
    sweep_engine,
)
from tests.support.engine_process import environment

FUNCTIONS = ("-a", "gelu,gelu_approx,relu", "--max-tokens", "8")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A home of its own for each test: sweeps go on where earlier ones stopped."""
    return environment(tmp_path)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "set.txt"
    file.write_text("".join(f"prompt {n}\n" for n in range(20)))
    return file


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], Path, Done]:
    """A finished sweep: its home, its prompts, and what was printed."""
    folder = tmp_path_factory.mktemp("whole")
    env, file = environment(folder), folder / "set.txt"
    file.write_text("".join(f"prompt {n}\n" for n in range(20)))
    return env, file, sweep(env, file)


def sweep(env: dict[str, str], *words: str | Path, step_s: float = 0.0, **more: Any) -> Done:
    engine = ("--engine-command", sweep_engine(step_s))
    return gelu(env, "sweep", *map(str, words), *FUNCTIONS, *engine, **more)


def store_of(env: dict[str, str], beginning: str = "set-") -> SweepStore:
    root = Path(env["XDG_DATA_HOME"]) / "gelu-tui" / "sweeps"
    (folder,) = (each for each in root.iterdir() if each.name.startswith(beginning))
    return SweepStore.open(folder)


def statistics(done: Done) -> dict[str, Any]:
    """What must not depend on how often a sweep was disturbed."""
    document = json.loads(done.out.replace(json.loads(done.out)["id"], "ID"))
    names = ("prompts", "completed", "failed", "status", "results", "differences", "tokens")
    return {name: document[name] for name in names}


# --- what is printed ------------------------------------------------------------------------------


Whole = tuple[dict[str, str], Path, Done]


def test_a_file_of_prompts_and_its_report(whole: Whole) -> None:
    env, file, done = whole
    assert (done.code, done.err) == (0, "")
    assert "Over 20 prompts of 8 tokens, `gelu_approx` and `gelu` part in" in " ".join(
        done.out.split()
    )
    again = gelu(env, "sweep", str(file), *FUNCTIONS, "--engine-command", "false")
    assert (again.code, again.out, again.err) == (0, done.out, "")
    assert store_of(env).id in gelu(env, "history", "--format", "json").out


@pytest.mark.parametrize(
    ("words", "beginning"),
    [
        (("--format", "json"), b'{\n  "schema": "gelu-tui.sweep/1"'),
        (("--format", "csv"), b"number,id,category,model,variant"),
        (("--tokens",), b"number,id,category,model,"),
        (("--format", "markdown"), b"#"),
        (("--format", "html"), b"<!doctype html>"),
    ],
)
def test_formats(whole: Whole, words: tuple[str, ...], beginning: bytes) -> None:
    env, file, _ = whole
    into = sweep(env, file, *words, "-o", file.with_name("out"))
    assert (into.code, into.raw) == (0, b"")
    assert file.with_name("out").read_bytes().lower().startswith(beginning)


def test_the_schemas_describe_document_and_file(whole: Whole) -> None:
    env, file, _ = whole
    schema = json.loads(gelu(env, "schema", "sweep").out)
    document = json.loads(sweep(env, file, "--format", "json").out)
    assert schema["title"] == document["schema"]
    described = schema["$defs"]["SweepDocument"]
    assert set(described["required"]) <= set(document) <= set(described["properties"])
    fields = json.loads(gelu(env, "schema", "sweep-file").out)["$defs"]["SweepSettings"]
    assert {"prompts", "models", "margin_pp", "max_tokens"} <= set(fields["properties"])


def test_what_overrides_what(env: dict[str, str], tmp_path: Path) -> None:
    """The command line, the sweep file, the environment, the user's file, the default."""
    config = tmp_path / "config.toml"
    config.write_text('max_tokens = 3\ncontrol = false\nseed = 5\nmodel = "user/model"\n')
    file = tmp_path / "mine.toml"
    file.write_text('prompts = ["one"]\nactivations = ["gelu", "relu"]\nseed = 6\n')
    more = {"GELU_TUI_CONFIG": str(config), "GELU_TUI_SWEEP_MAX_TOKENS": "4"}
    words = ("sweep", str(file), "--engine-command", sweep_engine(), "--format", "json")
    done = gelu({**env, **more}, *words, "--top-k", "7")
    settings = json.loads(done.out)["settings"]
    found = {name: settings[name] for name in ("max_tokens", "seed", "top_k", "models", "control")}
    assert found == {
        "max_tokens": 4,
        "seed": 6,
        "top_k": 7,
        "models": ["user/model"],
        "control": True,
    }
    assert settings["name"] == "mine"
    file.write_text(file.read_text() + "max_tokens = 5\ntop_k = 1\n")
    settings = json.loads(gelu({**env, **more}, *words, "--top-k", "7").out)["settings"]
    assert (settings["max_tokens"], settings["top_k"]) == (5, 7)


def test_stdin_and_builtin_sets(env: dict[str, str]) -> None:
    done = sweep(env, "-", "--format", "json", stdin="空\r\nb\n".encode())
    document = json.loads(done.out)
    assert (document["name"], document["completed"]) == ("stdin", 2)
    notebook = sweep(env, "builtin:notebook", "--model", "demo", "--format", "json")
    document = json.loads(notebook.out)
    assert (document["name"], document["completed"]) == ("notebook", 2)
    assert document["settings"]["models"] == ["demo"]


def test_several_models(env: dict[str, str], prompts: Path) -> None:
    words = ("--model", "a/one", "--model", "b/two", "--format", "json")
    document = json.loads(sweep(env, prompts, *words).out)
    assert [model["id"] for model in document["models"]] == ["a/one", "b/two"]
    pairs = {(r["model"], r["reference_model"]) for r in document["results"]}
    assert pairs == {("a/one", None), ("b/two", None), ("b/two", "a/one")}


# --- what is refused and told ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        (("nothing.txt",), "There is no file nothing.txt.", "Check the path."),
        (
            ("bad.toml",),
            "In bad.toml there is no setting named 'max_token'.",
            "Did you mean 'max_tokens'?",
        ),
        (("utf16.csv",), "utf16.csv is UTF-16, not UTF-8.", "Convert the text to UTF-8 first."),
        (
            ("builtin:fact",),
            "There is no built-in set named 'fact'.",
            "Did you mean 'facts'?",
        ),
        (
            ("set.txt", "--tokens", "--format", "html"),
            "--tokens has no format html.",
            "Add --format csv.",
        ),
        (
            ("set.txt", "--margin-pp", "0"),
            "--margin-pp must be a number above 0, at most 100, not 0.",
            "Accuracies within so many percentage points are equivalent.",
        ),
        (("set.txt", "-o", "no/where.html"), "There is no folder no.", "Make it first."),
    ],
)
def test_refusals(
    env: dict[str, str],
    tmp_path: Path,
    prompts: Path,
    words: tuple[str, ...],
    sentence: str,
    hint: str,
) -> None:
    (tmp_path / "bad.toml").write_text("max_token = 3\n")
    (tmp_path / "utf16.csv").write_bytes("prompt\nx\n".encode("utf-16"))
    assert complaint(gelu(env, "sweep", *words, cwd=tmp_path), 2) == (sentence, hint)


def test_bad_rows_are_in_the_report_and_the_others_run(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "one"}\n{"promt": "x"}\n{"prompt": "it fails"}\n')
    done = sweep(env, file)
    assert done.code == 0
    assert "2 prompts could not be run" in done.out.replace("\n", " ")
    assert "Line 2: it has no prompt: “promt” is misspelt." in " ".join(done.out.split())


def test_nothing_that_can_be_run(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "this fails"}\n')
    done = sweep(env, file)
    assert done.code == 1 and "The prompt is too long." in done.out


def test_a_changed_file_is_another_sweep(env: dict[str, str], prompts: Path) -> None:
    sweep(env, prompts)
    first = store_of(env).id
    prompts.write_text("other\n")
    done = sweep(env, prompts)
    assert done.err == (
        "gelu-tui: The sweep set has changed: the prompts.\n"
        f"  A new one begins; the earlier one is kept as {first}.\n"
    )
    assert "Over 1 prompt" in done.out
    assert gelu(env, "show", first).code == 0


def test_restart(env: dict[str, str], tmp_path: Path) -> None:
    one = tmp_path / "set.txt"
    one.write_text("one\n")
    sweep(env, one)
    folder = store_of(env).folder
    done = sweep(env, one, "--restart")
    kept = f"The sweep began anew; the earlier results are kept as {folder.name}-until-"
    assert done.code == 0 and kept in done.err and "has changed" not in done.err
    assert sorted(len(each.name) for each in folder.parent.iterdir()) == [
        len(folder.name),
        len(f"{folder.name}-until-20260101-000000"),
    ]


# --- interrupted ----------------------------------------------------------------------------------


class Running:
    """A sweep in the background; `env` is its home, `engine` a command or the stand-in's."""

    def __init__(self, env: dict[str, str], *words: str | Path, engine: str = "") -> None:
        words = ("sweep", *map(str, words), *FUNCTIONS, "--format", "json")
        engine = engine or sweep_engine(0.02)
        self.process = Background(env, *map(str, words), "--engine-command", engine)
        self._env = env

    def until(self, count: int) -> None:
        """Wait until so many prompts are finished, or it has ended."""
        while self.process.poll() is None:
            try:
                if store_of(self._env).count().completed >= count:
                    return
            except (ValueError, FileNotFoundError, GeluError):
                pass  # there is none yet, or only its folder
            time.sleep(0.02)

    def engines(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def end(self) -> Done:
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        assert self.process.returncode is not None
        return finished(self.process.returncode, out, err)


def test_ctrl_c_keeps_what_is_finished(env: dict[str, str], prompts: Path) -> None:
    running = Running(env, prompts)
    running.until(2)
    running.process.send_signal(signal.SIGINT)
    done = running.end()
    document = json.loads(done.out)
    kept = document["completed"]
    assert (done.code, document["status"]) == (130, "incomplete")
    assert 2 <= kept < 20
    assert f"Stopped: {kept} of 20 prompts are finished and kept." in done.err
    rest = sweep(env, prompts, "--format", "json")
    assert json.loads(rest.out)["status"] == "completed"


def test_killed_at_any_moment_nothing_is_lost_or_repeated(
    env: dict[str, str], prompts: Path, tmp_path: Path
) -> None:
    """Of the app, the engine, or both, at random moments; then to the end."""
    quiet = statistics(sweep(environment(tmp_path / "quiet"), prompts, "--format", "json"))
    chance, killed = random.Random(4), 0
    for count in sorted(chance.sample(range(1, 18), 5)):
        victims = chance.choice(["app", "engine", "both"])
        # Behind a shell the stand-in is a process, which can be killed.
        shell = shlex.join(["sh", "-c", f"exec {sweep_engine(0.02)}"])
        running = Running(env, prompts, engine=shell)
        running.until(count)
        engines = running.engines()
        killed += victims != "app" and len(engines)
        if victims != "app":
            for each in engines:
                os.kill(each.pid, signal.SIGKILL)
        if victims != "engine":
            running.process.kill()
            running.process.communicate(timeout=TIMEOUT_S)
            assert all(soon_gone(each.pid) for each in engines)
        else:
            assert running.end().code == 0
    assert killed
    last = statistics(sweep(env, prompts, "--format", "json"))
    assert last == quiet


def test_two_processes_share_a_sweep(env: dict[str, str], prompts: Path, tmp_path: Path) -> None:
    quiet = statistics(sweep(environment(tmp_path / "quiet"), prompts, "--format", "json"))
    both = [Running(env, prompts, "--batch", "4") for _ in range(2)]
    ended = [running.end() for running in both]
    assert [done.code for done in ended] == [0, 0]
    assert [statistics(done) for done in ended] == [quiet, quiet]
