"""A stand-in for an engine that finds, fetches and deletes models."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.models import demo
from gelu_tui.core.models.inventory import HubSize
from gelu_tui.core.models.memory import Memory
from tests.support.stand_in import CancelSeen, Died

if TYPE_CHECKING:
    from tests.support.fake_engine import FakeEngine

FETCH_ERRORS = {
    "google": ErrorInfo(
        "gated",
        "google/x is gated: its licence must be accepted before it can be fetched.",
        "Accept it at https://huggingface.co/google/x, then log in with `hf auth login`.",
    ),
    "nobody": ErrorInfo(
        "model_not_found", "The hub has no model nobody/x, or it is private.", "Check the spelling."
    ),
}
GB = 1_000_000_000
MEMORY = Memory(17 * GB, 10 * GB, 10 * GB)
# what its hub tells of two models, and of no other
HUB_SIZES = (
    HubSize("mlx-community/gemma-3-12b-it-4bit", 8_010_000_000, 9_500_000_000),
    HubSize("maker/gemma-mine", 1_230_000_000, 2_340_000_000),
)


async def fetch(engine: FakeEngine, command: p.Fetch) -> None:
    """What becomes of a fetch is in the model's name: google/…, nobody/…, dies/…."""
    owner = command.model.split("/")[0]
    try:
        for part in range(1, 41):
            file = "model.safetensors (2 of 5 files)"
            done, total = part * 6_075_000, 243_000_000
            engine.emit(p.Progress("download", file, done, total, "bytes", 12_500_000.0))
            await engine.sleep(engine.step_s)
            if owner in FETCH_ERRORS:
                engine.emit(p.Failed(FETCH_ERRORS[owner], "fetch"))
                return
            if owner == "dies":
                raise Died
    except CancelSeen:
        engine.emit(p.Cancelled("fetch"))
        return
    engine.emit(p.Fetched(command.model, f"/models/{command.model}"))


def list_models(engine: FakeEngine, command: p.ListModels) -> None:
    """A real search of the disk, on a machine where a model may take 10 GB."""
    from gelu_tui.engine.models.search import find_models

    with own_demo():
        found = find_models(command.folders)
    engine.emit(msgspec.structs.replace(found, memory=MEMORY))


def delete_model(engine: FakeEngine, command: p.DeleteModel) -> None:
    from gelu_tui.engine.models import search

    try:
        with own_demo():
            engine.emit(search.delete_model(command.model, dry_run=command.dry_run))
    except GeluError as error:
        engine.emit(p.Failed(error.info, "delete_model"))


def own_demo() -> ExitStack:
    """The demo's place and whether it is installed, from the environment of the test.

    For the time of a `with`: in memory, the fake engine shares its process with other tests.
    """
    folder = Path(os.environ.get("FAKE_ENGINE_DEMO", "/nowhere"))
    installed = os.environ.get("FAKE_ENGINE_DEMO_INSTALLED", "yes") == "yes"
    stack = ExitStack()
    stack.enter_context(patch.object(demo, "folder", lambda: folder))
    stack.enter_context(patch.object(demo, "installed", lambda: installed))
    return stack
