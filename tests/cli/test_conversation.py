"""A command's talk with its engine, without a process."""

from __future__ import annotations

from typing import Any

import pytest

from gelu_tui.cli import conversation as module
from gelu_tui.cli.conversation import Conversation
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from tests.support.commands import comparing
from tests.support.fake_engine import FakeEngine
from tests.support.in_memory import InMemory


async def test_a_silent_engine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    engine: Any = lambda: InMemory(FakeEngine("hangs"))  # noqa: E731
    talk = Conversation(engine)
    said: list[ErrorInfo] = []

    def complain(error: ErrorInfo) -> None:
        said.append(error)
        talk._client.kill()  # the test waits for the word, and for nothing after it

    monkeypatch.setattr(module, "_SILENCE_S", 0.05)
    monkeypatch.setattr(module.o, "complain", complain)
    await talk._hold(lambda _: None, (p.Load("demo"), comparing("the sky", ("gelu", "relu"))))
    assert "The engine has said nothing for" in said[0].message
    assert "Ctrl+C" in said[0].hint
