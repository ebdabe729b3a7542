"""Fetching without loading, through the engine's own process."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from gelu_tui.client import EngineClient, EngineDied
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.tui.engine_link.session import ask
from tests.support.commands import comparing
from tests.support.fake_hub import REPO, WEIGHTS, FakeHub, tiny_repo
from tests.support.fetching import assert_whole, partials
from tests.support.model_folders import model_folder


@pytest.fixture(autouse=True)
def in_the_environment(hub: FakeHub) -> None:
    """The engine reads where the hub and its cache are from its environment."""


async def outcome(engine: EngineClient, seen: list[p.Progress]) -> p.Event:
    """The event with which the fetch ends; progress is put into `seen`."""
    async for event in engine.events():
        if not isinstance(event, p.Progress):
            return event
        seen.append(event)
    raise AssertionError("the engine ended")


async def test_fetch_brings_the_model_and_loads_nothing(hub: FakeHub, cache: Path) -> None:
    hub.files = tiny_repo(22_000_000)  # the library reads 10 MiB at a time
    hub.bytes_per_second = 20_000_000
    seen: list[p.Progress] = []
    async with EngineClient() as engine:
        await engine.send(p.Fetch(REPO))
        fetched = await outcome(engine, seen)
        await engine.send(comparing("Why?", ("gelu",)))
        refused = await outcome(engine, [])
    assert isinstance(fetched, p.Fetched), fetched
    assert fetched.model == REPO
    assert_whole(Path(fetched.folder), hub)
    assert fetched.folder.startswith(str(cache))
    assert seen[-1].done == seen[-1].total > 0
    assert any(0 < event.done < event.total and event.rate > 0 for event in seen)
    assert isinstance(refused, p.Failed)
    assert refused.error.kind == "no_model"


async def test_fetch_is_cancelled_and_goes_on_in_another_engine(hub: FakeHub) -> None:
    hub.silent = True
    async with EngineClient() as engine:
        await engine.send(p.Fetch(REPO))
        await asyncio.to_thread(hub.wait_until_asked_for, WEIGHTS)
        await engine.send(p.Cancel())
        assert await outcome(engine, []) == p.Cancelled("fetch", id=1)
    hub.silent = False
    async with EngineClient() as engine:
        await engine.send(p.Fetch(REPO))
        fetched = await outcome(engine, [])
    assert isinstance(fetched, p.Fetched), fetched
    assert_whole(Path(fetched.folder), hub)
    assert len(hub.asked_for(WEIGHTS)) == 2


async def test_what_the_app_stops_leaves_no_file_that_is_not_whole(
    hub: FakeHub, cache: Path
) -> None:
    hub.silent = True
    request = asyncio.create_task(ask(p.Fetch(REPO), p.Fetched))
    await asyncio.to_thread(hub.wait_until_asked_for, WEIGHTS)
    assert partials(cache)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert not partials(cache)


async def test_what_is_refused_what_is_there_and_then_another(
    hub: FakeHub, cache: Path, tmp_path: Path
) -> None:
    async def fetched(model: str) -> p.Event:
        number = await engine.send(p.Fetch(model))
        event = await outcome(engine, [])
        assert event.id == number
        return event

    async def refused() -> ErrorInfo:
        event = await fetched(REPO)
        assert isinstance(event, p.Failed) and event.command == "fetch"
        return event.error

    config = json.loads(hub.files["config.json"])
    mine = str(model_folder(tmp_path / "mine"))
    async with EngineClient() as engine:
        hub.api_status, hub.error_code = 403, "GatedRepo"
        gated = await refused()
        hub.api_status = 0
        hub.files["config.json"] = json.dumps({"model_type": "llama"}).encode()
        other_family = await refused()
        assert not hub.asked_for(WEIGHTS)
        shutil.rmtree(cache)
        hub.files["config.json"] = json.dumps({**config, "hidden_size": 128}).encode()
        does_not_fit = await refused()
        assert await fetched(mine) == p.Fetched(mine, mine, id=4)
    assert gated.kind == "gated"
    assert f"https://huggingface.co/{REPO}" in gated.hint
    assert "hf auth login" in gated.hint
    assert other_family.kind == "not_served"
    assert "do not fit its config.json" in does_not_fit.message


async def test_an_engine_that_is_killed_while_it_fetches(hub: FakeHub) -> None:
    hub.silent = True
    async with EngineClient() as engine:
        await engine.send(p.Fetch(REPO))
        await asyncio.to_thread(hub.wait_until_asked_for, WEIGHTS)
        assert engine.hello is not None
        os.kill(engine.hello.pid, signal.SIGKILL)
        with pytest.raises(EngineDied) as caught:
            await outcome(engine, [])
    assert "SIGKILL" in caught.value.info.message
    assert "smaller model" not in caught.value.info.hint  # none is in memory
    assert "arrived whole are kept" in caught.value.info.hint
