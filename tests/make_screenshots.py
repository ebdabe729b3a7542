"""The screenshots of the README, from the real app on the real demo model.

    python -m tests.make_screenshots

writes screenshots/*.svg. Rates differ from machine to machine; everything else should not.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.pilot import Pilot

from gelu_tui.core.settings.user_file import Settings
from gelu_tui.tui.app import GeluApp
from gelu_tui.tui.compare.notice import Notice
from gelu_tui.tui.engine_link.session import Phase

FOLDER = Path(__file__).parent.parent / "screenshots"
FIVE = ("gelu", "gelu_approx", "gelu_fast_approx", "silu", "relu")

Do = Callable[[Pilot[None]], Awaitable[None]]


async def as_it_is(_: Pilot[None]) -> None:
    """The comparison itself."""


async def fork(pilot: Pilot[None]) -> None:
    """Why the fast form leaves the reference."""
    await pilot.press("tab", "3", "f7")
    await pilot.pause(1.5)  # the alignment is made on a thread


async def picker(pilot: Pilot[None]) -> None:
    """Choosing functions, with an own formula in the field."""
    await pilot.press("f2")
    await pilot.pause(1.0)
    await pilot.press("slash", *"gelu2024=x*sigmoid(1.773*x)")
    await pilot.pause(1.0)


async def token(pilot: Pilot[None]) -> None:
    """Tokens coloured by probability, the cursor on the first divergent one."""
    await pilot.press("tab", "3", "f", "c", "c")
    await pilot.pause(0.5)


SHOTS: dict[str, tuple[tuple[int, int], Do]] = {
    "five-way": ((120, 36), as_it_is),
    "fork": ((120, 40), fork),
    "picker": ((120, 36), picker),
    "token": ((120, 36), token),
    "narrow": ((80, 24), as_it_is),
}


async def take(name: str, size: tuple[int, int], do: Do) -> Path:
    """Run the five-way comparison to its end at a terminal size, go on, and write an SVG."""
    app = GeluApp(
        Settings(
            activations=FIVE,
            reference="gelu_approx",
            max_tokens=40,
            chat=False,
            theme="textual-dark",
            save_runs=False,
        ),
        prompt="Why is the sky blue?",
    )
    async with app.run_test(size=size) as pilot:
        while app.compare.comparison is None or app.compare.comparison.status is None:
            if app.engine.phase in (Phase.LOST, Phase.NO_MODEL):
                raise RuntimeError(app.compare.query_one(Notice).content)
            await pilot.pause(0.2)
        await pilot.pause(0.5)
        await do(pilot)
        file = FOLDER / f"{name}.svg"
        file.write_text(app.export_screenshot(title="gelu-tui"), encoding="utf-8")
    return file


async def main() -> None:
    """All of them."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GELU_TUI_CONFIG"] = str(Path(folder) / "config.toml")
        for name, (size, do) in SHOTS.items():
            print(await take(name, size, do))


if __name__ == "__main__":
    asyncio.run(main())
