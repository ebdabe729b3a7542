"""Tests of the app never wait for a timer: their time jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from tests.support.jumping_time import JumpingLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"jumping": JumpingLoop}
