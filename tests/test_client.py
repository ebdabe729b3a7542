"""The client and its engine: how it starts, and what it is told; also by engines that lie."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gelu_tui import client
from gelu_tui.client import DEFAULT_COMMAND, ChildProcess, EngineClient, EngineDied
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from tests.support.fake_engine import FakeEngine
from tests.support.in_memory import InMemory
from tests.support.odd_engines import ODD, alive, gone, odd, process_of
from tests.support.stand_in import forever


async def refused(engine: EngineClient) -> GeluError:
    """The error with which the start fails; no process may be left."""
    with pytest.raises(GeluError) as caught:
        await engine.start()
    assert not engine.running
    assert "\n" not in caught.value.info.message
    return caught.value


# --- a good life ----------------------------------------------------------------------------------


async def test_an_engine_that_is_killed_while_it_starts_is_not_waited_for() -> None:
    """An interrupt may come when there is a process, and nobody knows it yet."""

    class Interrupted(ChildProcess):
        async def start(self) -> None:
            engine.kill()
            await super().start()

    engine = EngineClient(lambda: Interrupted([sys.executable, ODD, "silent"]))
    error = await refused(engine)
    assert "did not answer" not in error.info.message
    assert not engine.running


async def test_commands_go_and_events_come_until_close() -> None:
    engine = odd("echo")
    async with engine:
        assert engine.hello is not None
        assert engine.running
        await engine.send(p.Load("a\u2028b 空"))
        events = engine.events()
        progress = await anext(events)
        assert isinstance(progress, p.Progress)
        assert p.decode_command(progress.label.encode()) == p.Load("a\u2028b 空", id=1)
        pid = engine.hello.pid
        waiting = asyncio.create_task(anext(events, None))
        await asyncio.sleep(0.05)
    assert await waiting is None  # a close ends the events without an error
    assert not engine.running
    assert not alive(pid)


async def test_a_closed_client_sends_nothing() -> None:
    engine = odd("echo")
    with pytest.raises(EngineDied, match="not running"):
        await engine.send(p.Cancel())
    await engine.start()
    await engine.close()
    with pytest.raises(EngineDied, match="not running"):
        await engine.send(p.Cancel())
    assert [event async for event in engine.events()] == []
    await engine.close()


async def test_a_client_can_start_again() -> None:
    engine = odd("echo")
    first = await engine.start()
    await engine.close()
    second = await engine.start()
    assert second.pid != first.pid
    await engine.send(p.Cancel())
    assert isinstance(await anext(engine.events()), p.Progress)
    await engine.close()


async def test_a_command_line_is_split_as_a_shell_would(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    script = folder / "engine.py"
    script.symlink_to(ODD)
    async with EngineClient(f"{sys.executable} '{script}' echo") as engine:
        assert engine.running


def test_the_default_engine_does_not_import_from_the_working_directory() -> None:
    python, *rest = DEFAULT_COMMAND
    assert python == sys.executable
    assert rest == ["-P", "-m", "gelu_tui.engine"]


async def test_the_default_engine_ignores_a_folder_named_like_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mlx", "msgspec", "gelu_tui"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('imported from here')")
    monkeypatch.chdir(tmp_path)
    async with EngineClient() as engine:
        assert engine.hello is not None
        assert engine.hello.protocol == p.PROTOCOL_VERSION


async def test_talk_on_stderr_neither_blocks_nor_piles_up() -> None:
    engine = odd("talks_on_stderr")
    async with engine:
        assert isinstance(await asyncio.wait_for(anext(engine.events()), 60), p.Progress)
    assert isinstance(engine._transport, ChildProcess)
    assert sum(map(len, engine._transport._stderr_lines)) <= 5 * 200


# --- answers --------------------------------------------------------------------------------------


ERROR = ErrorInfo("internal", "It failed.", "")
LOADED = p.Loaded(
    p.ModelInfo("demo", "gemma3_text", "float32", None, "gelu_approx"),
    "/models/demo", "cpu", None, {}, 0.1, 32768, False, 1,
)  # fmt: skip


class Scripted(FakeEngine):
    """Writes these events once it has been asked for something."""

    def __init__(self, *events: p.Event) -> None:
        super().__init__()
        self.script = events

    async def serve(self, write: Callable[[bytes], object]) -> None:
        write(p.encode(p.Hello(p.PROTOCOL_VERSION, {}, 1, "engine.log")))
        await self.commands.get()
        for event in self.script:
            write(p.encode(event))
        await forever()


async def answers(*events: p.Event) -> list[p.Event]:
    """What `ask` yields of these events, for a load with id 1 and a fetch with id 2."""
    async with EngineClient(lambda: InMemory(Scripted(*events))) as engine:
        async with asyncio.timeout(30):
            return [event async for event in engine.ask(p.Load("demo"), p.Fetch("x"))]


async def test_answers_are_those_of_the_commands_up_to_the_last() -> None:
    mine = [msgspec.structs.replace(LOADED, id=1), p.Fetched("x", "/x", id=2)]
    assert await answers(*mine, p.Cancelled("fetch", id=2)) == mine


async def test_a_late_answer_to_another_command_is_not_taken_for_ones_own() -> None:
    late = [
        p.Failed(ERROR, "fetch", id=9),
        p.Cancelled("fetch", id=9),
        p.Fetched("old", "/old", id=9),
    ]
    fetched = p.Fetched("x", "/x", id=2)
    assert await answers(*late, fetched) == [fetched]


@pytest.mark.parametrize("number", [1, 2])
async def test_a_command_that_fails_or_is_cancelled_ends_the_answers(number: int) -> None:
    for end in (p.Failed(ERROR, "x", id=number), p.Cancelled("x", id=number)):
        assert await answers(end, p.Fetched("x", "/x", id=2)) == [end]


async def test_a_failure_that_belongs_to_no_command_ends_the_answers_too() -> None:
    assert await answers(p.Failed(ERROR)) == [p.Failed(ERROR)]


async def test_every_command_has_an_id_of_its_own() -> None:
    async with EngineClient(lambda: InMemory(FakeEngine())) as engine:
        assert [await engine.send(p.Fetch("x")), await engine.send(p.Cancel())] == [1, 2]


# --- the handshake --------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", "   ", []])
async def test_no_command(command: str | list[str]) -> None:
    error = await refused(EngineClient(command))
    assert "is empty" in error.info.message
    assert "--engine-command" in error.info.hint


@pytest.mark.parametrize(
    "command", ["no-such-program --x", "/", "'unbalanced", "a\0b", ["/etc/hostname"]]
)
async def test_a_command_that_cannot_be_started(command: str | list[str]) -> None:
    error = await refused(EngineClient(command))
    assert error.info.kind == "engine_died"
    assert "cannot be started" in error.info.message
    assert "\0" not in error.info.message
    assert "--engine-command" in error.info.hint


async def test_another_version() -> None:
    error = await refused(odd("wrong_version"))
    assert error.info.kind == "protocol"
    assert f"version 99, this app {p.PROTOCOL_VERSION}" in error.info.message


@pytest.mark.parametrize("what", ["no_hello", "garbage_only"])
async def test_something_else_than_a_handshake(what: str) -> None:
    assert (await refused(odd(what))).info.kind == "protocol"


async def test_what_a_shell_prints_before_is_skipped() -> None:
    async with odd("garbage_first") as engine:
        await engine.send(p.Cancel())
        assert isinstance(await anext(engine.events()), p.Progress)


async def test_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_HELLO_TIMEOUT_S", 0.3)
    error = await refused(odd("silent"))
    assert "did not answer within 0.3 seconds" in error.info.message


async def test_dying_at_once_tells_the_last_words() -> None:
    error = await refused(odd("dies_at_once"))
    assert error.info.kind == "engine_died"
    assert "exit code 1" in error.info.message
    assert "ModuleNotFoundError: No module named ␛[31m'mlx'" in error.info.message


async def test_a_start_that_is_cancelled_leaves_no_process() -> None:
    engine = odd("silent")
    starting = asyncio.create_task(engine.start())
    while not engine.running:
        assert not starting.done()
        await asyncio.sleep(0.01)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert await gone(process_of(engine).pid)
