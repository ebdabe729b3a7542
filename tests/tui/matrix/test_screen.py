"""The matrix of first divergent tokens: what it shows, what the keys lead to."""

from __future__ import annotations

import re

import pytest

from gelu_tui.core.comparison.standing import Standing
from gelu_tui.core.comparison.state import Comparison, Perspective
from gelu_tui.tui.matrix.screen import MakeReference, MatrixScreen, OpenFork, identical_groups
from gelu_tui.tui.matrix.view import MatrixView
from tests.support.comparisons import begun, feed, finish, five
from tests.support.driving import Alone, alone
from tests.support.made_up import BASE


def rows(it: Alone) -> list[list[str]]:
    """The rows of the matrix in words, brackets left out; a row begins with its number."""
    screen = re.sub("[│▁▂▃▄▅▆▇█\\[\\]]", " ", it.screen())
    found = [row.split() for row in screen.splitlines()]
    return [row for row in found if row and row[0].rstrip("R") in "12345678" and len(row) > 4][1:]


async def test_every_pair_has_its_first_divergent_token() -> None:
    run = five()
    async with alone(MatrixScreen(run, 1), (80, 24)) as it:
        await it.until_shown("2R gelu_approx")
        assert rows(it) == [
            ["1", "gelu", "·", "=40", "10", "1", "0"],
            ["2R", "gelu_approx", "=40", "·", "10", "1", "0"],
            ["3", "gelu_fast_approx", "10", "10", "·", "1", "0"],
            ["4", "silu", "1", "1", "1", "·", "0"],
            ["5", "relu", "0", "0", "0", "0", "·"],
        ]


async def test_three_streams_and_more_that_are_identical_are_named() -> None:
    run = begun("gelu", "gelu_approx", "again", "silu", "relu")
    feed(run, ["a", "b"], ["a", "b"], ["a", "b"], ["c"], ["c"])
    async with alone(MatrixScreen(run, 1), (80, 24)) as it:
        await it.until_shown("gelu, gelu_approx and again: same so far (2 tokens).")
        assert "silu and relu" not in it.screen()  # a pair has its cell
        finish(run)
        await it.until_shown("gelu, gelu_approx and again: identical (2 tokens).")


async def test_the_cursor_tells_the_pair_in_a_sentence() -> None:
    async with alone(MatrixScreen(five(), 1)) as it:
        await it.until_shown("gelu_approx and gelu: same so far (40 tokens).")
        await it.press("right", "right")
        await it.until_shown("[10]", "At token 10 gelu_approx took “␣scattering” (31.2 %)")
        await it.press("down", "down")
        await it.until_shown("At token 1 silu took", "run again with silu as the reference")
        await it.press("home", "up", "up", "up", "up", "up")
        await it.until_shown("[·]", "This is gelu itself")


async def test_limits_have_a_row_of_their_own_in_the_heads() -> None:
    run = begun("gelu_approx", "gelu_fast_approx@0-5", "relu@3", "relu@0,2,4,6,8,10,12,14,16")
    feed(run, ["a"], ["a"], ["b"], ["c"])
    async with alone(MatrixScreen(run, 0), (80, 24)) as it:
        await it.until_shown("1R gelu_approx")
        lines = [line.strip("│ ").split() for line in it.screen().splitlines()]
        at = lines.index(["gelu", "gelu", "relu", "relu"])
        assert lines[at + 1] == ["approx", "fast_app…", "@3", "@0,2,4,6…"]
        assert lines[at + 2] == ["@0-5"]


async def test_enter_opens_the_fork_of_the_pair() -> None:
    async with alone(MatrixScreen(five(), 1)) as it:
        await it.press("down", "end", "enter")
        await it.until(lambda: it.results == [OpenFork(2, 4)], "the choice")


async def test_a_stream_has_no_fork_with_itself() -> None:
    async with alone(MatrixScreen(five(), 1)) as it:
        await it.press("right", "enter")
        await it.until_shown("A stream has no fork with itself: choose another column.")
        assert it.results == []


async def test_r_makes_the_row_the_reference() -> None:
    async with alone(MatrixScreen(five(), 1)) as it:
        await it.press("down", "down", "r")
        await it.until(lambda: it.results == [MakeReference(3)], "the choice")


@pytest.mark.parametrize("key", ["q", "escape", "backspace"])
async def test_ways_out(key: str) -> None:
    async with alone(MatrixScreen(five(), 1)) as it:
        await it.press(key)
        await it.until(lambda: it.results == [None], "the screen is closed")


async def test_a_click_puts_the_cursor_there_and_a_second_opens_the_fork() -> None:
    screen = MatrixScreen(five(), 1)
    app_size = (80, 24)
    async with alone(screen, app_size) as it:
        await it.until_shown("2R gelu_approx")
        view = screen.query_one(MatrixView)
        lines = it.screen().splitlines()
        y = next(i for i, line in enumerate(lines) if "4  silu" in line)
        x = lines[y].rindex("1")
        row = y - next(i for i, line in enumerate(lines) if "1  gelu" in line)
        head = view.size.height - 5
        # screen_text leaves rows without text out, so the place is taken from the widget.
        pilot_y = view.region.y + head + row
        for times in (1, 2):
            await click(it, x, pilot_y)
            if times == 1:
                await it.until(lambda: (view.row, view.column) == (3, 2), "the cursor")
        await it.until(lambda: it.results == [OpenFork(3, 2)], "the choice")


async def click(it: Alone, x: int, y: int) -> None:
    from textual.pilot import Pilot

    await Pilot(it.app).click(offset=(x, y))


async def test_it_follows_the_run() -> None:
    run = five(tokens=10)
    async with alone(MatrixScreen(run, 1), (80, 24)) as it:
        await it.until_shown("[=10]")
        feed(run, BASE[10:14], BASE[10:14], [" light", " scattering", *BASE[11:13]], [], [])
        await it.until_shown("[=14]", "3 gelu_fast_approx 10 10 · 1 0")


async def test_before_the_first_token() -> None:
    async with alone(MatrixScreen(begun("gelu", "silu"), 0)) as it:
        await it.until_shown("gelu · [–]", "gelu has no tokens to compare.")


NAMES = (
    "gelu", "gelu_approx", "gelu_fast_approx", "keras_gelu_approx", "relu", "silu",
    "gelu2024_with_a_long_name", "identity",
)  # fmt: skip


def eight(tokens: int) -> Comparison:
    """Eight streams; the third, fifth and seventh leave the others at their last token but one."""
    run = begun(*NAMES)
    text = [str(step) for step in range(tokens)]
    other = [*text[:-2], "x", "y"]
    feed(run, *(other if stream in (2, 4, 6) else text for stream in range(8)))
    return run


async def test_eight_names_are_readable_at_80_columns() -> None:
    async with alone(MatrixScreen(eight(40), 0), (80, 24)) as it:
        await it.until_shown("8 identity")
        lines = [line.strip("│ ").split() for line in it.screen().splitlines()]
        assert ["gelu", "gelu", "gelu", "keras", "relu", "silu", "gelu2…", "ident…"] in lines
        assert ["approx", "fast", "gelu", "with"] in lines
        assert [row[1] for row in rows(it)][:4] == list(NAMES[:4])


@pytest.mark.parametrize("size", [(40, 12), (60, 16), (80, 24), (200, 50)])
@pytest.mark.parametrize("tokens", [40, 1502, 12002])
async def test_no_number_is_cut(size: tuple[int, int], tokens: int) -> None:
    async with alone(MatrixScreen(eight(tokens), 0), size) as it:
        await it.until_shown("1R", "q back")
        step = tokens - 2
        rounded = {f"{step / 1000:.1f}k", f"{step // 1000}k"} if step > 999 else set[str]()
        possible = {"·", "=", f"={tokens}", str(step), *rounded}
        for _ in range(8):
            for row in rows(it):
                assert set(row[-8:]) <= possible, row
            await it.press("down")
        await it.until_shown("[")  # the row of the cursor is in view wherever it is


def test_groups_are_pairwise_equal() -> None:
    run = begun("a", "b", "c", "d")
    # b is a beginning of both a and c, which differ: it can be in one group with one of them only.
    feed(run, ["1", "2", "3"], ["1", "2"], ["1", "2", "4"], ["9"])
    perspectives = [Perspective(run, index) for index in range(4)]
    assert identical_groups(perspectives) == [([0, 1], Standing("same", 2))]
