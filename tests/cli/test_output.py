"""What `gelu-tui run` does to its stdout and stderr, whatever they are connected to.

The engine is a stand-in that speaks the real protocol, because the tokens do not matter here.
"""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.text import Text

from gelu_tui.cli.app import export_no_color
from gelu_tui.cli.output import Output
from gelu_tui.core.errors import UsageError
from gelu_tui.core.reports.export import Format
from tests.support.command import COMMAND, TIMEOUT_S, UNSAFE, fake_engine, finished, gelu


@pytest.mark.parametrize("output", ["text", "json", "jsonl"])
def test_hostile_tokens_never_reach_stdout_raw(env: dict[str, str], output: str) -> None:
    engine = fake_engine("hostile")
    done = gelu(
        env, "run", "-a", "gelu,relu,silu", "--engine-command", engine, "--format", output, "x"
    )
    assert done.code == 0
    assert UNSAFE.search(done.out) is None
    assert "owned" in done.out  # the tokens are there, only harmless
    if output == "text":
        assert "[bold]markup[/]" in done.out and "␛[31mred" in done.out


# --- colour, locale, where it goes --------------------------------------------


@pytest.mark.parametrize(
    ("words", "more", "styled", "coloured"),
    [
        ((), {}, False, False),
        (("--color", "always"), {}, True, True),
        (("--color", "always"), {"NO_COLOR": "1"}, True, True),
        (("--color", "never"), {"FORCE_COLOR": "1"}, False, False),
        ((), {"FORCE_COLOR": "1"}, True, True),
        ((), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
    ],
    ids=["pipe", "always", "always over NO_COLOR", "never", "FORCE_COLOR", "NO_COLOR"],
)
def test_colour(
    env: dict[str, str],
    words: tuple[str, ...],
    more: dict[str, str],
    styled: bool,
    coloured: bool,
) -> None:
    engine = fake_engine("five")
    done = gelu(
        {**env, "TERM": "xterm-256color", **more},
        *("run", "-a", "gelu_approx,relu", "--engine-command", engine, *words, "x"),
    )
    assert ("\x1b[" in done.out) == styled
    colours = [
        code for codes in re.findall(r"\x1b\[([\d;]*)m", done.out) for code in codes.split(";")
    ]
    assert any(30 <= int(code or 0) <= 49 for code in colours) == coloured
    assert re.search("►.*◄", done.out)  # the shape is there in any case


@pytest.mark.parametrize("columns", ["0", "1", "40", "80", "200"])
def test_any_width_shows_everything(env: dict[str, str], columns: str) -> None:
    engine = fake_engine("five")
    words = ("-a", "gelu_approx,silu", "--max-tokens", "8", "--engine-command", engine)
    done = gelu({**env, "COLUMNS": columns}, "run", *words, "x")
    assert max(map(cell_len, done.out.splitlines())) <= max(int(columns), 20)
    together = "".join(done.out.split())
    for words_in_order in ("Theskyisbluebecauseofaphenomenon", "The►I◄donotknow", "rawprompt"):
        assert words_in_order in together


ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
LATIN1 = {"PYTHONIOENCODING": "latin-1"}


@pytest.mark.parametrize("locale", [ASCII, LATIN1], ids=["ascii", "latin-1"])
def test_json_is_utf_8_in_any_locale(env: dict[str, str], locale: dict[str, str]) -> None:
    done = gelu(
        {**env, **locale},
        *("run", "--engine-command", fake_engine("five"), "--format", "json", "空 é √"),
    )
    assert json.loads(done.raw.decode("utf-8"))["prompt"] == "空 é √"


@pytest.mark.parametrize("locale", [ASCII, LATIN1], ids=["ascii", "latin-1"])
def test_text_survives_any_locale(env: dict[str, str], locale: dict[str, str]) -> None:
    engine = fake_engine("five")
    done = gelu({**env, **locale}, "run", "-a", "gelu,silu", "--engine-command", engine, "空")
    assert done.code == 0
    assert b"diverges at 1" in done.raw


def test_progress_is_on_stderr_and_goes_away(env: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    engine = fake_engine("slow_load", 0.02)
    process = subprocess.Popen(
        [*COMMAND, "run", "--engine-command", engine, "x"],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    out, _ = process.communicate(timeout=TIMEOUT_S)
    os.close(theirs)
    shown = os.read(ours, 65536)
    os.close(ours)
    assert re.search(
        r"Downloading \d+ % · .* MB/s · \d+ s left · model.safetensors", shown.decode()
    )
    assert shown.endswith(b"\r\x1b[K")
    assert b"Downloading" not in out and b"gelu" in out
    finished(process.returncode, out, b"")


# --- a stdout that does not take it --------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("output", ["text", "json", "jsonl"])
def test_a_full_disk_is_a_sentence(env: dict[str, str], output: str) -> None:
    engine = fake_engine("five")
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [*COMMAND, "run", "--engine-command", engine, "--format", output, "x"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"gelu-tui: The output cannot be written: No space left on device.\n"


def test_a_closed_stdout_is_a_sentence(env: dict[str, str]) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, "activations"],
        env=env,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == b"gelu-tui: The standard output is closed.\n  Use > /dev/null.\n"


@pytest.mark.parametrize("output", ["text", "json", "jsonl"])
def test_a_reader_that_leaves_is_no_error_to_talk_of(env: dict[str, str], output: str) -> None:
    engine = fake_engine("long", 0.0)
    process = subprocess.Popen(
        [*COMMAND, "run", "--engine-command", engine, "--format", output, "x"],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    if output == "jsonl":
        process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(TIMEOUT_S) == 1


@pytest.mark.parametrize(
    ("color", "before", "after"),
    [("auto", "1", "1"), ("auto", "", None), ("auto", None, None), ("always", "1", None),
     ("never", None, "1"), ("never", "", "1")],
)  # fmt: skip
def test_what_the_app_tells_textual_of_no_color(
    color: str, before: str | None, after: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "")  # so that it is as before after the test
    monkeypatch.delenv("NO_COLOR")
    if before is not None:
        monkeypatch.setenv("NO_COLOR", before)
    export_no_color(color)
    assert os.environ.get("NO_COLOR") == after


def test_bytes_are_not_for_a_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    formats = {"parquet": Format[None](lambda _: (b"\xff\x00", b"\r"), (".parquet",), False)}
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(UsageError, match="parquet is not for a terminal") as caught:
        Output("parquet", None, "auto", formats)
    assert caught.value.info.hint == "Add --output FILE.parquet."
    file = tmp_path / "x.parquet"
    Output(None, str(file), "auto", formats).document(None, Text)
    assert file.read_bytes() == b"\xff\x00\r"


def test_bytes_go_through_a_pipe_unchanged(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    formats = {"parquet": Format[None](lambda _: (b"\xff\x00", b"\r\n"), (".parquet",), False)}
    Output("parquet", None, "auto", formats).document(None, Text)
    assert capfdbinary.readouterr().out == b"\xff\x00\r\n"
