"""A text that grows by pieces of words: what stands ready is what would be drawn anew."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.standing import Standing
from gelu_tui.core.comparison.state import Stream
from gelu_tui.tui.text_view.pane import TokenPane

WIDTH, HEIGHT = 25, 8  # the last column is the bar's
LONG = [" Lipstick", "gel", "Miss", "Frays", "lemm", "uslip", " Rick", "Rous"]
PLAIN = [" a", " word", " that", " grow", "ing", "ly", "ish", "ness", " ends", "\n", "x" * 30, " y"]
WIDE = [" 空が青い", "のは", "なぜ", "ですか", "?", " é🌍", "🌍🌍🌍🌍🌍🌍🌍🌍"]


class Host(App[None]):
    def compose(self) -> ComposeResult:
        self.pane = TokenPane()
        yield self.pane


def texts(pane: TokenPane) -> list[str]:
    strips = pane.render_lines(Region(0, 0, WIDTH, HEIGHT))
    return [strip.text for strip in strips]


@pytest.mark.parametrize("tokens", [LONG, PLAIN, WIDE])
@pytest.mark.parametrize("fork", [None, 0, 2, 4])
async def test_rows_that_stand_ready_are_true(tokens: list[str], fork: int | None) -> None:
    host = Host()
    async with host.run_test(size=(WIDTH, HEIGHT)) as pilot:
        await pilot.pause()
        stream = Stream(p.VariantInfo("relu", "max(0,x)", "float32"))
        for step, text in enumerate(tokens):
            stream.tokens.append(step)
            stream.segments.append(text)
            diverged = fork is not None and step >= fork
            agreed = min(step, fork or 0)
            host.pane.show(stream, Standing("diverged" if diverged else "same", agreed))
            ready = texts(host.pane)
            host.pane.draw_all()
            assert ready == texts(host.pane)


async def test_a_token_costs_its_own_row_and_another_theme_all_rows_once() -> None:
    host = Host()
    async with host.run_test(size=(WIDTH, HEIGHT)) as pilot:
        await pilot.pause()
        stream = Stream(p.VariantInfo("relu", "max(0,x)", "float32"))

        def made(count: int) -> int:
            """How many rows were made for so many more tokens."""
            before = host.pane._strips.cache_info().misses
            for _ in range(count):
                stream.tokens.append(0)
                stream.segments.append(" word")
            host.pane.show(stream, Standing("uncompared"))
            texts(host.pane)
            return host.pane._strips.cache_info().misses - before

        made(22)  # four words a row: five rows and a half
        assert made(1) == 1
        assert made(0) == 0
        misses = []
        for theme in ("textual-dark", "textual-light", "textual-dark"):
            host.theme = theme
            await pilot.pause()
            texts(host.pane)
            misses.append(host.pane._strips.cache_info().misses)
        dark, light, dark_again = misses
        assert light >= dark + 6
        assert dark_again == light, "rows of the first theme stand ready"
