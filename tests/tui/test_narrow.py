"""A terminal that is narrower than anything that can be shown in it."""

from __future__ import annotations

import pytest

from tests.support.driving import ready


@pytest.mark.parametrize("keys", [(), ("ctrl+p",), ("f1",), ("f2",), ("f3",), ("f4",), ("f6",)])
async def test_no_width_ends_the_app(keys: tuple[str, ...]) -> None:
    async with ready() as it:
        await it.press(*keys)
        before = it.app.screen
        for size in ((1, 1), (2, 24), (4, 3), (9, 9)):
            await it.pilot.resize_terminal(*size)
            await it.settle()
        await it.pilot.resize_terminal(80, 24)
        await it.settle()
        assert it.app.screen is before
        assert it.app.size == (80, 24)
