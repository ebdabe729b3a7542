"""Calling `fetch_model`, and what its results are held against."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.engine.hub import fetch_model
from tests.fake_hub import REPO, WEIGHTS, FakeHub

WANTED = {"config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", WEIGHTS}


class Reports(list[p.Progress]):
    """Collects progress, and the threads it came on."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def __call__(self, progress: p.Progress) -> None:
        self.threads.add(threading.get_ident())
        self.append(progress)


def fetch(
    repo_id: str = REPO,
    report: Callable[[p.Progress], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
    check_config: Callable[[dict[str, object]], object] | None = None,
) -> Path:
    return fetch_model(repo_id, report, cancelled, check_config)


def refused(repo_id: str = REPO) -> GeluError:
    with pytest.raises(GeluError) as caught:
        fetch(repo_id)
    info = caught.value.info
    assert "\n" not in info.message + info.hint
    assert info.message.endswith(".")
    assert info.hint.endswith(".")
    return caught.value


def partials(cache: Path) -> list[Path]:
    return sorted(cache.glob("models--*/blobs/*.incomplete"))


def assert_whole(folder: Path, hub: FakeHub) -> None:
    assert {path.name for path in folder.iterdir()} == WANTED
    for name in WANTED:
        assert (folder / name).read_bytes() == hub.files[name]
