"""Fetching from the fake hub, and what the results are held against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.engine.models.hub import download, fetch_model
from tests.support.fake_hub import REPO, WEIGHTS, FakeHub

WANTED = {
    "config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
    "additional_chat_templates/tools.jinja", WEIGHTS,
}  # fmt: skip


def fetch(
    repo_id: str = REPO,
    report: Callable[[p.Progress], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Path:
    """Fetch as the engine does, in a process that reads the environment."""
    return fetch_model(repo_id, report, cancelled)


def fetched() -> Path:
    """Fetch in this process: for where it is not tested that another one does it."""
    return download(REPO, lambda _: None)


def refused(repo_id: str = REPO) -> GeluError:
    """The error of a download in this process, where what is patched counts."""
    with pytest.raises(GeluError) as caught:
        download(repo_id, lambda _: None)
    info = caught.value.info
    assert "\n" not in info.message + info.hint
    assert info.message.endswith(".")
    assert info.hint.endswith(".")
    return caught.value


def partials(cache: Path) -> list[Path]:
    return sorted(cache.glob("models--*/blobs/*.incomplete"))


def assert_whole(folder: Path, hub: FakeHub) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {str(path.relative_to(folder)) for path in files} == WANTED
    for name in WANTED:
        assert (folder / name).read_bytes() == hub.files[name]
