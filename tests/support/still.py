"""The app over a comparison that is finished: reopened from a document, no engine needed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from textual.widgets import Static

from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.tui.compare.board import Board
from gelu_tui.tui.compare.notice import Notice
from gelu_tui.tui.compare.stream_pane import StreamPane
from gelu_tui.tui.text_view.pane import TokenPane
from gelu_tui.tui.text_view.styles import token_styles
from tests.support.comparisons import run_document
from tests.support.driving import Driven, driven

Texts = Mapping[str, Sequence[str]]


class Still(Driven):
    """Nothing streams, so that what is there changes by keys and mouse alone."""

    @property
    def board(self) -> Board:
        return self.app.compare.board

    @property
    def panes(self) -> list[StreamPane]:
        return self.board.panes

    @property
    def pane(self) -> TokenPane:
        """The tokens of the chosen pane."""
        chosen = self.board.chosen_pane
        assert chosen is not None
        return chosen.tokens

    @property
    def at(self) -> tuple[int, int | None]:
        """Place of the chosen pane and its cursor."""
        return self.board.chosen, self.pane.cursor

    @property
    def info(self) -> str:
        return str(self.app.compare.query_one("#info", Static).content)

    @property
    def notice(self) -> str:
        return str(self.app.compare.query_one(Notice).content)

    async def go(self, place: int) -> TokenPane:
        """Focus a pane."""
        self.board.action_choose(place)
        pane = self.panes[place].tokens
        await self.until(lambda: pane.has_focus, f"the focus on pane {place}")
        return pane

    async def until_at(self, place: int, token: int | None) -> None:
        await self.until(lambda: self.at == (place, token), f"at {place, token}, is {self.at}")

    async def until_info(self, text: str) -> None:
        await self.until(lambda: text in self.info, f"'{text}' in the line of information")

    async def until_notice(self, text: str) -> None:
        await self.until(lambda: text in self.notice, f"'{text}' in the notice")

    def head(self, place: int) -> str:
        """The numbers of a pane."""
        head = self.panes[place].head
        return "\n".join(head.render_line(y).text for y in range(head.size.height))


def drawn(pane: TokenPane, y: int) -> str:
    """A row as it is drawn, without the bar."""
    return pane.render_line(y).text[:-1].rstrip()


def reversed_text(pane: TokenPane) -> str:
    """What is drawn on the colour of the text, which is how a cursor looks."""
    segments = [s for y in range(pane.size.height) for s in pane.render_line(y)]
    block = token_styles(pane.app)["cursor"].rich_style.bgcolor
    assert block is not None
    return "".join(s.text for s in segments if s.style is not None and s.style.bgcolor == block)


def with_statistics(
    saved: ComparisonDocument, name: str, statistics: Sequence[tuple[float, float, float | None]]
) -> ComparisonDocument:
    """The document with these logprobs, margins and KLs in one of its streams."""
    variants = []
    for variant in saved.variants:
        if variant.name == name:
            steps = [
                msgspec.structs.replace(step, logprob=logprob, margin=margin, kl=kl)
                for step, (logprob, margin, kl) in zip(variant.steps, statistics, strict=True)
            ]
            variant = msgspec.structs.replace(variant, steps=steps)
        variants.append(variant)
    return msgspec.structs.replace(saved, variants=variants)


@asynccontextmanager
async def still(
    texts: Texts | ComparisonDocument,
    *,
    size: tuple[int, int] = (120, 30),
    **options: Any,
) -> AsyncIterator[Still]:
    """The app that opens with a comparison of these streams; the first is the reference."""
    saved = texts if isinstance(texts, ComparisonDocument) else run_document(texts=texts)
    async with driven(size=size, saved=saved, **options) as it:
        made = Still(it.app, it.pilot)

        def shown() -> bool:
            panes = made.panes if made.app.compare.shown is not None else []
            return (
                bool(panes)
                and panes[0].tokens.has_focus
                and all(
                    pane.tokens.tokens == len(stream.tokens) and pane.tokens.size.height
                    for pane, stream in zip(panes, made.comparison.streams, strict=True)
                    if pane.display
                )
            )

        await made.until(shown, "the saved run is shown")
        await it.pilot.pause()  # the panes have their places; nothing is going on any more
        yield made
