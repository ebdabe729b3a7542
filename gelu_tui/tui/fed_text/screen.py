"""The exact text that the model is fed for a prompt, and the tokens that it is cut into."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.fed_text.content import Fed, as_ids, as_text, as_tokens, has_template
from gelu_tui.tui.keys.actions import HELP
from gelu_tui.tui.widgets.key_hints import KeyHints

_WAITING = "The engine is asked. While a run goes on, it answers when the run has ended."
_KEYS = "1 text · 2 token boundaries · 3 ids · ↑ ↓ PgUp PgDn scroll · q, Esc back"
_VIEWS = ("text", "token boundaries", "ids")


class FedTextScreen(Screen[None]):
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
            yield Static(id="fed", markup=False)
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
        if self.is_mounted:
            self._draw()

    def action_view(self, view: int) -> None:
        self._view = view
        self._draw()

    def action_next_view(self) -> None:
        self.action_view((self._view + 1) % len(_VIEWS))

    def _draw(self) -> None:
        fed, error = self._fed, self._error
        if error is not None or fed is None:
            self.query_one("#title", Static).update("What the model is fed")
            self.query_one("#how", Static).update(
                _WAITING if error is None else _sentence(error.message, error.hint)
            )
            self.query_one("#fed", Static).update("")
            return
        count = f"{len(fed.prompt_tokens):,} token{'' if len(fed.prompt_tokens) == 1 else 's'}"
        chat = "chat template" if has_template(fed) else "raw text"
        title = f"What the model is fed · {chat} · {count} · {_VIEWS[self._view]}"
        self.query_one("#title", Static).update(title)
        self.query_one("#how", Static).update(how(fed, self._view))
        self.query_one("#fed", Static).update(self._content(fed))
        self.query_one("#body").scroll_home(animate=False)

    def _content(self, fed: Fed) -> Content:
        match self._view:
            case 0:
                return as_text(fed)
            case 1 if isinstance(fed, p.PromptRendered):
                return as_tokens(fed)
            case 1:
                return as_text(fed)
        return as_ids(fed)


def how(fed: Fed, view: int) -> Content:
    """In plain words: what was made of the prompt, and how to read the view."""
    if isinstance(fed, p.PromptRendered) and len(fed.prompt_tokens) >= fed.context_length:
        return _sentence(
            f"It has {len(fed.prompt_tokens):,} tokens, and the model's context holds "
            f"{fed.context_length:,} with what it generates.",
            "Shorten the prompt.",
        )
    return Content(f"{_origin(fed)} {_legend(fed, view)}".rstrip())


def _origin(fed: Fed) -> str:
    if has_template(fed):
        return "The model's chat template made this of your prompt."
    said = "Your prompt as it is."
    if fed.prompt_text != fed.prompt:
        added = visible_line(fed.prompt_text.removesuffix(fed.prompt))
        said = f"Your prompt as it is, with {added} in front, as the tokenizer does."
    if isinstance(fed, p.PromptRendered) and fed.has_chat_template:
        said += " The model's chat template is not used."
    return said


def _legend(fed: Fed, view: int) -> str:
    match view:
        case 0:
            return "· is a blank, ↵ a line break, → a tab."
        case 1 if isinstance(fed, p.PromptRendered):
            return "Every second token is underlined."
        case 1:
            return "Of a run that is shown only the ids are known, not the boundaries."
    return ""


def _sentence(message: str, hint: str) -> Content:
    return Content.assemble(
        (f"✗ {visible_line(message)}", "bold $text-error"), f" {visible_line(hint)}"
    )
