"""Lines that are kept are never older than what they show."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from gelu_tui.tui.widgets.kept_lines import KeptLines


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
    return widget.render_lines(
        Region(
            0,
            0,
            *widget.size,
        )
    )


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
