"""The screenshots of the README, from the real app on the real demo model.

    python -m tests.make_screenshots [NAME ...]

writes screenshots/*.svg, or only those that are named; `comparison` is the one that moves, and
`sweep` takes an hour unless that sweep is among the user's own already. Rates differ from machine
to machine; everything else should not.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import cast

from textual.events import Paste
from textual.pilot import Pilot

import gelu_tui
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.paths import data_dir
from gelu_tui.core.settings.user_file import Settings
from gelu_tui.sweep.saved_sweeps import find_sweep
from gelu_tui.tui.app import GeluApp
from gelu_tui.tui.compare.notice import Notice
from gelu_tui.tui.engine_link.session import Phase
from tests.support.animation import Frame, animated
from tests.support.driving import screen_text
from tests.support.pictures import picture

FOLDER = Path(__file__).parent.parent / "screenshots"
ESSAY = Path(__file__).with_name("texts") / "essay.txt"
FILM = "comparison"
SWEEP = "sweep"
FOUR = ("gelu", "gelu_approx", "gelu_fast_approx", "silu")
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


async def curves(pilot: Pilot[None]) -> None:
    """The errors of the functions in bfloat16, each operation rounded."""
    await pilot.press("f2")
    await pilot.pause(1.0)
    await pilot.press("c")
    await pilot.pause(2.0)
    await pilot.press("v", "v", "v", "d", "d", *["left"] * 8)
    await pilot.pause(3.0)  # the engine of the lab computes them


async def text(pilot: Pilot[None]) -> None:
    """An essay coloured by the fast form's KL, and the candidates where it differs most."""
    await pilot.app.run_action("app.open('text')")
    await pilot.pause(2.0)
    pilot.app.post_message(Paste(ESSAY.read_text("utf-8")[:2400]))
    await pilot.pause(1.0)
    await pilot.press("enter")
    await shown(pilot, "Done:")
    await pilot.press("n", "full_stop", "enter")
    await shown(pilot, "#2 ")


async def layers(pilot: Pilot[None]) -> None:
    """Which layers make what the exact form does, on the beginning of an essay."""
    await pilot.app.run_action("app.open('layers')")
    await pilot.pause(2.0)
    pilot.app.post_message(Paste(ESSAY.read_text("utf-8")[:240] + "\n\n"))
    await pilot.pause(1.0)
    await pilot.press("enter")
    await shown(pilot, "Done:")


async def shown(pilot: Pilot[None], words: str) -> None:
    """Wait for words on the screen, however long it takes."""
    while words not in screen_text(pilot.app):
        await pilot.pause(1.0)


async def inputs(pilot: Pilot[None]) -> None:
    """The model's own inputs of the run, in its first layer, under the errors of the functions."""
    await pilot.press("f2")
    await pilot.pause(1.0)
    await pilot.press("c")
    await pilot.pause(2.0)
    await pilot.press("i")
    job = cast(GeluApp, pilot.app).navigation.inputs
    while job is None or job.status is None:
        await pilot.pause(0.2)
    await pilot.press("full_stop", *["left"] * 22)
    await pilot.pause(2.0)


SHOTS: dict[str, tuple[tuple[int, int], Do]] = {
    "five-way": ((120, 36), as_it_is),
    "fork": ((120, 40), fork),
    "picker": ((120, 36), picker),
    "token": ((120, 36), token),
    "curves": ((120, 36), curves),
    "text": ((120, 40), text),
    "inputs": ((120, 36), inputs),
    "layers": ((120, 30), layers),
    "narrow": ((80, 24), as_it_is),
}


def an_app(activations: tuple[str, ...]) -> GeluApp:
    """The app with a comparison that starts at once."""
    settings = Settings(
        activations=activations,
        reference="gelu_approx",
        max_tokens=40,
        chat=False,
        theme="gelu-dark",
        save_runs=False,
    )
    return GeluApp(settings, prompt="Why is the sky blue?")


def has_ended(app: GeluApp) -> bool:
    """Whether the comparison is over. Raises `RuntimeError` if there will be none."""
    if app.engine.phase in (Phase.LOST, Phase.NO_MODEL):
        raise RuntimeError(app.compare.query_one(Notice).content)
    return app.compare.comparison is not None and app.compare.comparison.status is not None


async def take(name: str, size: tuple[int, int], do: Do) -> Path:
    """Run the five-way comparison to its end at a terminal size, go on, and write an SVG."""
    app = an_app(FIVE)
    async with app.run_test(size=size) as pilot:
        while not has_ended(app):
            await pilot.pause(0.2)
        await pilot.pause(0.5)
        await do(pilot)
        file = FOLDER / f"{name}.svg"
        file.write_text(picture(app), encoding="utf-8")
    return file


def steps(comparison: Comparison) -> int:
    """The length of the longest stream."""
    return max(len(stream.tokens) for stream in comparison.streams)


async def film(size: tuple[int, int] = (96, 27)) -> Path:
    """A comparison from its first token to the fork of one stream, a frame for each step."""
    app = an_app(FOUR)
    frames = []
    async with app.run_test(size=size) as pilot:
        step = -1
        while not has_ended(app):
            comparison = app.compare.comparison
            if comparison is not None and steps(comparison) != step:
                step = steps(comparison)
                await pilot.pause(0.15)  # until it is drawn
                frames.append(Frame(picture(app), 0.2))
            await pilot.pause(0.02)
        await pilot.pause(0.5)
        frames.append(Frame(picture(app), 3))
        await fork(pilot)
        frames.append(Frame(picture(app), 5))
    file = FOLDER / f"{FILM}.svg"
    file.write_text(animated(frames), encoding="utf-8")
    return file


async def of_a_sweep(data: Path, size: tuple[int, int] = (160, 44)) -> Path:
    """All prompts of `mixed`, run to their end where they are not yet, in the user's own sweeps."""
    settings = {"activations": FOUR[:3], "max_tokens": 64}
    here, os.environ["XDG_DATA_HOME"] = os.environ["XDG_DATA_HOME"], str(data)
    sweep = await asyncio.to_thread(gelu_tui.sweep, "builtin:mixed", progress=print, **settings)
    app = GeluApp(Settings(theme="gelu-dark"), sweep=find_sweep(sweep.document.id))
    async with app.run_test(size=size) as pilot:
        await pilot.pause(5)  # statistics are computed on a thread
        await pilot.press("2")
        await pilot.pause(1)
        file = FOLDER / f"{SWEEP}.svg"
        file.write_text(picture(app), encoding="utf-8")
    os.environ["XDG_DATA_HOME"] = here
    return file


async def main(names: Sequence[str]) -> None:
    """Those with these names, or all of them."""
    FOLDER.mkdir(exist_ok=True)
    data = data_dir().parent
    with tempfile.TemporaryDirectory() as folder:
        for variable in ("GELU_TUI_CONFIG", "XDG_DATA_HOME", "XDG_STATE_HOME"):
            os.environ[variable] = str(Path(folder) / variable.lower())
        for name in names or (*SHOTS, FILM, SWEEP):
            special = {FILM: film, SWEEP: lambda: of_a_sweep(data)}
            print(await (special[name]() if name in special else take(name, *SHOTS[name])))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
