"""Keys as a terminal would send them, and waiting until the app has taken them in."""

from __future__ import annotations

from typing import Any

from textual import events
from textual.app import App
from textual.pilot import Pilot

# From the app to the focused widget, to what its action posts, to who hears that, to the screen.
_HOPS = 4


def post_key(app: App[Any], key: str) -> None:
    """Post one key, named as Textual names it; a letter may stand for itself."""
    char = " " if key == "space" else key
    app.post_message(events.Key("space" if key == " " else key, char if len(char) == 1 else None))


async def settle(app: App[Any]) -> None:
    """Wait until what was posted is handled and drawn, however busy the machine is.

    Not until the process is idle, as `Pilot.press` does: a screen with a run on it never is.
    """
    pilot: Pilot[Any] = Pilot(app)
    for _ in range(_HOPS):
        await pilot.pause(0)
