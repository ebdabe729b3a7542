"""The client against engines that die, hang and refuse to go: no process is left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading

import pytest

from gelu_tui import client
from gelu_tui.client import EngineClient, EngineDied
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from tests.support.commands import comparing
from tests.support.odd_engines import alive, gone, odd, process_of


async def ends(engine: EngineClient) -> GeluError:
    """The error with which the events end after a good handshake."""
    async with engine:
        with pytest.raises(GeluError) as caught:
            async for _ in engine.events():
                pass
    assert not engine.running
    return caught.value


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
