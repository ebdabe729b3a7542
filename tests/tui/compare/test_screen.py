"""What the screen looks like: sizes, hostile text, blank tokens, colours."""

from __future__ import annotations

import pytest
from textual.color import Color

from gelu_tui.tui.compare.prompt import Prompt
from gelu_tui.tui.text_view.pane import TokenPane
from gelu_tui.tui.text_view.wrapping import cells
from tests.support.driving import PROMPT, driven, ready


@pytest.mark.parametrize("size", [(40, 12), (80, 24), (120, 36), (200, 50)])
async def test_a_finished_comparison_fits_its_terminal(size: tuple[int, int]) -> None:
    async with driven(prompt=PROMPT, size=size) as it:
        await it.until_finished()
        await it.until_shown("F1 Help")  # the footer is made anew when a run ends
        rows = it.screen().splitlines()
        assert all(len(row) <= size[0] for row in rows)
        assert PROMPT in rows[0]
        # In the narrowest panes the number of tokens is left out.
        assert ("identical (40" if size[0] >= 120 else "identical") in it.screen()
        assert "tok/s in all" in rows[-2]
        assert "F1 Help" in rows[-1]
        if size[0] >= 80:
            for text in ("diverges at 10", "diverges at 1 ", "diverges at 0", "the reference"):
                assert text in it.screen()
            assert "^q Quit" in rows[-1]


async def test_a_terminal_that_is_too_small_says_so_and_recovers() -> None:
    async with driven(prompt=PROMPT, size=(39, 24)) as it:
        await it.until_shown("More room, please: at least 40 × 12. This terminal is 39 × 24.")
        await it.type("!")
        await it.pilot.resize_terminal(80, 24)
        await it.until_shown(PROMPT + "!")
        await it.pilot.resize_terminal(80, 11)
        await it.until_shown("This terminal is 80 × 11.")
        await it.pilot.resize_terminal(20, 5)
        await it.until_shown("20 × 5.")


async def test_a_resize_in_the_middle_of_a_run_wraps_anew() -> None:
    async with driven(prompt=PROMPT, step_s=0.02) as it:
        await it.until_shown("because of")
        for size in ((80, 24), (200, 50), (41, 13), (120, 36)):
            await it.pilot.resize_terminal(*size)
        await it.until_finished()
        for view in it.app.compare.query(TokenPane):
            rows = [row for _, row in view.view.rows()]
            assert all(cells(row.text[: row.shown]) < view.size.width for row in rows)


async def test_hostile_text_is_visible_and_does_nothing() -> None:
    async with driven("hostile", prompt=PROMPT) as it:
        await it.until_finished()
        shown = it.screen()
        for text in ("␛[31mred", "␛]0;owned␇", "[bold]markup[/]", "⟨U+202E⟩abc", "␀", "␍"):
            assert text in shown
        for y in range(5):
            for view in it.app.compare.query(TokenPane):
                drawn = "".join(segment.text for segment in view.render_line(y))
                assert not set(drawn) & {"\x1b", "\x00", "\x07", "\r", "\u202e"}


async def test_a_hostile_prompt_is_visible_in_the_field_and_sent_as_it_is() -> None:
    prompt = "a\x1b[2Jb\u202ec"
    async with driven(prompt=prompt) as it:
        await it.until_finished()
        assert "a␛[2Jb¤c" in it.screen()
        assert it.comparison.prompt == prompt
        field = it.app.compare.query_one(Prompt)
        assert field.text == prompt


async def test_a_prompt_that_is_no_unicode_is_refused() -> None:
    async with driven(prompt="caf\udce9") as it:
        await it.until_shown("The prompt is not valid UTF-8.")
        assert "caf\ufffd" in it.screen()


async def test_a_first_divergent_token_that_is_blank_has_a_visible_form() -> None:
    async with driven("blank_forks", prompt=PROMPT) as it:
        await it.until_finished()
        shown = it.screen()
        for mark in ("►↵", "►<unused99>", "►<start_of_image>"):
            assert mark in shown


async def test_the_engine_names_no_file_as_markup() -> None:
    async with ready(model="[red]markup") as it:
        await it.until_shown("[red]markup · float32")


async def test_nothing_is_black_on_black_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with driven(prompt=PROMPT) as it:
        await it.until_finished()
        assert not any(theme.ansi for theme in it.app.available_themes.values())
        view = it.app.compare.query(TokenPane)[2]
        segments = [s for y in range(4) for s in view.render_line(y) if "►" in s.text]
        assert segments[0].style is not None
        assert segments[0].style.reverse


async def test_every_theme_keeps_the_fork_distinct_and_readable() -> None:
    async with driven(prompt=PROMPT) as it:
        await it.until_finished()
        view = it.app.compare.query(TokenPane)[2]
        for theme in it.app.available_themes.values():
            if theme.ansi:  # drawn in the terminal's own colours
                continue
            it.app.theme = theme.name
            warning = Color.parse(it.app.theme_variables["warning"])

            def block_and_ink(view: TokenPane = view) -> tuple[Color, Color]:
                styles = [s.style for y in range(4) for s in view.render_line(y) if "►" in s.text]
                assert styles[0] is not None
                return (
                    Color.from_rich_color(styles[0].bgcolor),
                    Color.from_rich_color(styles[0].color),
                )

            await it.until(lambda w=warning: block_and_ink()[0] == w, f"the block of {theme.name}")
            block, ink = block_and_ink()
            assert block.get_contrast_text(1.0).brightness == pytest.approx(ink.brightness, abs=0.2)
