"""The panes of a finished comparison: colours, scrolling, layouts, zoom, order, reference."""

from __future__ import annotations

import asyncio
import re

import pytest
from textual.geometry import Region

from gelu_tui.tui.compare.key_line import KeyLine
from gelu_tui.tui.compare.pane_grid import TabRow
from gelu_tui.tui.engine_link.session import Phase
from tests.support.comparisons import run_comparison, run_document
from tests.support.driving import ready
from tests.support.still import Still, drawn, still, with_statistics

FOUR = {
    "gelu_approx": ["The", " sky", " is", " blue", ".", " So", " it", " is"],
    "gelu": ["The", " sky", " is", " blue", ".", " So", " it", " is"],
    "silu": ["The", " sky", " was", " grey", ".", " So", " it", " was"],
    "relu": ["The", " sky", " was", " blue", "!", " So", " it", " is"],
}
WORDS = [f" word{n:03}" for n in range(400)]
EIGHT = ("gelu_approx", "gelu", "silu", "relu", "relu2", "mish", "identity", "gelu_fast_approx")


def names(it: Still) -> list[str]:
    return [pane.variant_name for pane in it.panes]


async def test_a_run_that_begins_while_choices_are_shown_has_all_its_panes() -> None:
    async with ready(activations=EIGHT) as it:
        board, run = it.app.compare.board, run_comparison(texts=FOUR)
        few = [stream.variant for stream in run.streams[:2]]
        for together in (
            (board.announce(few), board.begin(run)),
            (board.begin(run), board.announce(few)),
        ):
            board.perspective = None
            await board.set_count(8)
            await asyncio.gather(*together)
            assert [pane.variant_name for pane in board.panes] == list(FOUR)
            assert all(pane.head.display for pane in board.panes)


# --- colours --------------------------------------------------------------------------------------


async def test_colours_go_through_the_statistics_and_explain_their_steps() -> None:
    async with still(FOUR) as it:
        await it.go(2)
        for statistic, said in (
            ("kl", "KL against gelu_approx"),
            ("logprob", "probability of the token"),
            ("margin", "margin to the second token"),
            ("plain", "plain"),
        ):
            await it.press("c")
            if statistic != "plain":  # a row that stands while there are colours
                await it.until_shown(said)
            await it.until(lambda to=statistic: it.board.statistic == to, "the next statistic")
            assert {pane.tokens.statistic for pane in it.panes} == {statistic}


def looks(it: Still, place: int) -> list[tuple[object, ...]]:
    """How the words of the first row look, one by one, the fork left out."""
    segments = it.panes[place].tokens.render_line(0)
    return [
        (s.style.bgcolor, s.style.bold, s.style.underline, s.style.reverse, s.style.dim)
        for s in segments
        if s.style is not None and s.text.strip() and not s.text.startswith((" ►", "►"))
    ]


@pytest.mark.parametrize("no_color", [False, True])
async def test_every_step_of_a_statistic_looks_different(
    no_color: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    texts = ["a", " b", " c", " d", " e"]
    saved = run_document(texts={"gelu_approx": texts, "gelu": texts})
    levels = [(-0.01, 9.0, 0.0), (-0.5, 4.0, 1e-5), (-1.0, 1.0, 1e-3), (-3.0, 0.3, 0.1)]
    saved = with_statistics(saved, "gelu", [*levels, (-9.0, 0.01, 3.0)])
    async with still(saved, activations=("gelu_approx", "gelu")) as it:
        await it.go(0)
        for _ in ("kl", "logprob", "margin"):
            await it.press("c")
            await it.until(lambda: len(looks(it, 1)) == 5, f"five looks: {looks(it, 1)}")
            found = looks(it, 1)
            assert len(set(found)) == 5
            if no_color:
                assert len({look[1:] for look in found}) == 5, "told apart by form alone"


# --- scrolling ------------------------------------------------------------------------------------


async def test_panes_scroll_together_row_by_row_and_each_by_itself() -> None:
    async with still({"gelu_approx": WORDS, "silu": WORDS}, size=(101, 24)) as it:
        one = await it.go(0)
        other = it.panes[1].tokens
        await it.until(lambda: one.view.follows and other.view.follows, "both at the end")
        for _ in range(3):
            await it.press("pageup")
            await it.until(
                lambda: not one.view.follows and drawn(one, 0) == drawn(other, 0), "together"
            )
        await it.press("t")
        await it.until_notice("The panes scroll each by itself.")
        before = drawn(one, 0)
        await it.press("home")
        await it.until(lambda: drawn(one, 0).startswith(" word000"), "the start")
        assert drawn(other, 0) == before
        await it.press("t")
        await it.until_notice("together, token by token")
        await it.press("down")
        await it.until(lambda: drawn(one, 0) == drawn(other, 0) != before, "together again")
        await it.press("end")
        await it.until(lambda: one.view.follows and other.view.follows, "both at the end")


async def test_the_wheel_scrolls_the_pane_under_the_mouse_and_the_others_with_it() -> None:
    from textual.events import MouseScrollUp

    async with still({"gelu_approx": WORDS, "silu": WORDS}, size=(101, 24)) as it:
        one, other = (pane.tokens for pane in it.panes)
        bottom = drawn(other, other.size.height - 1)
        other.post_message(MouseScrollUp(other, 1, 1, 0, -1, 0, False, False, False))
        await it.until(
            lambda: (
                drawn(other, other.size.height - 1) != bottom and drawn(one, 0) == drawn(other, 0)
            ),
            "both scrolled",
        )
        assert not other.view.follows


# --- layouts --------------------------------------------------------------------------------------


async def test_layouts_take_turns() -> None:
    async with still(FOUR) as it:
        await it.go(1)
        for layout, columns, tabs in (
            ("columns", 4, False),
            ("grid", 2, False),
            ("tabs", 1, True),
            ("auto", 4, False),
        ):
            await it.press("g")
            await it.until_notice(f"Layout: {layout}.")
            found = it.board._arrangement
            assert (found.columns, found.tabs) == (columns, tabs)
            await it.until(
                lambda tabs=tabs: [p.display for p in it.panes].count(True) == (1 if tabs else 4),
                "the panes that are shown",
            )
            assert it.pane.has_focus


async def test_eight_functions_on_a_narrow_terminal_are_tabs() -> None:
    texts = {name: [*FOUR["gelu"][:2], f" {name}"] for name in EIGHT}
    async with still(texts, size=(50, 16)) as it:
        tabs = it.app.compare.query_one(TabRow)
        assert tabs.display
        await it.go(0)
        for number, name in enumerate(EIGHT, 1):
            await it.press(str(number))
            await it.until(lambda name=name: it.board.chosen == EIGHT.index(name), name)
            await it.until_shown(f"{number} {name}")
            shown = [pane.variant_name for pane in it.panes if pane.display]
            assert shown == [name]
            await it.until(lambda: it.pane.has_focus, "the focus follows")
            mark = "" if number == 1 else "►"
            await it.until_shown(f"The sky {mark}{name}")
        await it.pilot.click(tabs, offset=(1, 0))
        await it.until(lambda: it.board.chosen == 0, "the first tab, by click")
        await it.pilot.resize_terminal(200, 50)
        await it.until(lambda: all(pane.display for pane in it.panes), "room for all")
        assert not tabs.display


async def test_a_hidden_pane_keeps_up_and_is_shown_as_it_stands() -> None:
    async with still(FOUR, size=(50, 14)) as it:
        await it.go(0)
        await it.press("g", "g", "g")
        await it.until_notice("Layout: tabs.")
        await it.press("2")
        await it.until_shown("identical (8 tokens)")
        await it.press("3")
        await it.until_shown("diverges at 2")
        await it.press("c")
        await it.until(lambda: it.board.statistic == "kl", "colours")
        await it.press("4")
        await it.until_shown("4 relu ►2")
        assert it.pane.statistic == "kl"


async def test_a_pane_that_was_removed_can_still_be_in_a_frame() -> None:
    async with still(FOUR) as it:
        gone = it.panes[3]
        await gone.remove()
        strips = gone.tokens.render_lines(Region(0, 0, 10, 3))
        assert [strip.cell_length for strip in strips] == [10] * 3


# --- zoom -----------------------------------------------------------------------------------------


async def test_zoom_and_back() -> None:
    async with still(FOUR) as it:
        pane = await it.go(2)
        await it.press("z")
        await it.until(lambda: it.app.compare.maximized is it.panes[2], "zoomed")
        await it.until(lambda: pane.size.width > 100, "the whole width")
        assert pane.has_focus
        await it.press("right")
        await it.until_shown("2 ‘ was’")
        await it.press("z")
        await it.until(lambda: it.app.compare.maximized is None, "restored")
        await it.until(lambda: pane.size.width < 40, "its own width")
        assert it.at == (2, 2)


@pytest.mark.parametrize("key", ["3", "full_stop"])
async def test_going_to_another_pane_while_zoomed_shows_that_one(key: str) -> None:
    async with still(FOUR) as it:
        await it.go(0)
        await it.press("z")
        await it.until(lambda: it.app.compare.maximized is it.panes[0], "zoomed")
        await it.press(key)
        await it.until(lambda: it.board.chosen == 2, "the third is chosen")
        await it.until_shown("diverges at 2")
        await it.until(lambda: it.pane.has_focus and it.pane.region.width, "in view, with focus")


# --- order ----------------------------------------------------------------------------------------


async def test_panes_are_reordered_for_the_next_run_too() -> None:
    async with still(FOUR, activations=tuple(FOUR)) as it:
        await it.go(2)
        await it.press("less_than_sign")
        await it.until(lambda: names(it) == ["gelu_approx", "silu", "gelu", "relu"], "moved")
        assert it.board.chosen == 1
        await it.press("less_than_sign", "less_than_sign")  # the second has nowhere to go
        await it.until(lambda: names(it) == ["silu", "gelu_approx", "gelu", "relu"], "moved")
        assert it.board.chosen == 0
        await it.until_shown("1 silu")  # the number is the key that goes there
        await it.press("4")
        await it.until(lambda: it.board.chosen == 3, "the last")
        await it.press("greater_than_sign", "comma", "full_stop")
        await it.until_at(0, 2)  # the first fork in the new order
        await it.press("ctrl+r")
        await it.until(lambda: it.finished, "a run")
        wanted = ["silu", "gelu_approx", "gelu", "relu"]
        assert [stream.name for stream in it.comparison.streams] == wanted
        assert names(it) == wanted
        assert [pane.index for pane in it.panes] == [0, 1, 2, 3]


# --- the reference --------------------------------------------------------------------------------


async def test_another_reference_without_a_new_run() -> None:
    async with still(FOUR, activations=tuple(FOUR)) as it:
        assert "identical " in it.head(1)
        await it.go(2)
        before = it.comparison
        await it.press("r")
        await it.until(lambda: "the reference" in it.head(2), "the head says so")
        assert it.comparison is before
        for place, said in ((0, "diverges at 2"), (1, "diverges at 2"), (3, "diverges at 3")):
            assert said in it.head(place)
        assert "►is" in drawn(it.panes[0].tokens, 0)
        assert "►" not in drawn(it.panes[2].tokens, 0)
        await it.until_notice("Compared with silu from here on.")
        assert "against gelu_approx" in it.notice
        assert it.app.compare.shown.document().reference == "gelu_approx"
        await it.until_info("reference: silu")
        await it.go(0)
        await it.press("r")
        await it.until(lambda: "the reference" in it.head(0), "back")
        assert "identical " in it.head(1), "it is finished, not `same so far`"
        await it.until(lambda: "Compared with silu" not in it.notice, "no stale notice")
        await it.press("2", "r")
        await it.until_info("reference: gelu")
        await it.press("ctrl+r")
        await it.until(lambda: it.finished, "a run")
        assert it.comparison.reference.name == "gelu"


async def test_the_token_that_is_pointed_at_says_against_what_its_kl_is() -> None:
    async with still(FOUR, activations=tuple(FOUR)) as it:
        await it.go(2)
        await it.press("right")
        await it.until_info("KL against gelu_approx")
        await it.press("r")
        await it.until_info("nats from gelu_approx")
        assert "KL against" not in it.info


async def test_another_reference_while_it_runs() -> None:
    async with ready("long", step_s=0.02, activations=tuple(FOUR), max_tokens=2000) as driven_:
        it = Still(driven_.app, driven_.pilot)
        await it.type("x")
        await it.press("enter")
        await it.until(lambda: it.app.compare.comparison is not None, "a run")
        await it.until(lambda: len(it.comparison.streams[0].tokens) > 5, "tokens")
        await it.go(2)
        await it.press("r")
        await it.until(lambda: "the reference" in it.head(2), "the head says so")
        await it.until(lambda: "diverges at 1" in it.head(0), "seen from silu")
        assert it.phase is Phase.RUNNING
        seen = len(it.comparison.streams[0].tokens)
        await it.until(lambda: len(it.comparison.streams[0].tokens) > seen + 10, "it goes on")
        await it.until(lambda: it.panes[0].tokens.tokens > seen + 5, "and is drawn")
        assert "the reference" in it.head(2)
        await it.press("ctrl+g")
        await it.until(lambda: it.finished, "stopped")
        assert it.app.compare.shown.document().reference == "gelu_approx"
        assert "the reference" in it.head(2)


# --- the line of keys -----------------------------------------------------------------------------


async def test_a_click_on_a_key_does_what_the_key_does() -> None:
    async with still(FOUR, size=(200, 50)) as it:
        await it.go(1)
        keys = it.app.compare.query_one(KeyLine)
        await it.until(lambda: "Colours" in str(keys.content), "the keys of the panes")
        at = str(keys.content).index("Colours") + 1
        await it.pilot.click(keys, offset=(at + 1, 0))
        await it.until_shown("KL against gelu_approx")
        at = str(keys.content).index("Help") + 1
        await it.pilot.click(keys, offset=(at + 1, 0))
        await it.until(lambda: type(it.app.screen).__name__ == "HelpScreen", "help")


# --- another comparison ---------------------------------------------------------------------------


async def test_a_frame_may_come_while_panes_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    async with still(FOUR) as it:
        board = it.app.compare.board
        set_count = board.set_count

        async def and_a_frame(count: int) -> None:
            board.show(running=True)
            await set_count(count)

        monkeypatch.setattr(board, "set_count", and_a_frame)
        await board.begin(run_comparison())
        assert len(board.panes) == 3
        assert board.perspective is not None


# --- keys without function keys -------------------------------------------------------------------


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 36), (200, 50)], ids=str)
async def test_the_keys_at_the_bottom_work_where_the_focus_is(size: tuple[int, int]) -> None:
    async with still(FOUR, size=size) as it:
        line = it.app.compare.query_one(KeyLine)
        await it.go(2)
        await it.until(lambda: "p Prompt" in str(line.content), "a key back to the prompt")
        assert str(line.content).startswith("? Help") and not re.search(r"F\d", str(line.content))
        await it.press("z", "p")
        await it.until(lambda: it.app.compare.prompt.has_focus, "the prompt")
        await it.type("p?")
        await it.until(lambda: it.app.compare.prompt.text.endswith("p?"), "letters are letters")
        await it.until(lambda: "F1 Help" in str(line.content), "keys for typing")
        wanted = [
            ("^p Palette", 80),
            ("F8 Matrix", 120),
            ("F9 Fed text", 120),
            ("^f Next fork", 200),
        ]
        for key, width in wanted:
            assert (key in str(line.content)) == (size[0] >= width), key


LETTERS = {
    "a": "ActivationsScreen",
    "P": "PromptsScreen",
    "m": "ModelsScreen",
    "h": "HistoryScreen",
    "w": "ForkScreen",
    "x": "MatrixScreen",
    "question_mark": "HelpScreen",
}


async def test_letters_in_a_pane_open_the_screens() -> None:
    async with still(FOUR) as it:
        await it.go(2)
        for letter, name in LETTERS.items():
            await it.press(letter)
            await it.until(lambda name=name: type(it.app.screen).__name__ == name, name)
            await it.press("f10" if name != "ForkScreen" else "q")
            await it.until(lambda: it.app.screen is it.app.compare, "back")


async def test_the_next_fork_from_the_prompt() -> None:
    async with still(FOUR) as it:
        it.app.compare.prompt.focus()
        await it.press("ctrl+f")
        await it.until(lambda: it.pane.has_focus and it.pane.cursor is not None, "at a fork")
        first = it.at
        await it.press("full_stop")
        await it.until(lambda: it.at != first, "the next one")
