"""The moving picture of the README: at each moment it shows the frame of that moment."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.support.animation import Frame, animated

FILM = Path(__file__).parent.parent / "screenshots" / "comparison.svg"
HEAD = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 20">\n<rect/>'
ROWS = 3

looks = st.lists(st.sampled_from("ab "), min_size=ROWS, max_size=ROWS)
frames = st.lists(st.tuples(looks, st.sampled_from((0.2, 0.5, 3.0))), min_size=1, max_size=8)


def picture(rows: list[str]) -> str:
    lines = [f'<g transform="translate(0 {y})">{row}</g>' for y, row in enumerate(rows)]
    return "\n".join([HEAD, *lines, "</svg>"]) + "\n"


def shown(svg: str, percent: float) -> list[str]:
    """What is visible after this share of a turn."""
    visible = {}
    for name, steps in re.findall(r"@keyframes (\w+)\{((?:[\d.]+%\{[^}]*\})+)\}", svg):
        for at, value in re.findall(r"([\d.]+)%\{visibility:(\w+)\}", steps):
            if float(at) <= percent:
                visible[name] = value == "visible"
    rows = {}
    for line in svg.splitlines():
        wrapped = re.match(r'<g class="(\w+)"', line)
        row = re.search(r'<g transform="translate\(0 (\d+)\)">(.*?)</g>', line)
        if row and (wrapped is None or visible[wrapped[1]]):
            assert row[1] not in rows, "two looks of one row at once"
            rows[row[1]] = row[2]
    return [rows[str(y)] for y in range(ROWS)]


@given(frames)
def test_each_moment_shows_its_frame(given_frames: list[tuple[list[str], float]]) -> None:
    film = animated([Frame(picture(rows), seconds) for rows, seconds in given_frames])
    total, begin = sum(seconds for _, seconds in given_frames), 0.0
    for rows, seconds in given_frames:
        assert shown(film, 100 * (begin + seconds / 2) / total) == rows
        begin += seconds


@given(frames)
def test_where_nothing_moves_the_last_frame_stands(
    given_frames: list[tuple[list[str], float]],
) -> None:
    film = animated([Frame(picture(rows), seconds) for rows, seconds in given_frames])
    still = [line for line in film.splitlines() if 'visibility="hidden"' not in line]
    found = re.findall(r'<g transform="translate\(0 (\d+)\)">(.*?)</g>', "\n".join(still))
    assert [row for _, row in sorted(found)] == given_frames[-1][0]


def test_the_readmes_is_small_and_moves() -> None:
    film = FILM.read_text(encoding="utf-8")
    assert len(film.encode()) < 2_000_000
    assert "@keyframes" in film and film.startswith("<svg ")
