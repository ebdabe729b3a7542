"""Fetching without loading, through the engine's own process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from gelu_tui.client import EngineClient, EngineDied
from gelu_tui.core import protocol as p
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
    hub.files = tiny_repo(30_000_000)  # the library reads 10 MiB at a time
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


async def test_a_gated_repository_says_where_to_accept_and_how_to_log_in(hub: FakeHub) -> None:
    hub.api_status, hub.error_code = 403, "GatedRepo"
    async with EngineClient() as engine:
        await engine.send(p.Fetch(REPO))
        failed = await outcome(engine, [])
    assert isinstance(failed, p.Failed)
    assert failed.command == "fetch"
    assert failed.error.kind == "gated"
    assert f"https://huggingface.co/{REPO}" in failed.error.hint
    assert "hf auth login" in failed.error.hint


async def test_another_family_is_refused_before_its_weights(hub: FakeHub) -> None:
    hub.files["config.json"] = json.dumps({"model_type": "llama"}).encode()
    async with EngineClient() as engine:
        await engine.send(p.Fetch(REPO))
        failed = await outcome(engine, [])
    assert isinstance(failed, p.Failed)
    assert failed.error.kind == "not_served"
    assert not hub.asked_for(WEIGHTS)


async def test_a_folder_is_already_there(tmp_path: Path) -> None:
    folder = str(model_folder(tmp_path / "mine"))
    async with EngineClient() as engine:
        await engine.send(p.Fetch(folder))
        assert await outcome(engine, []) == p.Fetched(folder, folder, id=1)


async def test_what_was_fetched_and_cannot_be_loaded_is_told(hub: FakeHub) -> None:
    config = json.loads(hub.files["config.json"])
    hub.files["config.json"] = json.dumps({**config, "hidden_size": 128}).encode()
    async with EngineClient() as engine:
        await engine.send(p.Fetch(REPO))
        failed = await outcome(engine, [])
    assert isinstance(failed, p.Failed)
    assert "do not fit its config.json" in failed.error.message


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
