"""Pictures of every screen, at three sizes and in four modes of colour, held against stored ones.

One app takes those of a scene in a mode: what a resize shows is what a start at that size shows.

    python -m pytest tests/tui/test_snapshots.py --snapshot-update

stores the pictures as they are now and deletes those of scenes that are gone. They are SVGs: look
at them, and at `git diff`.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from syrupy.location import PyTestLocation
from textual.widgets import Input

from tests.support.pictures import difference, picture
from tests.support.scenes import SCENES, Scene, staged, stopped_clocks

__all__ = ["stopped_clocks"]

FOLDER = Path(__file__).parent / "snapshots"
MADE_WITH = FOLDER / "made-with.txt"

SIZES = ((80, 24), (120, 36), (200, 50))
SMALL = ((38, 11), (20, 5))
RESTS = 40  # looks at an unchanged screen, after which it is taken to be final
THEMES = {
    "dark": "gelu-dark",
    "light": "gelu-light",
    "ansi": "terminal-dark",  # the terminal's own sixteen colours
    "no-color": "gelu-dark",
}
# Which of the sizes an app is started at; it is resized to the others.
FIRST = {"dark": 0, "light": 1, "ansi": 2, "no-color": 0}
# Where the end of a stream is followed in jumps, what is in view depends on the sizes before.
OWN_STARTS = ("running", "lost")
CASES = [(name, mode) for name in SCENES for mode in THEMES]


class Pictures(SingleFileSnapshotExtension):
    """A file NAME.svg for each picture, and what differs as rows of text."""

    file_extension = "svg"
    _write_mode = WriteMode.TEXT

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        return str(FOLDER / test_location.basename)

    @classmethod
    def get_snapshot_name(cls, *, test_location: PyTestLocation, index: object = 0) -> str:
        return str(index)

    @classmethod
    def matches_test_location(
        cls, *, test_location: PyTestLocation, snapshot_location: str
    ) -> bool:
        """Every picture is of some scene, or of none and to be deleted."""
        return Path(snapshot_location).parent.name == test_location.basename

    def diff_lines(self, serialized_data: object, snapshot_data: object) -> Iterator[str]:
        yield from difference(str(snapshot_data), str(serialized_data)).splitlines()


@pytest.mark.usefixtures("stopped_clocks")
@pytest.mark.filterwarnings("ignore:\\s*Can not relate snapshot name")  # it is not the test's
@pytest.mark.parametrize(("scene", "mode"), CASES, ids=map("-".join, CASES))
async def test_looks_as_it_did(
    scene: str,
    mode: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    snapshot: SnapshotAssertion,
) -> None:
    # A mode is another start of the app: a change of theme need not reach what is already there.
    monkeypatch.delenv("NO_COLOR", raising=False)
    if mode == "no-color":
        monkeypatch.setenv("NO_COLOR", "1")
    sizes = SMALL if scene == "too-small" else SIZES
    first = FIRST[mode] % len(sizes)
    turned = (*sizes[first:], *sizes[:first])
    seen: dict[str, str] = {}
    for of_one_app in [(size,) for size in sizes] if scene in OWN_STARTS else [turned]:
        async with staged(scene, of_one_app[0], tmp_path, THEMES[mode]) as it:
            for size in of_one_app:
                if it.app.size != size:
                    await it.pilot.resize_terminal(*size)
                name = f"{scene}-{size[0]}x{size[1]}-{mode}"
                stored = FOLDER / "test_snapshots" / f"{name}.svg"
                expected = stored.read_text("utf-8") if stored.exists() else ""
                seen[name] = await settled(it, expected)
    if snapshot.session.update_snapshots:
        MADE_WITH.write_text(versions(), "utf-8")
    pictures = snapshot.use_extension(Pictures)
    made_with = MADE_WITH.read_text("utf-8")
    for name, now in seen.items():
        if pictures(name=name) != now and made_with != versions():
            # Another Textual draws differently, and that is nobody's mistake; but do look.
            pytest.skip(f"Pictures of {made_with.strip()}, here is {versions().strip()}.")
        assert now == pictures(name=name)


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


def versions() -> str:
    packages = ("textual", "rich")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages) + "\n"
