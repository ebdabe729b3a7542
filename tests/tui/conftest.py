"""Tests of the app never wait for a timer: their time jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from textual.css.stylesheet import Stylesheet

from tests.support.jumping_time import JumpingLoop
from tests.support.parsed_styles import parse_once

Stylesheet._parse_rules = parse_once  # type: ignore[method-assign]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"jumping": JumpingLoop}
