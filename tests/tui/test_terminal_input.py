"""What a terminal may send, to the app in a pseudo-terminal; every end leaves nothing behind."""

from __future__ import annotations

import random
import signal
import sys
import time
from pathlib import Path

import pytest
from textual.css.query import NoMatches

from gelu_tui.core.runs.history import History
from tests.support import shown
from tests.support.app_terminal import opened, saved, terminal
from tests.support.driving import fake_engine, ready
from tests.support.terminal import Terminal
from tests.support.terminal_bytes import SEQUENCES


def quit_in_order(opened: Terminal) -> None:
    opened.send(shown.QUIT)
    assert opened.wait() == 0
    assert opened.left_behind() == []
    assert opened.unread() == b""


def prompts(home: Path) -> list[str]:
    """The prompts that were run, the oldest first."""
    runs = [(file, run) for file in home.rglob("history.sqlite") for run in reversed(saved(home))]
    return [History(file).load(run.id).prompt for file, run in runs]


def test_no_bytes_end_the_app(tmp_path: Path) -> None:
    choice = random.Random(16)
    with terminal(fake_engine("five"), tmp_path) as it:
        it.until_shown("ready ·")
        for sequence in SEQUENCES:
            if sequence == b"\x1b[200~":  # all that follows would be pasted
                continue
            at = choice.randrange(len(sequence))
            garbage = bytes(choice.choices((0x1B, 0x5B, 0x3B, 0x31, 0x75, 0xFF), k=6))
            it.send(sequence + garbage + sequence[:at] + b"\x18\x1b[201~")
        quit_in_order(it)  # keys are obeyed in their order: this is the last one


def test_a_key_with_text_is_a_key(tmp_path: Path) -> None:
    with terminal(fake_engine("long", 0.05), tmp_path, prompt="x", max_tokens=2000) as it:
        it.until_shown(shown.LATER)
        it.send(b"\x1b[103;5;103u")
        it.until_shown("stopped")
        assert it.text.splitlines()[0].strip(" █") == "x", "nothing was typed"
        quit_in_order(it)


def test_a_paste_with_escapes_in_it_runs_nothing(tmp_path: Path) -> None:
    with terminal(fake_engine("five"), tmp_path) as it:
        it.until_shown("ready ·")
        it.send(b"\x1b[200~one\x1b[31mred\rtwo\x1b[201~")
        it.until_shown("two")
        assert "one␛[31mred" in it.text.splitlines()[0]
        assert "two" in it.text.splitlines()[1]
        it.send(" end\r")
        it.until(lambda: prompts(tmp_path), "a run is saved")
        assert prompts(tmp_path) == ["one\x1b[31mred\ntwo end"]
        quit_in_order(it)


@pytest.mark.parametrize("length", [10, 30_000])
def test_line_breaks_of_a_paste_do_not_depend_on_its_length(length: int, tmp_path: Path) -> None:
    with terminal(fake_engine("five"), tmp_path) as it:
        it.until_shown("ready ·")
        it.send(b"\x1b[200~" + b"a" * length + b"\rb\r\nc\nd\x1b[201~\r")
        it.until(lambda: prompts(tmp_path), "a run is saved")
        assert prompts(tmp_path) == ["a" * length + "\nb\nc\nd"]
        quit_in_order(it)


def test_enter_runs_what_stood_there_at_that_key(tmp_path: Path) -> None:
    with terminal(fake_engine("long", 0.05), tmp_path, max_tokens=2000) as it:
        it.until_shown("ready ·")
        it.send("first\rsecond")
        it.until_shown(shown.LATER)
        it.until_shown("firstsecond")
        it.send("\r")
        it.until_shown("Enter again replaces it")
        it.send("\rthird")
        it.until(lambda: prompts(tmp_path) == ["first"], "the first run is saved")
        it.until_shown("firstsecondthird")
        it.until_shown("The previous run was stopped for this one")
        it.until_shown(shown.LATER)
        it.send("\x07")
        it.until(lambda: prompts(tmp_path) == ["first", "firstsecond"], "the second one too")
        quit_in_order(it)


@pytest.mark.parametrize("kind", ["dumb", "Unknown"])
def test_a_terminal_without_a_screen_gets_a_sentence(kind: str, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "gelu_tui", "app", "--engine-command", fake_engine("five"))
    with opened(command, tmp_path, (80, 24), {"TERM": kind}) as it:
        assert it.wait() == 2
        said = " ".join(it.text.split())
        assert f"The app needs a terminal with a screen, and TERM is '{kind}'." in said
        assert "gelu-tui run PROMPT" in said
        assert b"\x1b[?" not in it.output, "no mode was set"


# --- the end ----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [shown.QUIT, signal.SIGTERM])
def test_answers_that_come_late_do_not_reach_the_shell(
    end: str | signal.Signals, tmp_path: Path
) -> None:
    with terminal(fake_engine("long", 0.05), tmp_path, prompt="x", max_tokens=2000) as it:
        asked: list[str] = []
        it.answer = asked.append  # type: ignore[method-assign]  # as on a slow line: later
        it.until(lambda: asked, "a question")
        if isinstance(end, str):
            it.send(end)
        else:
            it.process.send_signal(end)
        it.until(lambda: b"\x1b[?1049l" in it.output, "the end has begun")
        it.until(lambda: len(asked) >= 2, "the last question")
        assert it.process.poll() is None, "it waits"
        for answer in asked:
            it.send(answer)
        it.answer = it.send  # type: ignore[method-assign]
        assert it.wait() == (0 if isinstance(end, str) else 143)
        assert it.unread() == b""
        assert it.left_behind() == []


def test_a_terminal_that_never_answers_is_not_waited_for(tmp_path: Path) -> None:
    before = (
        "from gelu_tui.tui.terminal import driver\n"
        "driver._MUTE_S = driver._MUTE_TO_MODES_S = 0\n"
        "driver._ANSWER_S = 1000\n"
        "from gelu_tui.tui.terminal import shutdown\n"
        "shutdown._GRACE_S = 1000\n"
    )
    with terminal(fake_engine("five"), tmp_path, prompt="x", before=before) as it:
        it.answer = lambda _: None  # type: ignore[method-assign]
        it.until_shown("Sunlight")  # it stays when the run has ended
        quit_in_order(it)


def test_a_fault_in_the_input_thread_is_no_success(tmp_path: Path) -> None:
    before = (
        "from gelu_tui.tui.terminal.terminal_input import TerminalInput\n"
        "TerminalInput.tick = lambda self: 1 / 0\n"
    )
    with terminal(fake_engine("five"), tmp_path, before=before) as it:
        assert it.wait() == 1
        assert it.left_behind() == []
        said = it.output.decode().rpartition("\x1b[?1049l")[2]
        assert "gelu-tui ended because of a fault of its own." in said
        assert "Traceback" not in said


def test_an_app_that_nobody_has_told_to_end_has_failed(tmp_path: Path) -> None:
    before = (
        "from gelu_tui.tui.app import GeluApp\n"
        "GeluApp._open = lambda self: self.panic('something of the library')\n"
    )
    with terminal(fake_engine("five"), tmp_path, before=before) as it:
        assert it.wait() == 1
        assert it.left_behind() == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, shown.QUIT])
def test_an_end_in_the_first_tenth_of_a_second(how: signal.Signals | str, tmp_path: Path) -> None:
    choice = random.Random(str(how))
    for delay_s in (0.0, choice.uniform(0, 0.2)):
        with terminal(fake_engine("five"), tmp_path, prompt="x") as it:
            it.until(lambda it=it: b"\x1b[?1049h" in it.output, "it takes the screen")
            time.sleep(delay_s)
            if isinstance(how, str):
                it.send(how)
            else:
                it.process.send_signal(how)
            assert it.wait() == (0 if isinstance(how, str) else 128 + how)
            assert it.left_behind() == []
            assert it.unread() == b""
            assert b"fault of its own" not in it.output


def test_a_signal_before_the_screen_is_taken_leaves_it_alone(tmp_path: Path) -> None:
    before = (
        "import os, signal\n"
        "from gelu_tui.tui.app import GeluApp\n"
        "run = GeluApp.run\n"
        "GeluApp.run = lambda self: (os.kill(os.getpid(), signal.SIGTERM), run(self))\n"
    )
    with terminal(fake_engine("five"), tmp_path, before=before) as it:
        assert it.wait() == 143
        assert b"\x1b[?1049h" not in it.output
        assert it.left_behind() == []


def test_an_app_that_hangs_gives_the_terminal_back(tmp_path: Path) -> None:
    before = (
        "import time\n"
        "from gelu_tui.tui.app import GeluApp\n"
        "GeluApp.action_redraw = lambda self: time.sleep(1000)\n"
        "from gelu_tui.tui.terminal import shutdown\n"
        "shutdown._GRACE_S = 0.2\n"
    )
    with terminal(fake_engine("five"), tmp_path, before=before) as it:
        it.until_shown("ready ·")
        it.send("\x0c")
        it.process.send_signal(signal.SIGTERM)
        assert it.wait() == 143
        assert it.left_behind() == []


async def test_widgets_that_are_gone_at_the_end_are_no_fault() -> None:
    async with ready() as it:
        it.app.exit()
        it.app._handle_exception(NoMatches("a message that waited for a closed screen"))
        assert it.app.return_code == 0
