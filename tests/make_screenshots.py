"""The screenshots of the README, from the real app on the real demo model.

    python -m tests.make_screenshots

writes screenshots/*.svg. Rates differ from machine to machine; everything else should not.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from gelu_tui.tui.app import GeluApp
from gelu_tui.tui.options import AppOptions

FOLDER = Path(__file__).parent.parent / "screenshots"
FIVE = ("gelu", "gelu_approx", "gelu_fast_approx", "silu", "relu")
SIZES = {"five-way": (120, 36), "five-way-80x24": (80, 24)}


async def take(name: str, size: tuple[int, int]) -> Path:
    """Run the five-way comparison to its end at a terminal size and write its SVG."""
    options = AppOptions(
        activations=FIVE,
        reference="gelu_approx",
        max_tokens=40,
        chat=False,
        prompt="Why is the sky blue?",
    )
    app = GeluApp(options)
    async with app.run_test(size=size) as pilot:
        while app.compare.comparison is None or app.compare.comparison.finished is None:
            await pilot.pause(0.2)
        await pilot.pause(0.5)
        file = FOLDER / f"{name}.svg"
        file.write_text(app.export_screenshot(title="gelu-tui"), encoding="utf-8")
    return file


async def main() -> None:
    """All of them."""
    FOLDER.mkdir(exist_ok=True)
    for name, size in SIZES.items():
        print(await take(name, size))


if __name__ == "__main__":
    asyncio.run(main())
