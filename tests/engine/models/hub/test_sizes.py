"""What the hub tells of a repository before it is fetched: how much there is, and what it needs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from gelu_tui.client import EngineClient
from gelu_tui.core import protocol as p
from gelu_tui.core.models.memory import Memory
from gelu_tui.engine import device
from gelu_tui.engine.failures import Interrupted
from gelu_tui.engine.models import hub_sizes
from gelu_tui.engine.models.hub_sizes import ask_sizes
from tests.support.fake_hub import REPO, WEIGHTS, FakeHub
from tests.support.fetching import WANTED

OTHER = "maker/there-is-none"


def never() -> bool:
    return False


def told(*models: str) -> dict[str, tuple[int, int]]:
    """Bytes to fetch and bytes of weights, by model."""
    sizes = ask_sizes(models, never).sizes
    return {size.id: (size.download_bytes, size.weight_bytes) for size in sizes}


def test_what_is_told_is_what_is_fetched(hub: FakeHub) -> None:
    whole = sum(len(hub.files[name]) for name in WANTED)
    assert told(REPO) == {REPO: (whole, len(hub.files[WEIGHTS]))}
    assert not hub.asked_for("config.json")  # nothing is fetched for it


@pytest.mark.parametrize(
    ("parameters", "on_cpu", "on_gpu"),
    [
        ({"BF16": 100}, 400, 200),
        ({"F32": 100}, 400, 400),
        ({"U32": 100, "BF16": 10}, 440, 420),
        ({"U32": 100, "F16": 10, "U8": 3}, 443, 423),
    ],
    ids=str,
)
def test_memory_by_the_dtypes(
    hub: FakeHub,
    monkeypatch: pytest.MonkeyPatch,
    parameters: dict[str, int],
    on_cpu: int,
    on_gpu: int,
) -> None:
    hub.parameters = parameters
    for is_gpu, expected in ((False, on_cpu), (True, on_gpu)):
        monkeypatch.setattr(device, "memory", lambda gpu=is_gpu: Memory(9, 9, 9, on_cuda=gpu))
        assert told(REPO)[REPO][1] == expected


@pytest.mark.parametrize("parameters", [{}, {"F4": 8}, {"BF16": "many"}, "none", [1]], ids=str)
def test_counts_that_cannot_be_used_leave_the_sizes_of_the_files(
    hub: FakeHub, parameters: object
) -> None:
    hub.parameters = parameters
    found = told(REPO)
    assert found in ({}, {REPO: (found.get(REPO, (0, 0))[0], len(hub.files[WEIGHTS]))})


def test_what_the_hub_does_not_have_or_refuses_is_left_out(hub: FakeHub) -> None:
    assert told(REPO, OTHER, "no id", REPO).keys() == {REPO}
    hub.api_status = 500
    assert told(REPO) == {}
    hub.api_status, hub.api_body = 0, b"<html>log in</html>"
    assert told(REPO) == {}


def test_offline_nothing_is_asked(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert told(REPO) == {}
    assert hub.requests == []


def test_without_a_hub_nothing_is_told(hub: FakeHub) -> None:
    hub.stop()
    assert told(REPO) == {}


@contextmanager
def silent_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that answers of one model only, until the test is over."""
    over = threading.Event()
    info = SimpleNamespace(id=REPO, siblings=[], safetensors=None)

    def answer(model: str, timeout_s: float) -> object:
        return info if model == REPO else over.wait(60)

    with monkeypatch.context() as patch:
        patch.setattr(hub_sizes, "repository", answer)
        patch.setattr(hub_sizes, "needed_files", lambda _: [])
        try:
            yield
        finally:
            over.set()


def test_a_silent_hub_does_not_keep_the_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub_sizes, "_TIMEOUT_S", 0.5)
    with silent_hub(monkeypatch):
        assert told(REPO, OTHER).keys() == {REPO}


def test_a_cancel_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub_sizes, "_TIMEOUT_S", 600.0)
    with silent_hub(monkeypatch), pytest.raises(Interrupted):
        ask_sizes([OTHER], lambda: True)


async def test_through_the_engine(hub: FakeHub) -> None:
    async with EngineClient() as engine:
        events = [event async for event in engine.ask(p.AskHub((REPO, OTHER)))]
    assert [size.id for event in events for size in event.sizes] == [REPO]  # type: ignore[attr-defined]
