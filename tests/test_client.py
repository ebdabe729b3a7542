"""The client against engines that die, hang, lie and refuse to go."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gelu_tui import client
from gelu_tui.client import DEFAULT_COMMAND, ChildProcess, EngineClient, EngineDied
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from tests.support.commands import comparing
from tests.support.fake_engine import FakeEngine, forever
from tests.support.in_memory import InMemory

ODD = str(Path(__file__).parent / "support" / "odd_engine.py")


def odd(what: str) -> EngineClient:
    return EngineClient([sys.executable, ODD, what])


def process_of(engine: EngineClient) -> asyncio.subprocess.Process:
    assert isinstance(engine._transport, ChildProcess)
    assert engine._transport._process is not None
    return engine._transport._process


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits for its parent to notice does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z")


async def gone(pid: int) -> bool:
    """Whether a process ends, in whatever time a loaded machine takes for it."""
    deadline = time.monotonic() + 30  # those of `odd_engine` would live for a minute
    while alive(pid):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


async def refused(engine: EngineClient) -> GeluError:
    """The error with which the start fails; no process may be left."""
    with pytest.raises(GeluError) as caught:
        await engine.start()
    assert not engine.running
    assert "\n" not in caught.value.info.message
    return caught.value


async def ends(engine: EngineClient) -> GeluError:
    """The error with which the events end after a good handshake."""
    async with engine:
        with pytest.raises(GeluError) as caught:
            async for _ in engine.events():
                pass
    assert not engine.running
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


# --- the end --------------------------------------------------------------------------------------


async def test_an_exit_code_and_the_log_are_told() -> None:
    error = await ends(odd("dies_quietly"))
    assert error.info.kind == "engine_died"
    assert "exit code 7" in error.info.message
    assert "/the/engine.log" in error.info.hint


async def test_a_kill_hints_at_memory() -> None:
    error = await ends(odd("killed"))
    assert "SIGKILL" in error.info.message
    assert "memory" in error.info.hint


async def test_an_abort_tells_what_was_said_before() -> None:
    error = await ends(odd("aborts"))
    assert "SIGABRT" in error.info.message
    assert "Insufficient Memory" in error.info.message


async def test_a_garbage_line() -> None:
    error = await ends(odd("prints_garbage"))
    assert error.info.kind == "protocol"
    assert "Fetching 7 files" in error.info.message


async def test_a_line_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_LINE_LIMIT", 100_000)
    error = await ends(odd("huge_line"))
    assert error.info.kind == "protocol"
    assert "far too long" in error.info.message


async def test_a_long_line_is_no_trouble() -> None:
    async with odd("huge_line") as engine:
        event = await anext(engine.events())
        assert isinstance(event, p.Progress)
        assert len(event.label) == 300_000


async def test_half_a_line_is_a_death() -> None:
    assert "exit code 0" in (await ends(odd("half_a_line"))).info.message


async def test_a_closed_output_is_a_death_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_END_S", 0.1)
    monkeypatch.setattr(client, "_LAST_WORDS_S", 0.1)
    assert "closed its output" in (await ends(odd("closes_stdout"))).info.message


async def test_sending_to_a_dead_engine() -> None:
    async with odd("dies_quietly") as engine:
        await process_of(engine).wait()
        with pytest.raises(EngineDied, match="exit code 7"):
            for _ in range(5):
                await engine.send(comparing("x" * 100_000, ("gelu",)))


async def test_sending_a_megabyte_to_an_engine_that_hangs_does_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "_CLOSE_GRACE_S", 0.1)
    async with odd("deaf") as engine:
        async with asyncio.timeout(20):
            await engine.send(comparing("x" * 1_000_000, ("gelu",)))
            await engine.send(p.Cancel())


# --- no process is left ---------------------------------------------------------------------------


async def started_stubborn() -> tuple[EngineClient, int, int]:
    engine = odd("stubborn")
    hello = await engine.start()
    child = int(hello.versions["child"])
    assert alive(hello.pid)
    assert alive(child)
    return engine, hello.pid, child


async def test_close_ends_what_ignores_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_CLOSE_GRACE_S", 0.2)
    engine, pid, child = await started_stubborn()
    await engine.close()
    assert not engine.running
    assert await gone(pid)
    assert await gone(child)


async def test_a_close_that_is_cancelled_ends_it_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "_CLOSE_GRACE_S", 60)
    engine, pid, child = await started_stubborn()
    closing = asyncio.create_task(engine.close())
    await asyncio.sleep(0)  # it has begun, and waits for the engine
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert await gone(pid)
    assert await gone(child)


async def test_kill_does_not_wait() -> None:
    engine, pid, child = await started_stubborn()
    engine.kill()
    assert await gone(pid)
    assert await gone(child)
    await engine.close()


async def test_a_polite_engine_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_CLOSE_GRACE_S", 60)
    engine = odd("echo")
    await engine.start()
    await engine.close()
    assert process_of(engine).returncode == 0


async def test_the_engine_does_not_get_the_apps_ctrl_c() -> None:
    async with odd("echo") as engine:
        assert engine.hello is not None
        assert os.getpgid(engine.hello.pid) != os.getpgid(0)
        assert os.getsid(engine.hello.pid) == engine.hello.pid
        os.kill(engine.hello.pid, signal.SIGTERM)
        with pytest.raises(EngineDied, match="SIGTERM"):
            await anext(engine.events())


def test_a_close_that_is_cut_short_leaves_nothing_to_the_garbage_collector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: complaints.append(error.exc_value))

    async def leave() -> None:
        engine = odd("stubborn")
        await engine.start()
        closing = asyncio.create_task(engine.close())
        await asyncio.sleep(0)
        closing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await closing

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()
    for thread in threading.enumerate():
        if thread.name.startswith("asyncio-waitpid"):  # it holds the transport until the end
            thread.join()
    gc.collect()
    assert complaints == []
