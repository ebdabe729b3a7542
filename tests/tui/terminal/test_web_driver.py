"""The app behind a server that shows it in a browser, which talks to it as textual-serve does."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyte
import pytest

from gelu_tui.core.runs.history import History
from tests.support.command import TIMEOUT_S, fake_engine, soon_gone
from tests.support.engine_process import environment
from tests.support.shown import FORKED, READY

COLUMNS, ROWS = 100, 30


class Server:
    """A server with one browser; as a browser's terminal it says where its cursor is."""

    def __init__(self, home: Path) -> None:
        env = environment(home, TEXTUAL_DRIVER="textual.drivers.web_driver:WebDriver",
                          TEXTUAL_COLOR_SYSTEM="truecolor", TEXTUAL_FPS="60", TERM="dumb",
                          COLUMNS=str(COLUMNS), ROWS=str(ROWS))  # fmt: skip
        words = [sys.executable, "-m", "gelu_tui", "-a", "gelu_approx,silu"]
        words += ["--engine-command", fake_engine("long", 0.02)]
        pipe = subprocess.PIPE
        self.app = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, env=env)
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.screen.write_process_input = lambda report: self.send("D", report)
        self._stream = pyte.ByteStream(self.screen)
        self._packets = self._read()
        self.meta: list[dict[str, object]] = []

    def send(self, kind: str, payload: str) -> None:
        data = payload.encode()
        assert self.app.stdin is not None
        if not self.app.stdin.closed:
            with contextlib.suppress(BrokenPipeError):  # the app may have ended
                self.app.stdin.write(kind.encode() + len(data).to_bytes(4, "big") + data)
                self.app.stdin.flush()

    def _read(self) -> Iterator[tuple[bytes, bytes]]:
        out = self.app.stdout
        assert out is not None and out.readline() == b"__GANGLION__\n"
        while head := out.read(5):
            yield head[:1], out.read(int.from_bytes(head[1:], "big"))

    def show_next(self) -> bool:
        """Take the next packet; False at the end."""
        kind, payload = next(self._packets, (b"", b""))
        if kind == b"D":
            self._stream.feed(payload)
        elif kind == b"M":
            self.meta.append(json.loads(payload))
        return bool(kind)

    def until_shown(self, text: str) -> None:
        while text not in "\n".join(self.screen.display):
            assert self.show_next(), f"the app ended before '{text}' was shown"

    def engine(self) -> int:
        (child,) = psutil.Process(self.app.pid).children()
        return child.pid


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.app.kill()
    server.app.wait()
    for pipe in (server.app.stdin, server.app.stdout, server.app.stderr):
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


def run(server: Server) -> int:
    """Type a prompt and run it, as far as its fork; the engine's process."""
    server.until_shown(READY)
    server.send("D", "Why?\r")
    server.until_shown(FORKED)
    return server.engine()


def test_it_runs_is_resized_and_quits(server: Server) -> None:
    engine = run(server)
    server.screen.resize(24, 80)
    server.send("M", json.dumps({"type": "resize", "width": 80, "height": 24}))
    server.send("D", "\x11")  # Ctrl+Q
    while server.show_next():
        pass
    assert server.app.wait(TIMEOUT_S) == 0 and soon_gone(engine)
    assert {"type": "exit"} in server.meta


@pytest.mark.parametrize("how", ["page closed", "stopped", "killed"])
def test_it_ends_with_its_page_or_its_server_and_the_run_is_saved(
    server: Server, tmp_path: Path, how: str
) -> None:
    engine = run(server)
    assert server.app.stdin is not None and server.app.stdout is not None
    if how == "killed":
        server.app.stdout.close()
    if how == "page closed":
        server.send("M", json.dumps({"type": "quit"}))
    else:
        server.app.stdin.close()
    while how != "killed" and server.show_next():
        pass
    assert server.app.wait(TIMEOUT_S) == 129 and soon_gone(engine)
    assert server.app.stderr is not None and server.app.stderr.read() == b""
    history = next(tmp_path.rglob("history.sqlite"))
    assert History(history).load(1).status == "cancelled"
