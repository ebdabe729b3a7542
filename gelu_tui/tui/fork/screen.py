"""The fork of one stream: the candidates of both sides, how close it was, what came after."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Static

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.fork_sentences import explain_fork, explain_verdict, why_no_fork
from gelu_tui.core.comparison.forks import fork_seen_from, kl_at_fork, replayed
from gelu_tui.core.comparison.state import Agreement, Comparison, Stream
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.compare.what_if import AskWhatIf, Trying
from gelu_tui.tui.fork.alignment import Alignment, align
from gelu_tui.tui.fork.alignment_map import alignment_map, rejoin_sentence, stretch_list
from gelu_tui.tui.fork.candidates import LEGEND, both_lists, candidates
from gelu_tui.tui.fork.context import fork_context
from gelu_tui.tui.fork.what_if_view import PARTS as WHAT_IF
from gelu_tui.tui.fork.what_if_view import what_if_view
from gelu_tui.tui.keys.actions import HELP
from gelu_tui.tui.text_view.pieces import FORK_MARK
from gelu_tui.tui.widgets.background import is_open
from gelu_tui.tui.widgets.closes_once import ClosesOnce
from gelu_tui.tui.widgets.key_hints import KeyHints

_POLL_S = 0.5
_KEYS = "q, Esc back · w what if · r replay · n next · p previous · ↑ ↓ scroll · F1 help"

_NO_FORK = "There is no fork to explain; n shows the next stream."

_STACKED_BELOW = 60  # columns; narrower than that one list is below the other
_AFTER = ("rejoin", "map", "stretches")  # the parts that show what came after the fork
_MARGIN = 2  # columns at either side of the text, the scroll bar's included
_GUTTER = 2
_SHORT_BELOW = 30  # rows; shorter than that blank rows are left out
_OTHER_ROWS = 21  # around the lists, where the terminal is 80 columns wide
_LIST_ROWS = (5, 10)


class ForkScreen(ClosesOnce, Screen[int]):
    """Shows the fork of a stream seen from another one, while the comparison grows too.

    Dismissed with the index of the stream that was shown last.
    """

    CSS_PATH = "fork.tcss"
    BINDINGS: ClassVar = [
        Binding("n", "turn(1)", "Next stream"),
        Binding("p", "turn(-1)", "Previous stream"),
        Binding("r", "replay", "In float32: replay it, show the replay or the run"),
        Binding("w", "what_if", "What if: give it the reference's token, and see how it goes on"),
        Binding("q,escape,f10,f7,backspace", "back", "Back"),
        HELP,
    ]

    def __init__(
        self,
        comparison: Comparison,
        reference_index: int,
        stream_index: int,
        ask_for_replay: Callable[[], Awaitable[None]] | None = None,
        ask_what_if: AskWhatIf | None = None,
    ) -> None:
        super().__init__()
        self._ask_for_replay, self._ask_what_if = ask_for_replay, ask_what_if
        self._show_replay = False
        self._asked: tuple[p.Fork | None, ...] = ()  # the forks as they were then
        self.comparison = comparison
        self.reference_index = reference_index
        self.stream_index = stream_index
        self._agreement = Agreement(self._reference, self._stream)
        self._alignment: Alignment | None = None
        self._aligning = False
        self._seen: tuple[object, ...] = ()
        self._aligned_at: tuple[object, ...] = ()

    @property
    def _reference(self) -> Stream:
        return self.comparison.streams[self.reference_index]

    @property
    def _stream(self) -> Stream:
        return self.comparison.streams[self.stream_index]

    @property
    def _pair(self) -> tuple[int, int]:
        return self.reference_index, self.stream_index

    @property
    def _fork(self) -> p.Fork | None:
        return fork_seen_from(self.comparison, *self._pair)

    @property
    def _names(self) -> tuple[str, str]:
        return self._reference.name, self._stream.name

    @property
    def _others(self) -> list[int]:
        return [i for i in range(len(self.comparison.streams)) if i != self.reference_index]

    @property
    def _can_ask(self) -> bool:
        """Whether the fork of this pair can be replayed: it is one of the run's own."""
        of_run = self.comparison.reference_index in self._pair
        return of_run and self._ask_for_replay is not None

    @property
    def _variant(self) -> int | None:
        """The one of the pair that is not the run's reference; None if that is neither."""
        others = [index for index in self._pair if index != self.comparison.reference_index]
        return others[0] if len(others) == 1 else None

    @property
    def _trying(self) -> Trying | None:
        return self._ask_what_if.trying(self.comparison) if self._ask_what_if else None

    @property
    def _forks(self) -> tuple[p.Fork | None, ...]:
        """The forks of both sides; an answer to a replay replaces one."""
        return self._reference.fork, self._stream.fork

    def compose(self) -> ComposeResult:
        def texts(*names: str) -> ComposeResult:
            return (Static(id=name, markup=False) for name in names)

        yield from texts("title")
        with VerticalScroll(id="body"):
            yield from texts("sentence", "context")
            with Horizontal(id="lists"):
                yield from texts("reference-list", "variant-list")
            yield from texts("legend", "verdict", *WHAT_IF, *_AFTER)
        yield KeyHints(_KEYS, id="keys", markup=False)

    def on_mount(self) -> None:
        self.query_one("#body").focus()
        self._update()
        self.set_interval(_POLL_S, self._update)

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.width < _STACKED_BELOW, "-stacked")
        self.set_class(event.size.height < _SHORT_BELOW, "-short")
        self._draw()

    # --- the keys -----------------------------------------------------------------------------

    def action_turn(self, by: int) -> None:
        others = self._others
        if not others:
            return
        at = others.index(self.stream_index) if self.stream_index in others else -1
        self.stream_index = others[(at + by) % len(others)]
        self._agreement = Agreement(self._reference, self._stream)
        self._alignment = None
        self.query_one("#body").scroll_home(animate=False)
        self._update()

    async def action_replay(self) -> None:
        """Replay the fork now if it has no replay yet, else change what the lists show."""
        fork = self._fork
        if fork is not None and fork.replay is not None:
            self._show_replay = not self._show_replay
        else:
            self._asked = self._forks
            if self._ask_for_replay is not None and self._can_ask:
                await self._ask_for_replay()
        self._draw()

    async def action_what_if(self) -> None:
        """Try the reference's token at the fork, stop that, or give the next one too."""
        if self._ask_what_if is None:
            return
        if self._variant is None:
            name = visible_line(self.comparison.reference.name)
            said = f"What if: one of the two has to be {name}, the reference of the run."
            self._put(WHAT_IF[0], Content(said))
            self._show_what_if()
            return
        await self._ask_what_if.ask(self._variant)
        self._draw()
        self._show_what_if()

    def action_back(self) -> None:
        self.dismiss(self.stream_index)

    # --- following the comparison -------------------------------------------------------------

    def _update(self) -> None:
        """Show what is new; cheap while nothing is."""
        pair = (self._reference, self._stream)
        lengths = [(len(s.tokens), s.finish_reason, id(s.fork)) for s in pair]
        trying = self._trying
        tried = (len(trying.texts), trying.doing, trying.why_not) if trying else None
        now = (*self._pair, *lengths, self.comparison.status, tried)
        if now != self._seen:
            is_answered = bool(self._seen) and tried is None and self._seen[-1] is not None
            self._seen = now
            self._agreement.update()
            self._draw()
            if is_answered:
                self._show_what_if()
        self._align()

    def _align(self) -> None:
        """Align in a thread, one at a time: a long stream takes longer than a frame."""
        step = self._agreement.first_divergent_token
        if step is None or self._aligning or self._aligned_at == self._seen:
            return
        self._aligning, self._aligned_at = True, self._seen
        self.run_worker(self._align_pair(self._pair, step), group="align")

    async def _align_pair(self, pair: tuple[int, int], step: int) -> None:
        reference, variant = (tuple(self.comparison.streams[index].tokens) for index in pair)
        alignment = await asyncio.to_thread(align, reference, variant, step)
        self._aligning = False
        if not is_open(self):
            return
        if pair == self._pair:
            self._alignment = alignment
            self._draw_after(self.size.width - 2 * _MARGIN)
        self._align()

    # --- drawing ------------------------------------------------------------------------------

    def _draw(self) -> None:
        width = self.size.width - 2 * _MARGIN
        if width <= 0 or not self._seen:
            return
        fork, step = self._fork, self._agreement.first_divergent_token
        said = (
            explain_fork(fork, *self._names) if fork else why_no_fork(self.comparison, *self._pair)
        )
        with self.app.batch_update():
            self._put("title", self._title(step))
            self._put("sentence", Content(said if step is not None else f"{said} {_NO_FORK}"))
            context = Content()
            if step is not None:
                context = fork_context(self.comparison, self._pair, step, width)
            self._put("context", context)
            self._draw_lists(fork, width)
            self._put("verdict", self._verdict(fork) if fork else Content())
            self._draw_what_if(width)
            self._draw_after(width)

    def _title(self, step: int | None) -> Content:
        others = self._others
        number = others.index(self.stream_index) + 1 if self.stream_index in others else 0
        one, other = map(visible_line, self._names)
        found = [(f"{FORK_MARK} Fork", "bold $text-warning"), (f" at token {step}", "bold")]
        return Content.assemble(
            *(found if step is not None else [("= No fork", "bold")]),
            f"   {other} against {one}",
            (f"   {number} of {len(others)}", "dim"),
        )

    def _draw_lists(self, fork: p.Fork | None, width: int) -> None:
        self.query_one("#lists").display = fork is not None
        if fork is None:
            self._put("legend", Content())
            return
        stacked = width + 2 * _MARGIN < _STACKED_BELOW
        each = width if stacked else (width - _GUTTER) // 2
        fewest, most = _LIST_ROWS
        rows = max(fewest, min(most, self.size.height - _OTHER_ROWS))
        again = replayed(fork) if self._show_replay else None
        sides = both_lists(again or fork, *self._names)
        for name, side in zip(("reference-list", "variant-list"), sides, strict=True):
            self._put(name, candidates(side, each, rows))
        source = "   replayed in float32" if again else self._kl()
        self._put("legend", Content.styled(LEGEND + source, "dim"))

    def _verdict(self, fork: p.Fork) -> Content:
        text = explain_verdict(fork, *self._names)
        asked = len(self._asked) == 2 and all(map(operator.is_, self._asked, self._forks))
        if fork.replay is None and self._can_ask:
            goes_on = self.comparison.status is None and self.comparison.settings.replay
            at_the_end = "It is replayed at the end; " if goes_on else ""
            text += " It is being replayed." if asked else f" {at_the_end}r does it now."
        elif fork.replay is None and asked:
            text += " There is no replay to show."
        return Content.assemble((f"Verdict: {fork.verdict}. ", "bold"), text)

    def _draw_what_if(self, width: int) -> None:
        index = self._variant
        parts = (Content(),) * len(WHAT_IF)
        if index is not None:
            parts = what_if_view(self.comparison, index, self._trying, width)
        for name, part in zip(WHAT_IF, parts, strict=True):
            self._put(name, part)

    def _show_what_if(self) -> None:
        """Scroll to it, once it has its place."""
        self.call_after_refresh(
            self.query_one(f"#{WHAT_IF[0]}").scroll_visible, animate=False, top=True
        )

    def _kl(self) -> str:
        """The KL divergence, which is known only from the run's own reference."""
        of_run = self.comparison.reference
        kl = kl_at_fork(self.comparison, *self._pair)
        whose = "" if of_run is self._reference else f" against {visible_line(of_run.name)}"
        return "" if kl is None else f"   KL{whose} {kl:.3g} nats"

    def _draw_after(self, width: int) -> None:
        step, alignment = self._agreement.first_divergent_token, self._alignment
        parts = [Content()] * len(_AFTER)
        if step is not None and alignment is not None:
            pair = self._reference, self._stream
            parts = [
                Content(rejoin_sentence(alignment, *pair, step)),
                alignment_map(alignment, *pair, step, width),
                stretch_list(alignment, self._stream, width),
            ]
        for name, part in zip(_AFTER, parts, strict=True):
            self._put(name, part)

    def _put(self, name: str, content: Content) -> None:
        """Update a part of the screen if its content has changed."""
        part = self.query_one(f"#{name}", Static)
        if not (isinstance(part.content, Content) and part.content.is_same(content)):
            part.display = bool(content)
            part.update(content)
