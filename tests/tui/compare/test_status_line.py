"""What the status line and the line of settings say where there is not room for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gelu_tui.tui.compare.info_line import InfoText
from gelu_tui.tui.compare.status_line import fitted
from tests.support.driving import ready

NEEDED = "running · demo · float32 · lockstep · T 0.7 seed 1234567"
DRAWN = f"{NEEDED} · Some Device of 2026"
TOTALS = "14.2 tok/s in all · 1 min 11 s · 1.13 GB"


@pytest.mark.parametrize(
    ("width", "left", "right"),
    [
        (140, DRAWN, TOTALS),
        (110, f"{NEEDED} · Some Dev…", TOTALS),
        (98, NEEDED, TOTALS),
        (97, f"{NEEDED} · Some …", TOTALS[:30]),
        (78, NEEDED, TOTALS[:17]),
        (60, DRAWN[:40] + "…", TOTALS[:17]),
    ],
)
def test_seed_and_speed_stay_longest(width: int, left: str, right: str) -> None:
    assert fitted(DRAWN, TOTALS, width) == (left, right)


@given(st.text("ab空 ·", max_size=40), st.text("ab空 ·", max_size=40), st.integers(0, 60))
def test_it_always_fits(left: str, right: str, width: int) -> None:
    shown_left, shown_right = fitted(left, right, width)
    assert right.startswith(shown_right)
    beside = cell_len(shown_right) + 2 if shown_right else 0
    assert cell_len(shown_left) <= max(0, width - beside)


async def test_the_line_of_settings_drops_whole_parts() -> None:
    narrow = "256 tokens · lockstep · reference: gelu_approx"
    async with ready(size=(120, 36), max_tokens=256) as it:
        told = it.app.compare.query_one(InfoText)
        assert str(told.content).endswith(f"{narrow} · functions computed in float32")
        await it.pilot.resize_terminal(80, 24)
        await it.until(lambda: str(told.content).endswith(narrow), "no half of a part")
        await it.pilot.resize_terminal(120, 36)
        await it.until(lambda: str(told.content).endswith("float32"), "all of it again")
