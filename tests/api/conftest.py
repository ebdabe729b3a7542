"""A home of its own for every test, and one tiny model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import tiny_models
from tests.support.engine_process import environment


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment, in which no file of the user's is found or left behind."""
    env = environment(tmp_path)
    for name in set(os.environ) - set(env):
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return env


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_models.write(tmp_path_factory.mktemp("models") / "tiny", "gemma3_text"))
