"""Pictures of every screen, at three sizes and in four modes of colour, held against stored ones.

    python -m pytest tests/tui/test_snapshots.py --accept-snapshots

stores the pictures as they are now. They are SVGs: look at them, and at `git diff`.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.tui.pictures import difference, picture
from tests.tui.scenes import SCENES, Scene, staged, stopped_clocks

__all__ = ["stopped_clocks"]

FOLDER = Path(__file__).parent / "snapshots"
ACCEPT = "python -m pytest tests/tui/test_snapshots.py --accept-snapshots"
MADE_WITH = FOLDER / "made-with.txt"

SIZES = ((80, 24), (120, 36), (200, 50))
SMALL = ((38, 11), (20, 5))
RESTS = 40  # looks at an unchanged screen, after which it is taken to be final
THEMES = {
    "dark": "textual-dark",
    "light": "textual-light",
    "ansi": "terminal-dark",  # the terminal's own sixteen colours
    "no-color": "textual-dark",
}
CASES = [
    (name, size, mode)
    for name in SCENES
    for size in (SMALL if name == "too-small" else SIZES)
    for mode in THEMES
]
NAMES = [f"{name}-{width}x{height}-{mode}" for name, (width, height), mode in CASES]


@pytest.mark.usefixtures("stopped_clocks")
@pytest.mark.parametrize(("case", "name"), list(zip(CASES, NAMES, strict=True)), ids=NAMES)
async def test_looks_as_it_did(
    case: tuple[str, tuple[int, int], str],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    scene, size, mode = case
    # A mode is another start of the app: a change of theme need not reach what is already there.
    monkeypatch.delenv("NO_COLOR", raising=False)
    if mode == "no-color":
        monkeypatch.setenv("NO_COLOR", "1")
    accept = request.config.getoption("--accept-snapshots")
    stored = FOLDER / f"{name}.svg"
    expected = stored.read_text("utf-8") if stored.exists() else ""
    async with staged(scene, size, tmp_path, THEMES[mode]) as it:
        seen = await settled(it, "" if accept else expected)
    if accept:
        FOLDER.mkdir(exist_ok=True)
        stored.write_text(seen, "utf-8")
        MADE_WITH.write_text(versions(), "utf-8")
    elif seen != expected:
        new = tmp_path / stored.name
        new.write_text(seen, "utf-8")
        what = difference(expected, seen) if expected else "there is no stored one"
        complain(f"{stored.name} is now {new}\n{what}")


async def settled(it: Scene, expected: str) -> str:
    """The picture once it is the expected one, or once it has long stayed the same."""
    seen, same = "", 0
    for _ in range(200):
        for field in it.app.screen.query(Input):
            field.cursor_blink = False
        await it.pilot.pause()
        now = picture(it.app)
        if now == expected:
            return now
        same = same + 1 if now == seen else 0
        if same == RESTS:
            return now
        seen = now
        await asyncio.sleep(0.05)
    raise AssertionError(f"the screen never rests:\n{it.screen()}")


def complain(said: str) -> None:
    said = f"{said}\n\nIf this is meant: {ACCEPT}"
    made_with = MADE_WITH.read_text("utf-8") if MADE_WITH.exists() else ""
    if made_with != versions():
        # Another Textual draws differently, and that is nobody's mistake; but do look.
        pytest.skip(f"Pictures of {made_with.strip()}, here is {versions().strip()}. {said}")
    pytest.fail(said, pytrace=False)


def versions() -> str:
    packages = ("textual", "rich")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages) + "\n"


def test_every_stored_picture_is_of_a_scene(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--accept-snapshots"):
        pytest.skip("others are storing them at this moment")
    assert {file.stem for file in FOLDER.glob("*.svg")} == set(NAMES)
