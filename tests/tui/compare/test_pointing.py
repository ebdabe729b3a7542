"""The token cursor by keys, and the mouse on tokens."""

from __future__ import annotations

import pytest

from gelu_tui.tui.text_view.pane import TokenPane
from tests.support.still import drawn, reversed_text, still

ODD = ["空", "の", "青", "👨‍👩‍👧", "e\u0301", "\t", "tab", "\n", "", " ", "x", "\n", "\n", "end"]
WIDE = {"gelu_approx": ODD, "silu": ODD}

FORKS = {
    "gelu_approx": ["The", " sky", " is", " blue", ".", " So", " it", " is"],
    "gelu": ["The", " sky", " is", " blue", ".", " So", " it", " is"],
    "silu": ["The", " sky", " was", " grey", ".", " So", " it", " is"],
    "relu": ["The", " sky", " is", " blue", "!", " So", " it", " is"],
}


# --- keys -----------------------------------------------------------------------------------------


async def test_left_and_right_move_by_tokens_and_stop_at_both_ends() -> None:
    async with still(FORKS) as it:
        pane = await it.go(0)
        await it.press("right")
        await it.until_at(0, 0)
        await it.press("left")
        await it.press("right", "right")
        await it.until_at(0, 2)
        await it.press(*["right"] * 9)
        await it.until_at(0, 7)
        await it.press(*["left"] * 12)
        await it.until_at(0, 0)
        assert reversed_text(pane) == "The"


async def test_the_cursor_begins_at_the_fork() -> None:
    async with still(FORKS) as it:
        pane = await it.go(2)
        await it.press("left")
        await it.until_at(2, 2)
        await it.until(lambda: reversed_text(pane).strip() == "►was", "the fork under the cursor")


async def test_the_info_line_tells_of_the_token() -> None:
    async with still(FORKS) as it:
        await it.go(2)
        await it.press("right")
        await it.until_info("2 ‘ was’")
        token = it.comparison.streams[2].tokens[2]
        for part in (f"id {token}", "p 60.7 %", "margin 1.50", "KL 2.0e-03 nats"):
            assert part in it.info, it.info
        assert "KL against gelu_approx" in it.info
        await it.press("escape")
        await it.until_info("reference: gelu_approx")
        assert it.pane.cursor is None


async def test_up_and_down_move_by_rows_and_keep_the_column() -> None:
    lines = ["one", " two", " three", "\n", "空", "空", "の", "x", "\n", "s", "\n", "four", " five"]
    async with still({"gelu_approx": lines, "silu": lines}) as it:
        await it.go(0)
        await it.press("home", "right", "right")
        await it.until_at(0, 1)  # it begins in the fourth cell, as the second half of 空 does
        for key, token in (("down", 5), ("down", 9), ("down", 11), ("down", 11), ("up", 9)):
            await it.press(key)
            await it.until_at(0, token)
        await it.press("up", "up")
        await it.until_at(0, 1)
        await it.press("right", "down")
        await it.until_at(0, 7)


async def test_down_goes_through_wrapped_rows_whose_first_word_began_above() -> None:
    # The blank of ` word` hangs on the row above the one that the word itself begins.
    words = [f" word{n:03}" for n in range(110)]
    async with still({"gelu_approx": words, "silu": words}, size=(80, 24)) as it:
        pane = await it.go(0)
        await it.press("home", "right")
        await it.until_at(0, 0)
        seen = 0
        while seen + 8 < len(words):
            await it.press("down")
            await it.until(lambda seen=seen: (pane.cursor or 0) > seen, "further down")
            seen = pane.cursor or 0
            await it.until(lambda seen=seen: words[seen].strip() in reversed_text(pane), "in view")
        await it.press("home")
        for token in range(25):
            await it.press("right")
            await it.until_at(0, token + 1)
            await it.until(lambda at=token + 1: words[at].strip() in reversed_text(pane), "seen")


async def test_home_and_end() -> None:
    long = [f" w{n}" for n in range(600)]
    async with still({"gelu_approx": long, "silu": long}, size=(80, 24)) as it:
        pane = await it.go(0)
        await it.until(lambda: pane.view.follows, "it stands at its end")
        await it.press("home")
        await it.until(lambda: drawn(pane, 0).startswith(" w0 w1"), "the start")
        assert pane.cursor is None
        await it.press("right", "right", "right", "home")
        await it.until_at(0, 0)
        await it.press("end")
        await it.until_at(0, 599)
        await it.until(lambda: pane.view.follows, "the end")
        assert drawn(pane, pane.size.height - 1).endswith("w599")
        await it.press("escape")
        await it.until_at(0, None)


@pytest.mark.parametrize("ups", [0, 5])
async def test_a_notice_does_not_push_the_cursor_out_of_view(ups: int) -> None:
    long = [f" w{n}" for n in range(600)]
    async with still({"gelu_approx": long, "silu": long}, size=(80, 16)) as it:
        pane = await it.go(0)
        height = pane.size.height
        await it.press("right", "end", "left", *["up"] * ups)
        await it.until(lambda: pane.cursor is not None and pane.cursor < 599, "a cursor")
        it.app.compare.notice.show_message(
            "A sentence that takes two rows of such a narrow screen. " * 2
        )
        await it.until(lambda: pane.size.height < height, "less room")

        def in_all() -> bool:
            views = [each.tokens for each in it.panes]
            texts = ("".join(drawn(view, y) for y in range(view.size.height)) for view in views)
            return all(f"w{pane.cursor}" in text for text in texts)

        await it.until(in_all, "the cursor in view in both")


async def test_to_the_fork_and_to_the_next_over_all_panes() -> None:
    async with still(FORKS) as it:
        await it.go(0)
        await it.press("f")
        await it.until_notice("This is the reference: the others fork from it.")
        await it.go(1)
        await it.press("f")
        await it.until_notice("This stream does not differ from the reference.")
        for place, token in ((2, 2), (3, 4), (2, 2)):
            await it.press("full_stop")
            await it.until_at(place, token)
        for place, token in ((3, 4), (2, 2), (3, 4)):
            await it.press("comma")
            await it.until_at(place, token)
        await it.press("home")
        await it.until_at(3, 0)
        await it.press("f")
        await it.until_at(3, 4)
        assert [pane.tokens.cursor for pane in it.panes] == [None, None, None, 4]


async def test_without_forks_the_keys_say_so() -> None:
    async with still(dict.fromkeys(("gelu_approx", "gelu"), FORKS["gelu"])) as it:
        await it.go(1)
        await it.press("full_stop")
        await it.until_notice("No stream differs from the reference.")
        await it.press("f")
        await it.until_notice("This stream does not differ")
        assert it.at == (1, None)


async def test_the_cursor_is_seen_on_every_kind_of_token() -> None:
    async with still(WIDE) as it:
        pane = await it.go(0)
        await it.press("home")
        for token, text in enumerate(ODD):
            await it.press("right")
            await it.until_at(0, token)
            seen = {"\t": "→", "\n": "↵", "": " "}.get(text, text)
            await it.until(
                lambda seen=seen: (
                    reversed_text(pane).strip(" ") == seen.strip(" ") and reversed_text(pane)
                ),
                f"token {token}, {text!r}, seen; is {reversed_text(pane)!r}",
            )


async def test_the_cursor_is_seen_on_tokens_without_text_at_the_end() -> None:
    texts = ["The", " end", ""]
    async with still({"gelu_approx": texts, "silu": texts}) as it:
        pane = await it.go(0)
        await it.press("right", "right", "right")
        await it.until_at(0, 2)
        await it.until(lambda: reversed_text(pane) == " ", "a cell after the text")


async def test_the_cursor_of_one_pane_is_echoed_in_the_others() -> None:
    async with still(FORKS) as it:
        await it.go(3)
        await it.press("right")
        await it.until(lambda: [p.tokens.echo for p in it.panes] == [4, 4, 4, None], "echoes")
        it.board.point(0, 2)
        await it.until(lambda: [p.tokens.echo for p in it.panes] == [None, 2, 2, 2], "echoes")
        it.board.point(3, 4)
        await it.until(lambda: [p.tokens.echo for p in it.panes] == [4, 4, 4, None], "echoes")
        await it.press("t")
        await it.until_notice("each by itself")
        await it.until(lambda: [p.tokens.echo for p in it.panes] == [None] * 4, "no echoes")
        await it.press("right")
        await it.until_at(3, 5)
        assert [p.tokens.echo for p in it.panes] == [None] * 4


async def test_a_new_run_takes_the_cursor_and_what_is_told_of_it_away() -> None:
    async with still(FORKS) as it:
        await it.go(2)
        await it.press("right")
        await it.until_info("2 ‘ was’")
        await it.press("ctrl+r")
        await it.until(lambda: it.finished, "a run")
        await it.until(lambda: it.pane.cursor is None, "no cursor")
        await it.until_info("256 tokens")
        assert "was" not in it.info


async def test_a_fork_that_stands_in_the_next_row_leaves_no_mark_in_the_row_before() -> None:
    words = [" word"] * 40
    async with still({"gelu_approx": words, "silu": [*words[:9], " other", *words]}) as it:
        for width in range(44, 60):
            await it.pilot.resize_terminal(width, 30)
            pane = it.panes[1].tokens
            await it.until(lambda: pane.size.width < 60, "narrow")  # noqa: B023
            fork = pane.style_of("fork").rich_style.bgcolor
            marked = [
                segment.text
                for y in range(pane.size.height)
                for segment in pane.render_line(y)
                if segment.style is not None and segment.style.bgcolor == fork
            ]
            assert "".join(marked).strip() == "►other"
            assert len(marked) == 1


# --- mouse ----------------------------------------------------------------------------------------


async def test_hovering_tells_of_the_token_under_the_mouse() -> None:
    async with still(FORKS) as it:
        pane = it.panes[2].tokens
        await it.pilot.hover(pane, offset=(5, 0))
        await it.until_info("1 ‘ sky’")
        assert pane.hover == 1
        assert pane.cursor is None
        await it.pilot.hover("#prompt")
        await it.until_info("reference: gelu_approx")
        assert pane.hover is None


async def test_when_the_mouse_leaves_the_line_tells_of_the_cursor_again() -> None:
    async with still(FORKS) as it:
        await it.go(2)
        await it.press("right")
        await it.until_info("2 ‘ was’")
        await it.pilot.hover(it.panes[0].tokens, offset=(1, 0))
        await it.until_info("0 ‘The’")
        await it.pilot.hover("#prompt")
        await it.until_info("2 ‘ was’")


async def test_a_click_points_and_gives_the_focus() -> None:
    async with still(FORKS) as it:
        pane = it.panes[3].tokens
        await it.pilot.click(pane, offset=(5, 0))
        await it.until_at(3, 1)
        assert pane.has_focus
        await it.pilot.click(pane, offset=(3, pane.size.height - 1))  # below the text
        await it.until_at(3, 1)


async def test_every_cell_of_wide_text_belongs_to_its_token() -> None:
    async with still(WIDE) as it:
        pane = it.panes[1].tokens
        cells = [0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 5, 5, 5, 6, 6, 6]
        for x, token in enumerate(cells):
            await it.pilot.hover(pane, offset=(x, 0))
            await it.until(lambda token=token: pane.hover == token, f"token {token} at cell {x}")
        await it.pilot.hover(pane, offset=(len(cells), 0))
        await it.until(lambda: pane.hover is None, "nothing beyond the row")
        await it.pilot.click(pane, offset=(7, 0))
        await it.until_at(1, 3)
        assert "👨‍👩‍👧" in it.info


async def test_a_double_click_opens_the_fork_of_that_pane() -> None:
    async with still(FORKS) as it:
        await it.pilot.click(it.panes[3].tokens, offset=(2, 0), times=2)
        await it.until(lambda: type(it.app.screen).__name__ == "ForkScreen", "the fork")
        await it.until_shown("relu")
        await it.press("escape")
        await it.until(lambda: it.app.screen is it.app.compare, "the comparison again")
        assert not it.app.compare.selections, "nothing was selected by the way"


async def test_enter_in_a_pane_opens_its_fork() -> None:
    async with still(FORKS) as it:
        await it.go(2)
        await it.press("enter")
        await it.until(lambda: type(it.app.screen).__name__ == "ForkScreen", "the fork")


# --- the fork that is out of view -----------------------------------------------------------------

LONG = {
    "gelu_approx": [f" w{n}" for n in range(600)],
    "silu": [" w0", " w1", " other", *(f" v{n}" for n in range(600))],
}


def bar(pane: TokenPane) -> str:
    return "".join(pane.render_line(y).text[-1] for y in range(pane.size.height))


async def test_the_bar_shows_where_the_fork_is_and_a_click_goes_there() -> None:
    async with still(LONG, size=(80, 24)) as it:
        pane = it.panes[1].tokens
        await it.until(lambda: bar(pane)[0] == "►", "a mark at the top")
        assert not pane.fork_in_view
        assert "►" not in bar(it.panes[0].tokens)
        await it.pilot.click(pane, offset=(pane.size.width - 1, 0))
        await it.until_at(1, 2)
        await it.until(lambda: pane.fork_in_view, "the fork")


async def test_a_click_on_the_numbers_goes_to_the_fork_or_chooses_the_pane() -> None:
    async with still(LONG, size=(80, 24)) as it:
        await it.pilot.click(it.panes[1].head, offset=(2, 0))
        await it.until_at(1, 2)
        await it.until_info("2 ‘ other’")
        await it.pilot.click(it.panes[0].head, offset=(2, 0))
        await it.until_at(0, None)
        assert not it.notice.startswith("• This is the reference")


async def test_an_escape_too_many_after_a_dialog_costs_nothing() -> None:
    async with still(FORKS) as it:
        await it.go(2)
        await it.press("z", "right")
        await it.until_at(2, 2)
        for key in ("f7", "f1", "m"):
            await it.press(key)
            await it.until(lambda: it.app.screen is not it.app.compare, "a dialog")
            await it.press("escape")
            await it.until(lambda: it.app.screen is it.app.compare, "the comparison again")
            await it.press("escape")
            assert it.at == (2, 2)
            assert it.app.compare.maximized is it.panes[2]
        await it.press("escape")
        await it.until_at(2, None)
        await it.press("z")
        await it.until(lambda: it.app.compare.maximized is None, "all panes")
