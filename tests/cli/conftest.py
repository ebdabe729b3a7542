"""Tiny models and a home of its own for every command that is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import odd_models, tiny_models
from tests.support.engine_process import environment


@pytest.fixture(scope="session")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return environment(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_models.write(tmp_path_factory.mktemp("models") / "tiny", "gemma3_text"))


@pytest.fixture(scope="session")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "chat"
    template = odd_models.CHAT_TEMPLATE
    return str(tiny_models.write(folder, "gemma2", chat_template=template))


@pytest.fixture(scope="session")
def long_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_models.long_running(tmp_path_factory.mktemp("models") / "long")
