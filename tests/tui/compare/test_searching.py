"""Searching, selecting and copying on the compare screen, and following the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.events import MouseDown, MouseMove, MouseUp
from textual.selection import SELECT_ALL
from textual.widgets import Input

from gelu_tui.core import paths
from gelu_tui.tui.compare.info_line import InfoLine
from gelu_tui.tui.engine_link.session import Phase
from tests.support.driving import driven, ready
from tests.support.still import Still, drawn, still

TEXTS = {
    "gelu_approx": ["The", " sky", " is", " blue", ".", " A", " sky", " (.*)", " it", " is"],
    "gelu": ["The", " Sky", " is", " blue", ".", " A", " sky", " too", ",", " it", " is"],
    "silu": ["No", " match", " at", " all", "."],
}
WORDS = [f" word{n:03}" for n in range(60)]


def count(it: Still) -> str:
    return str(it.app.compare.query_one("#search-count").content)


def searching(it: Still) -> bool:
    return it.app.compare.query_one(InfoLine).has_class("-search")


async def begin_search(it: Still, text: str) -> None:
    await it.press("slash")
    await it.until(lambda: isinstance(it.app.focused, Input), "the field")
    await it.type(text)


def marked(it: Still) -> list[str]:
    """The places that are marked, pane by pane."""
    found = []
    for pane in it.panes:
        text = pane.tokens.buffer.text
        found += [text[first:last] for first, last in pane.tokens.finder]
    return found


# --- search ---------------------------------------------------------------------------------------


async def test_typing_marks_and_counts_in_all_panes_and_enter_goes_to_the_first() -> None:
    async with still(TEXTS) as it:
        await it.go(0)
        await begin_search(it, "sk")
        await it.until(lambda: "4 found" in count(it), "the count")
        await it.type("y")
        await it.until(lambda: marked(it) == ["sky", "sky", "Sky", "sky"], "whatever the case")
        segments = it.panes[1].tokens.render_line(0)
        underlined = [s.text for s in segments if s.style is not None and s.style.underline]
        assert "".join(underlined) == "Skysky"
        await it.press("enter")
        await it.until_at(0, 1)
        await it.until(lambda: it.pane.has_focus and not searching(it), "the pane again")
        await it.until_info("1 ‘ sky’")
        await it.until_notice("4 found.")
        for place, token in ((0, 6), (1, 1), (1, 6), (0, 1)):
            await it.press("n")
            await it.until_at(place, token)
        for place, token in ((1, 6), (1, 1)):
            await it.press("N")
            await it.until_at(place, token)


async def test_escape_ends_the_search_in_the_field_and_in_the_pane() -> None:
    async with still(TEXTS) as it:
        await it.go(0)
        await begin_search(it, "sky")
        await it.until(lambda: len(marked(it)) == 4, "marks")
        await it.press("escape")
        await it.until(lambda: not marked(it) and not searching(it), "no marks")
        await it.until(lambda: it.pane.has_focus, "the pane again")
        await it.press("n")
        await it.until_notice("/ begins a search")
        await begin_search(it, "sky")
        await it.press("enter")
        await it.until(lambda: it.pane.has_focus and it.pane.cursor is not None, "the first")
        await it.press("escape")
        await it.until(lambda: not marked(it) and it.pane.cursor is None, "neither")
        await it.until(lambda: not it.notice, "no message about a search that has ended")


@pytest.mark.parametrize("text", ["nowhere", "[", "(", "s.y", "\\"])
async def test_a_search_without_a_match_says_so(text: str) -> None:
    async with still(TEXTS) as it:
        await it.go(1)
        await begin_search(it, text)
        wanted = 1 if text == "(" else 0
        await it.until(lambda: f"{wanted} found" in count(it), "the count")
        await it.press("enter")
        if wanted:
            await it.until_at(0, 7)
        else:
            await it.until_notice(f"‘{text}’ is nowhere in the panes.")
            assert it.at == (1, None)
            await it.press("n")
            await it.until_notice(f"‘{text}’ is not found.")


async def test_a_message_about_a_search_goes_when_another_begins() -> None:
    async with still(TEXTS) as it:
        await it.go(0)
        await begin_search(it, "nowhere")
        await it.press("enter")
        await it.until_notice("‘nowhere’ is nowhere in the panes.")
        await it.press("slash")
        await it.until(lambda: not it.notice, "the message is gone")


async def test_a_message_about_forks_goes_when_there_is_one() -> None:
    names = ("gelu_approx", "gelu_fast_approx")
    async with driven("long", prompt="x", step_s=0.2, activations=names, max_tokens=2000) as it:
        await it.until(lambda: it.comparison.streams, "a run")
        it.app.compare.board.fork_step(1)
        await it.until_shown("No stream differs from the reference.")
        await it.until_gone("No stream differs from the reference.")
        assert it.phase is Phase.RUNNING


async def test_signs_of_regular_expressions_are_taken_as_they_are() -> None:
    async with still(TEXTS) as it:
        await it.go(0)
        await begin_search(it, "(.*)")
        await it.until(lambda: marked(it) == ["(.*)"], "the one place")


async def test_an_empty_search_ends_it() -> None:
    async with still(TEXTS) as it:
        await it.go(0)
        await it.press("slash")
        await it.until(lambda: isinstance(it.app.focused, Input), "the field")
        await it.press("enter")
        await it.until(lambda: it.pane.has_focus and not searching(it), "the pane again")


async def test_panes_behind_tabs_are_searched_too() -> None:
    texts = {**TEXTS, **{name: ["x", " sky"] for name in ("relu", "relu2", "mish", "identity")}}
    async with still(texts, size=(50, 14)) as it:
        assert [pane.display for pane in it.panes].count(True) == 1
        await it.go(0)
        await begin_search(it, "sky")
        await it.until(lambda: "8 found" in count(it), "the count")
        await it.press("enter")
        await it.until_at(0, 1)
        for place, token in ((0, 6), (1, 1), (1, 6), (3, 1)):
            await it.press("n")
            await it.until_at(place, token)
        assert it.panes[3].display


async def test_a_search_goes_on_while_the_text_grows_and_in_the_next_run() -> None:
    names = ("gelu_approx", "gelu")
    async with ready("long", step_s=0.01, activations=names, max_tokens=300) as driven_:
        it = Still(driven_.app, driven_.pilot)
        await it.type("x")
        await it.press("enter")
        await it.until(lambda: it.app.compare.comparison is not None, "a run")
        await it.until(lambda: it.panes[0].tokens.tokens > 3, "tokens")
        await it.go(0)
        await begin_search(it, "blue")
        await it.press("enter")
        await it.until(lambda: it.pane.cursor is not None, "the first")
        first = it.pane.cursor
        await it.until(lambda: len(marked(it)) >= 4, "more of them, as they come")
        await it.press("n")
        await it.until(lambda: it.pane.cursor != first or it.board.chosen == 1, "the next")
        await it.press("ctrl+g")
        await it.until(lambda: it.finished, "stopped")
        old = it.comparison
        await it.press("ctrl+r")
        await it.until(lambda: it.comparison is not old, "another run")
        await it.until(lambda: len(marked(it)) >= 2, "marked there too")


# --- selecting and copying ------------------------------------------------------------------------


class Clipboard:
    """The file in which the app leaves what it has copied."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8") if self.path.exists() else ""

    @property
    def mode(self) -> int:
        return self.path.stat().st_mode & 0o777


@pytest.fixture
def clipboard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Clipboard:
    monkeypatch.setattr(paths, "cache_dir", lambda: tmp_path / "cache")
    return Clipboard(tmp_path / "cache" / "clipboard.txt")


async def test_the_mouse_selects_over_wrapped_rows_and_ctrl_c_copies_without_breaks(
    clipboard: Clipboard,
) -> None:
    async with still({"gelu_approx": WORDS, "silu": WORDS}, size=(80, 24)) as it:
        pane = await it.go(1)
        await it.press("home")
        await it.until(lambda: drawn(pane, 0).startswith(" word000"), "the start")
        first, last = drawn(pane, 0), drawn(pane, 2)
        await it.pilot.mouse_down(pane, offset=(1, 0))
        await it.pilot.hover(pane, offset=(4, 2))
        await it.pilot.mouse_up(pane, offset=(4, 2))
        await it.press("ctrl+c")
        await it.until(lambda: clipboard.text, "copied")
        copied = clipboard.text
        whole = "".join(WORDS)
        assert copied == whole[1 : whole.index(last[:7]) + 5]  # the last cell counts
        assert copied.startswith(first[1:])
        assert "\n" not in copied
        await it.until_notice("Copied")
        assert clipboard.mode == 0o600


async def test_wide_text_is_selected_by_characters(clipboard: Clipboard) -> None:
    wide = ["空の", "青👨‍👩‍👧", "\t", "end", "\n", "next", " line"]
    async with still({"gelu_approx": wide, "silu": wide}) as it:
        pane = await it.go(0)
        await it.pilot.mouse_down(pane, offset=(2, 0))
        await it.pilot.hover(pane, offset=(3, 1))
        await it.pilot.mouse_up(pane, offset=(3, 1))
        await it.press("ctrl+c")
        await it.until(lambda: clipboard.text, "copied")
        assert clipboard.text == "の青👨‍👩‍👧\tend\nnext"


async def test_y_copies_the_text_of_the_stream_without_marks(clipboard: Clipboard) -> None:
    texts = {
        "gelu_approx": ["The", " sky", " is", "\n", "blue"],
        "silu": ["The", " sky", "\n", "was", "\x1b[31m", " grey"],
    }
    async with still(texts) as it:
        await it.go(1)
        await it.press("y")
        await it.until(lambda: clipboard.text, "copied")
        assert clipboard.text == "The sky\nwas␛[31m grey"


async def test_a_drag_does_not_move_the_cursor(clipboard: Clipboard) -> None:
    async with still({"gelu_approx": WORDS, "silu": WORDS}, size=(80, 24)) as it:
        pane = await it.go(0)
        await it.press("right")
        await it.until(lambda: pane.cursor is not None, "a cursor")
        before = pane.cursor
        # Through the app, which makes a click of a button let go where the same pane is.
        for event, x, y in ((MouseDown, 1, 0), (MouseMove, 6, 1), (MouseUp, 6, 1)):
            x, y = pane.region.x + x, pane.region.y + y
            button = 0 if event is MouseMove else 1
            it.app.post_message(event(None, x, y, 0, 0, button, False, False, False, x, y))
        await it.until(it.app.compare.get_selected_text, "a selection")
        await it.press("ctrl+c")
        await it.until_notice("Copied")
        assert pane.cursor == before


async def test_the_mark_of_the_fork_is_neither_searched_nor_copied(clipboard: Clipboard) -> None:
    async with still({"gelu_approx": ["The", " sky", " is"], "silu": ["The", " sea", " is"]}) as it:
        pane = it.panes[1].tokens
        await it.until(lambda: "The ►sea is" in pane.buffer.text, "the mark")
        await it.go(1)
        await begin_search(it, "the sea is")
        await it.until(lambda: marked(it) == ["The ►sea is"], "found across the mark")
        await it.press("enter")
        it.app.compare.selections = {pane: SELECT_ALL}
        await it.press("ctrl+c")
        await it.until(lambda: clipboard.text, "copied")
        assert clipboard.text == "The sea is"


# --- following the end ----------------------------------------------------------------------------


@asynccontextmanager
async def growing(tokens: int) -> AsyncIterator[Still]:
    """Two streams that go on for some seconds, with so many tokens already."""
    names = ("gelu_approx", "gelu")
    async with ready(
        "long", step_s=0.004, activations=names, max_tokens=1500, size=(60, 20)
    ) as driven:
        it = Still(driven.app, driven.pilot)
        await it.type("x")
        await it.press("enter")
        await it.until(lambda: it.app.compare.comparison is not None, "a run")
        await it.until(lambda: it.panes[0].tokens.tokens > tokens, "a long text")
        yield it


async def test_pointing_stops_the_following_and_end_resumes_it() -> None:
    async with growing(300) as it:
        pane = await it.go(0)
        await it.press("home")
        await it.until(lambda: not pane.view.follows, "at the start")
        await it.press("right")
        await it.until_at(0, 0)
        seen = pane.tokens
        await it.pilot.resize_terminal(90, 30)
        await it.until(lambda: pane.tokens > seen + 100 or it.finished, "it goes on")
        assert pane.view.offset == 0
        assert pane.cursor == 0
        await it.press("end")
        await it.until(lambda: pane.view.follows, "the end")
        assert pane.cursor is not None
        assert pane.cursor > seen
        await it.press("ctrl+g")
        await it.until(lambda: it.finished, "stopped")
        await it.until(lambda: pane.view.at_end, "the last row")
        assert it.panes[1].tokens.view.at_end


async def test_a_token_that_is_pointed_at_stays_while_the_text_grows() -> None:
    async with growing(100) as it:
        pane = await it.go(0)
        assert pane.view.follows
        pane.point(pane.tokens - 1)  # in the last row, so that nothing need be scrolled
        seen = pane.tokens
        await it.until(lambda: pane.tokens > seen + 200, "it goes on")
        assert it.panes[1].tokens.echo == pane.cursor
        for each in (it.panes[0].tokens, it.panes[1].tokens):
            assert pane.cursor is not None
            offset = each.buffer.span(pane.cursor)[1] - 1
            assert 0 <= each.view.y_of(offset) < each.size.height
        await it.press("escape")
        await it.until(lambda: pane.view.follows and pane.cursor is None, "the end again")
        await it.until(lambda: it.panes[1].tokens.view.follows, "the end in the other")
        await it.press("right", "pageup", "escape")
        await it.until(lambda: pane.cursor is None, "no cursor")
        assert not any(p.tokens.view.follows for p in it.panes), "who scrolled up stays there"
