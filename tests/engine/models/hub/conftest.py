"""A cache of its own for every test, and a hub on loopback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import close_session, constants, file_download
from huggingface_hub.utils import _http

from tests.support.fake_hub import FakeHub


def set_both(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Set what huggingface_hub read at import, and the variable that a new process reads."""
    monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv(name, value)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no token, no patience."""
    set_both(monkeypatch, "HF_HUB_CACHE", str(tmp_path / "hub"))
    set_both(monkeypatch, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for module in (_http, file_download):
        patient = SimpleNamespace(time=time.time, sleep=lambda _: None)
        monkeypatch.setattr(module, "time", patient)
    return tmp_path / "hub"


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    close_session()
    with FakeHub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield server
    close_session()
