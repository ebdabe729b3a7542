"""Pictures of sweeps: nothing finished yet, running, finished, two side by side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from gelu_tui.sweep.store import SweepStore
from gelu_tui.tui.engine_link.running_sweep import RunningSweep
from gelu_tui.tui.sweep.contents import read_contents
from gelu_tui.tui.sweep.screen import SweepScreen
from gelu_tui.tui.sweep.shown_sweep import ShownSweep
from tests.support.sweep_screens import a_store

if TYPE_CHECKING:
    from tests.support.scenes import Scene


def no_engine(plan: object) -> RunningSweep:
    raise AssertionError("no engine is started for a picture")


def still_running(store: SweepStore, line: str, now: str = "") -> RunningSweep:
    """A sweep that runs and comes no further."""
    progress = SimpleNamespace(line=line)
    return cast(
        RunningSweep,
        SimpleNamespace(
            store=store, progress=progress, running_words=now, changes=1, is_over=False,
            is_stopping=False, error=None,
        ),
    )  # fmt: skip


async def shown(it: Scene, sweep: ShownSweep, *texts: str) -> None:
    await it.loaded()
    screen = SweepScreen(sweep, no_engine)
    await it.app.push_screen(screen)
    await it.until(lambda: sweep.contents is not None, "the sweep is read")
    await it.until_shown(*texts)


async def sweep_empty(it: Scene) -> None:
    store = a_store(0, 400, root=it.folder)
    running = still_running(store, "0 of 400 prompts · Loading tokenizer and weights")
    await shown(it, ShownSweep(store, running), "No prompt is finished yet")


async def sweep_running(it: Scene) -> None:
    """With prompts that failed, in the order of where the second function diverges."""
    store = a_store(37, 400, failed=[37, 38], root=it.folder)
    line = "39 of 400 prompts · 2 failed · 12.3 a minute · 29 min left · demo"
    now = "now prompts 39, 40, 41, 42 and 12 more, up to token 201"
    await shown(it, ShownSweep(store, still_running(store, line, now)), "39 of 400")
    await it.press("o", "o", "down", "down")


async def sweep_finished(it: Scene) -> None:
    """Its curves, with one function emphasized."""
    await shown(it, ShownSweep(a_store(40, 40, root=it.folder)), "40 of 40 prompts · finished")
    await it.press("2", "right", "right")
    await it.until_shown("►")


async def sweep_two(it: Scene) -> None:
    """The estimates of two side by side."""
    sweep = ShownSweep(a_store(40, 40, root=it.folder), part="estimates")
    other = a_store(25, 40, root=it.folder, name="other", key="fedcba9876543210", seed=3)
    sweep.other = read_contents(other, differences=False)
    await shown(it, sweep, "B other: 25 of 40 prompts")


SCENES: Mapping[str, Callable[[Any], Awaitable[None]]] = {
    each.__name__.replace("_", "-"): each
    for each in (sweep_empty, sweep_running, sweep_finished, sweep_two)
}
