"""The exact text that the model is fed for a prompt, and the tokens of that text."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.standing import count_tokens
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.fed_text.content import Fed, Signs, as_ids, as_text, as_tokens
from gelu_tui.tui.keys.actions import HELP
from gelu_tui.tui.widgets.background import is_open
from gelu_tui.tui.widgets.closes_once import ClosesOnce
from gelu_tui.tui.widgets.key_hints import KeyHints
from gelu_tui.tui.widgets.message_line import error_content

_WAITING = "The engine is asked. While a run goes on, it answers when the run has ended."
_KEYS = "1 text · 2 token boundaries · 3 ids · ↑ ↓ PgUp PgDn scroll · q, Esc back"
_VIEWS = ("text", "token boundaries", "ids")


class FedTextScreen(ClosesOnce, Screen[None]):
    """Shows `fed`, or waits for the answer to the command with the id `question`."""

    CSS_PATH = "fed_text.tcss"
    BINDINGS: ClassVar = [
        Binding("1", "view(0)", "The text"),
        Binding("2", "view(1)", "The text with the boundaries of its tokens"),
        Binding("3", "view(2)", "Tokens with their ids"),
        Binding("t", "next_view", "Next view"),
        Binding("q,escape,f10,f9", "dismiss", "Back"),
        HELP,
    ]

    def __init__(self, fed: Fed | None = None, question: int = 0) -> None:
        super().__init__()
        self._fed = fed
        self._question = question
        self._error: ErrorInfo | None = None
        self._view = 0

    def compose(self) -> ComposeResult:
        yield Static(id="title", markup=False)
        yield Static(id="how", markup=False)
        with VerticalScroll(id="body"):
            yield FedText(id="fed", markup=False)
        yield KeyHints(_KEYS, id="keys", markup=False)

    def on_mount(self) -> None:
        self.query_one("#body").focus()
        self._draw()

    def answer(self, answer: p.Event | ErrorInfo) -> None:
        """Show the answer to this screen's question; an error, or the loss of the engine, too.

        Answers to other questions are ignored, and what is shown already stays.
        """
        if isinstance(answer, p.Event) and answer.id != self._question:
            return
        match answer:
            case p.PromptRendered():
                self._fed, self._error = answer, None
            case p.Failed():
                self._error = answer.error
            case p.Cancelled():
                self._error = ErrorInfo("cancelled", "The question was stopped with the run.")
            case ErrorInfo() if self._fed is None:
                self._error = answer
        if self.is_mounted and is_open(self):
            self._draw()

    def action_view(self, view: int) -> None:
        self._view = view
        self._draw()

    def action_next_view(self) -> None:
        self.action_view((self._view + 1) % len(_VIEWS))

    def _draw(self) -> None:
        fed, error = self._fed, self._error
        title = "What the model is fed"
        if error is not None:
            how = error_content(error)
        elif fed is None:
            how = Content(_WAITING)
        else:
            form = "chat template" if fed.chat else "raw text"
            tokens = count_tokens(len(fed.prompt_tokens))
            title = f"{title} · {form} · {tokens} · {_VIEWS[self._view]}"
            legend, content = _shown(fed, self._view)
            how = _how(fed, legend)
            self.query_one("#body").scroll_home(animate=False)
            self.query_one(FedText).show(content, Signs.of(fed))
        for name, part in (("#title", title), ("#how", how)):
            self.query_one(name, Static).update(part)


class FedText(Static):
    """A view of the text, whose rows end between words."""

    _shown: tuple[Content, Signs] | None = None

    def show(self, content: Content, signs: Signs) -> None:
        """Show another view."""
        self._shown = content, signs
        self.on_resize()

    def on_resize(self) -> None:
        if self._shown is not None and self.size.width:
            content, signs = self._shown
            self.update(signs.wrapped(content, self.size.width))


def _shown(fed: Fed, view: int) -> tuple[str, Content]:
    """How to read a view, and its content."""
    legend = Signs.of(fed).legend
    if _VIEWS[view] == "ids":
        return legend if isinstance(fed, p.PromptRendered) else "", as_ids(fed)
    if _VIEWS[view] == "text":
        return legend, as_text(fed)
    if isinstance(fed, p.PromptRendered):
        return f"Every second token is underlined. {legend}", as_tokens(fed)
    why = "Of a run that is shown only the ids are known, not the boundaries."
    return f"{why} {legend}", as_text(fed)


def _how(fed: Fed, legend: str) -> Content:
    """How the prompt became this text, and how to read the view."""
    if isinstance(fed, p.PromptRendered) and len(fed.prompt_tokens) >= fed.context_length:
        reason = (
            f"It has {len(fed.prompt_tokens):,} tokens, and the model's context holds "
            f"{fed.context_length:,} with what it generates."
        )
        return error_content(ErrorInfo("prompt_too_long", reason, "Shorten the prompt."))
    if fed.chat:
        return Content(f"The model's chat template made this of your prompt. {legend}".rstrip())
    origin = "Your prompt as it is."
    if fed.prompt_text != fed.prompt:
        added = visible_line(fed.prompt_text.removesuffix(fed.prompt))
        origin = f"Your prompt as it is, with {added} in front, as the tokenizer does."
    if isinstance(fed, p.PromptRendered) and fed.has_chat_template:
        origin += " The model's chat template is not used."
    return Content(f"{origin} {legend}".rstrip())
