"""Slow work of a screen, done in a thread; its result is dropped once the screen is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from textual.dom import NoScreen
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import Worker

from gelu_tui.core.errors import ErrorInfo, GeluError

T = TypeVar("T")


def is_open(widget: Widget) -> bool:
    """Whether a screen, or the one that a widget is in, is still shown.

    Its widgets go one by one, before its workers stop: whoever has waited for something asks this
    before looking for one of them.
    """
    try:
        screen = widget.screen
    except NoScreen:
        return False
    return screen.app.is_running and screen in screen.app.screen_stack


def run_in_thread(
    screen: Screen[Any],
    work: Callable[[], T],
    then: Callable[[T], None],
    failed: Callable[[ErrorInfo], None],
    group: str = "",
) -> None:
    """Call `work` in a thread, then `then` with its result or `failed` with its `GeluError`.

    The work replaces what runs in the same `group`, if it has one.
    """

    async def run() -> None:
        try:
            result = await asyncio.to_thread(work)
        except GeluError as error:
            if is_open(screen):
                failed(error.info)
        else:
            if is_open(screen):
                then(result)

    # As a function: a coroutine that is replaced before it starts would be complained about.
    _: Worker[None] = screen.run_worker(run, group=group, exclusive=bool(group))
