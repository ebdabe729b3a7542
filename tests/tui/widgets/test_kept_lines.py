"""Lines that are kept are never older than what they show."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from gelu_tui.tui.compare.prompt import Prompt
from gelu_tui.tui.widgets.kept_lines import KeptLines
from tests.support.driving import ready


class Kept(KeptLines, Static):
    """A plain widget that keeps its lines."""


class Pair(App[None]):
    """The same text in a widget that keeps its lines and in one that does not."""

    CSS = """
    Static { height: 3; border-top: solid $accent; background: $panel; color: $text; }
    Static.-marked { color: $error; }
    Static:focus { background: $primary; }
    """

    def compose(self) -> ComposeResult:
        yield Kept("one")
        yield Static("one")


def lines(widget: Widget) -> list[Strip]:
    # The region that the screen asks for too: another one would have the lines made anew.
    return widget.render_lines(Region(0, 0, *widget.outer_size))


def both(app: Pair) -> tuple[Widget, Widget]:
    kept, plain = app.query(Static)
    return kept, plain


async def test_what_has_not_changed_is_not_made_again() -> None:
    async with Pair().run_test() as pilot:
        kept, plain = both(pilot.app)  # type: ignore[arg-type]
        assert lines(kept) is lines(kept)
        assert lines(plain) is not lines(plain)


async def test_every_change_is_seen() -> None:
    app = Pair()
    async with app.run_test(size=(40, 12)) as pilot:
        kept, plain = both(app)
        seen = [lines(kept)]

        async def changed(what: str) -> None:
            await pilot.pause()
            now = lines(kept)
            assert [list(a) for a in now] == [list(b) for b in lines(plain)], what
            assert [list(a) for a in now] != [list(b) for b in seen[-1]], what
            seen.append(now)

        for widget in (kept, plain):
            assert isinstance(widget, Static)
            widget.update("two")
        await changed("text")
        for widget in (kept, plain):
            widget.border_title = "title"
        await changed("title")
        for widget in (kept, plain):
            widget.add_class("-marked")
        await changed("class")
        app.theme = "textual-light"
        await changed("theme")
        await pilot.resize_terminal(30, 12)
        await changed("size")


async def test_a_prompt_that_scrolls_and_whose_cursor_moves() -> None:
    async with ready() as it:
        prompt = it.app.compare.query_one(Prompt)
        prompt.take("\n".join(f"line {n}" for n in range(12)))
        await it.until(lambda: "line 11" in it.screen(), "the last row")

        def of_every_place() -> None:
            kept = [list(line) for line in lines(prompt)]
            prompt.refresh()
            assert kept == [list(line) for line in lines(prompt)]

        for place in range(10, 4, -1):
            await it.press("up")
            await it.until(lambda row=place: prompt.cursor_location[0] == row, "the cursor")
            await it.pilot.pause()
            of_every_place()
        assert "line 11" not in it.screen()
        prompt.scroll_to(y=0, animate=False)
        await it.until(lambda: "line 0" in it.screen(), "scrolled without the cursor")
        of_every_place()
