"""The hub through the engine's own process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from gelu_tui.client import EngineClient
from gelu_tui.core import protocol as p
from tests.support import tiny_models
from tests.support.fake_hub import REPO, WEIGHTS, FakeHub


async def outcome(engine: EngineClient, seen: list[p.Event]) -> p.Event:
    """The event with which the load ends; the others are put into `seen`."""
    async for event in engine.events():
        if isinstance(event, p.Loaded | p.Failed | p.Cancelled):
            return event
        seen.append(event)
    raise AssertionError("the engine ended")


async def test_the_engine_loads_cancels_and_loads_again(hub: FakeHub, tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path / "made", "gemma3_text")
    hub.files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.silent = True
    async with EngineClient() as engine:
        await engine.send(p.Load(REPO))
        await asyncio.to_thread(hub.wait_until_asked_for, WEIGHTS)
        await engine.send(p.Cancel())
        assert await outcome(engine, []) == p.Cancelled("load", id=1)
        hub.silent = False
        hub.requests.clear()
        seen: list[p.Event] = []
        await engine.send(p.Load(REPO))
        loaded = await outcome(engine, seen)
    assert isinstance(loaded, p.Loaded), loaded
    assert loaded.model.id == REPO
    assert any(isinstance(e, p.Progress) and e.done == e.total > 0 for e in seen)
    assert not hub.asked_for("config.json")  # it was whole


async def test_the_engine_refuses_another_family_before_its_weights(hub: FakeHub) -> None:
    hub.files["config.json"] = json.dumps({"model_type": "llama"}).encode()
    async with EngineClient() as engine:
        await engine.send(p.Load(REPO))
        failed = await outcome(engine, [])
    assert isinstance(failed, p.Failed)
    assert "'llama'" in failed.error.message
    assert not hub.asked_for(WEIGHTS)
