"""Choose a prompt: one of the last runs, a preset, or the text of a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.safe_text import visible, visible_line
from gelu_tui.core.text_files import read_prompt_file
from gelu_tui.tui.keys.actions import HELP
from gelu_tui.tui.prompts.presets import PRESETS, PromptRow
from gelu_tui.tui.widgets.background import run_in_thread
from gelu_tui.tui.widgets.closes_once import ClosesOnce
from gelu_tui.tui.widgets.key_hints import KeyHints
from gelu_tui.tui.widgets.keys_in_turn import KeysInTurn
from gelu_tui.tui.widgets.message_line import MessageLine
from gelu_tui.tui.widgets.path_suggester import PathSuggester
from gelu_tui.tui.widgets.question import Question

if TYPE_CHECKING:
    from gelu_tui.sweep.plan import Plan

_KEYS = "Enter takes · Tab file · F10 back · ↑ ↓ choose · PgDn PgUp read on"
_FILE_KEYS = "Enter opens · ^r runs all its prompts · Tab search · F10 back · → completes"
_SHOWN_KEYS = "Enter takes · ^r runs all its prompts · Tab search · F10 back · PgDn PgUp"
_PREVIEWED = 20_000  # characters


class Field(Input, KeysInTurn):
    """A field from which the list and the preview are moved.

    By messages and not by bindings: those could overtake letters that were typed before.
    """

    @dataclass
    class Moved(Message):
        """Up or down in the list, or a page of the preview."""

        key: str

    def on_key(self, event: events.Key) -> None:
        if event.key in ("up", "down", "pageup", "pagedown"):
            self.post_message(self.Moved(event.key))
        elif event.key == "enter":
            self.post_message(self.Submitted(self, self.value))
        else:
            return
        event.stop()
        event.prevent_default()


class PromptsScreen(ClosesOnce, ModalScreen["str | Plan | None"]):
    """Dismissed with a prompt, with the plan of a sweep over a file, or None.

    `recent` and `plan` may be slow; they are called in a thread. `plan` makes that of a file.
    """

    CSS_PATH = "prompts.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # columns # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-low"), (18, "-high")]  # rows # noqa: RUF012
    BINDINGS: ClassVar = [
        Binding("f10,f3,escape", "dismiss", "Back"),
        Binding("ctrl+r", "run_all", "Run all prompts of the file: a sweep", priority=True),
        HELP,
    ]
    FIELD_KEYS: ClassVar = (
        ("Letters", "Find recent prompts and presets that contain them."),
        ("↑, ↓", "Choose."),
        ("PgUp, PgDn", "Read on in the prompt that is shown."),
        ("Enter", "Take the prompt; of a file, show it first, then take it."),
        ("Tab", "To the path of a file, and back; → completes it."),
    )

    def __init__(self, recent: Callable[[], list[str]], plan: Callable[[str], Plan]) -> None:
        super().__init__()
        self._plan = plan
        self._read_recent = recent
        self._recent: list[PromptRow] = []
        self._recent_note = "Looking for them…"
        self._rows: list[PromptRow | None] = []
        self._file: tuple[str, str] | None = None  # name and text
        self._previewed: tuple[str, str] | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = "Prompts"
            yield Field(placeholder="Search recent prompts and presets", id="search")
            with Container(id="columns"):
                yield OptionList(id="list", markup=False)
                with VerticalScroll(id="preview", can_focus=False):
                    yield Static(id="about", markup=False)
                    yield Static(id="text", markup=False)
            completing = PathSuggester(use_cache=False, case_sensitive=True)
            yield Field(
                placeholder="or the path of a file · ^r runs all its prompts",
                suggester=completing,
                id="file",
            )
            yield MessageLine(id="message")
            yield Question(id="question", markup=False)
            yield KeyHints(_KEYS, id="keys", markup=False)

    def on_mount(self) -> None:
        self._list.can_focus = False
        self.query_one("#search").focus()
        self._fill()
        run_in_thread(self, self._read_recent, self._show_recent, self._show_no_recent, "recent")

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)

    def _show_recent(self, prompts: list[str]) -> None:
        self._recent = [PromptRow("", prompt) for prompt in prompts]
        self._recent_note = "None yet: the prompts that you run appear here."
        self._fill()

    def _show_no_recent(self, error: ErrorInfo) -> None:
        self._recent_note = visible_line(f"✗ {error.message} {error.hint}")
        self._fill()

    @on(Input.Changed, "#search")
    def _fill(self) -> None:
        """Rebuild the list with what the search finds."""
        words = self.query_one("#search", Input).value.casefold().split()
        options: list[Option] = []
        self._rows = []
        for heading, rows in (("Recent", self._recent), ("Presets", PRESETS)):
            found = [row for row in rows if row.matches(words)]
            if words and not found:
                continue
            headings = [Content.styled(heading, "bold")]
            if not found:
                headings.append(Content.styled(f"  {self._recent_note}", "dim"))
            options += [Option(text, disabled=True) for text in headings]
            options += [Option(row.label()) for row in found]
            self._rows += [*(None for _ in headings), *found]
        if not options:
            options.append(Option("Nothing holds these words.", disabled=True))
        self._list.set_options(options)
        self._list.action_first()
        self._look()

    @on(Field.Moved)
    def _move(self, message: Field.Moved) -> None:
        if message.key == "up":
            return self._list.action_cursor_up()
        if message.key == "down":
            return self._list.action_cursor_down()
        # At once: of several pages in one packet, Textual's own would scroll one.
        preview = self.query_one("#preview")
        page = preview.scrollable_content_region.height
        rows = page if message.key == "pagedown" else -page
        return preview.scroll_relative(y=rows, animate=False, immediate=True)

    @property
    def _chosen(self) -> PromptRow | None:
        index = self._list.highlighted
        return self._rows[index] if index is not None and index < len(self._rows) else None

    @on(Input.Submitted, "#search")
    @on(OptionList.OptionSelected)
    def _take(self) -> None:
        if (row := self._chosen) is not None:
            self.dismiss(row.prompt)

    @on(OptionList.OptionHighlighted)
    def _look(self) -> None:
        if (row := self._chosen) is None:
            self._preview("", "")
        else:
            self._preview(f"{row.why} {_size(row.prompt)}".lstrip(), row.prompt)

    def _preview(self, about: str, text: str) -> None:
        if (about, text) == self._previewed:
            return  # somebody may have read on in it
        self._previewed = (about, text)
        more = len(text) - _PREVIEWED
        rest = f"\n… and {more:,} characters more" if more > 0 else ""
        shown = Content.assemble(visible(text[:_PREVIEWED]), (rest, "dim"))
        self.query_one("#about", Static).update(Content(visible_line(about)))
        self.query_one("#text", Static).update(shown)
        self.query_one("#preview").scroll_home(animate=False)

    @on(Input.Changed, "#file")
    def _another_file(self) -> None:
        self._file = None
        self.query_one(MessageLine).show_message("")
        self._show_keys()

    @on(Input.Submitted, "#file")
    def _open(self, event: Input.Submitted) -> None:
        name = event.value.strip()
        if not name:
            self._take()
        elif self._file is not None and self._file[0] == name:
            self.dismiss(self._file[1])
        else:
            show = partial(self._show_file, name)
            run_in_thread(self, partial(read_prompt_file, name), show, show, "file")

    def _show_file(self, name: str, found: str | ErrorInfo) -> None:
        if name != self.query_one("#file", Input).value.strip():
            return
        if isinstance(found, ErrorInfo):
            self.query_one(MessageLine).show_message(found)
            return
        self._file = (name, found)
        self._preview(f"{name}: {_size(found)}", found)
        self._show_keys()

    def action_run_all(self) -> None:
        """Ask whether to run all prompts of the file."""
        if name := self.query_one("#file", Input).value.strip():
            run_in_thread(self, partial(self._plan, name), self._ask, self._tell, "file")
        else:
            self.query_one("#file").focus()
            what = "Give the path of a file here, or builtin:mixed: ^r runs all its prompts."
            self.query_one(MessageLine).show_message(what)

    def _ask(self, plan: Plan) -> None:
        self.query_one(MessageLine).show_message("")
        self.query_one(Question).ask(
            f"{plan_words(plan)} y: yes · any other key: no", lambda: self._close(plan)
        )

    def _close(self, plan: Plan) -> None:
        self.dismiss(plan)

    def _tell(self, error: ErrorInfo) -> None:
        self.query_one(MessageLine).show_message(error)

    @on(events.DescendantFocus)
    def _focused(self) -> None:
        self._show_keys()
        if self.focused is self.query_one("#search"):
            self._look()

    def _show_keys(self) -> None:
        keys = _KEYS
        if self.focused is self.query_one("#file"):
            keys = _FILE_KEYS if self._file is None else _SHOWN_KEYS
        self.query_one(KeyHints).update(keys)


def plan_words(plan: Plan) -> str:
    """What a sweep would run: `Run 400 prompts of mixed: gelu, silu, on demo, 256 tokens each?`."""
    settings = plan.settings
    control = " and a control" if settings.control else ""
    functions = ", ".join(settings.activations)
    chosen = [f"{settings.max_tokens:,} tokens each"]
    if settings.temperature:
        chosen.append(f"temperature {settings.temperature:g}")
    if settings.chat is True:
        chosen.append("as chats")
    elif settings.chat is False:
        chosen.append("without a chat template")
    count = plan.prompts.count
    return (
        f"Run {count:,} prompt{'s' * (count != 1)} of {plan.name}: {functions}{control}, on "
        f"{', '.join(plan.models)}, {', '.join(chosen)}?"
    )


def _size(prompt: str) -> str:
    """Return e.g. `3 lines, 84 characters, a line break at the end.`"""
    lines = prompt.count("\n") + (not prompt.endswith("\n"))
    parts = [f"{lines:,} lines"] if lines > 1 else []
    parts.append("1 character" if len(prompt) == 1 else f"{len(prompt):,} characters")
    if prompt.endswith("\n"):
        parts.append("a line break at the end")
    elif prompt.endswith(" "):
        parts.append("a blank at the end")
    return f"{', '.join(parts)}."
