"""Choose a prompt: one of the last runs, a preset, or the text of a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.safe_text import visible, visible_line
from gelu_tui.core.text_files import complete_path, read_prompt_file
from gelu_tui.tui.keys.actions import HELP
from gelu_tui.tui.prompts.presets import PRESETS, Preset
from gelu_tui.tui.widgets.key_hints import KeyHints
from gelu_tui.tui.widgets.keys_in_turn import KeysInTurn

_KEYS = "Enter takes · Tab file · F10 back · ↑ ↓ choose · PgDn PgUp read on"
_FILE_KEYS = "Enter opens · Tab search · F10 back · → completes the path"
_SHOWN_KEYS = "Enter takes · Tab search · F10 back · PgDn PgUp read on"
_WIDE, _LOW = 120, 18  # columns, rows
_SEARCHED = 5_000  # characters of a prompt that a search looks at
_PREVIEWED = 20_000  # characters
_LABEL = 200


@dataclass(frozen=True)
class Row:
    """A prompt of the list; `title` is empty for a prompt of the user's own."""

    prompt: str
    title: str = ""
    why: str = ""

    def matches(self, words: Sequence[str]) -> bool:
        """Whether all words are in it."""
        text = f"{self.title}\n{self.prompt[:_SEARCHED]}".casefold()
        return all(word in text for word in words)

    def label(self) -> Content:
        """The row: title and the beginning of the prompt."""
        beginning = visible_line(self.prompt[:_LABEL])
        if not self.title:
            return Content(f"  {beginning}")
        return Content.assemble(f"  {self.title:<20} ", (beginning, "dim"))


class Field(Input, KeysInTurn):
    """A field from which the list and the preview are moved.

    By messages and not by bindings: those could overtake letters that were typed before.
    """

    @dataclass
    class Moved(Message):
        """Up or down in the list, or a page of the preview."""

        key: str

    def on_key(self, event: events.Key) -> None:
        """Move, and choose."""
        if event.key in ("up", "down", "pageup", "pagedown"):
            self.post_message(self.Moved(event.key))
        elif event.key == "enter":
            self.post_message(self.Submitted(self, self.value))
        else:
            return
        event.stop()
        event.prevent_default()


class PathSuggester(Suggester):
    """Completes a path, away from the event loop."""

    async def get_suggestion(self, value: str) -> str | None:
        """The first path that begins with `value`."""
        return await asyncio.to_thread(complete_path, value) if value else None


class PromptsScreen(ModalScreen[str | None]):
    """Dismissed with a prompt, or None. `recent` may be slow; it is called in a thread."""

    CSS_PATH = "prompts.tcss"
    BINDINGS: ClassVar = [Binding("f10,f3,escape", "dismiss", "Back"), HELP]
    FIELD_KEYS: ClassVar = (
        ("Letters", "Find recent prompts and presets that hold them."),
        ("↑, ↓", "Choose."),
        ("PgUp, PgDn", "Read on in the prompt that is shown."),
        ("Enter", "Take the prompt; of a file, show it first, then take it."),
        ("Tab", "To the path of a file, and back; → completes it."),
    )

    @dataclass
    class Recent(Message):
        """The prompts of the last runs, or why there are none."""

        prompts: list[str]
        error: ErrorInfo | None = None

    @dataclass
    class FileRead(Message):
        """A file's text, or why there is none."""

        name: str
        text: str
        error: ErrorInfo | None = None

    def __init__(
        self, recent: Callable[[], list[str]], presets: Sequence[Preset] = PRESETS
    ) -> None:
        super().__init__()
        self._read_recent = recent
        self._recent: list[Row] | None = None
        self._recent_note = "Looking for them…"
        self._presets = [Row(preset.prompt, preset.title, preset.why) for preset in presets]
        self._rows: list[Row | None] = []
        self._file: tuple[str, str] | None = None
        self._previewed: tuple[str, str] | None = None

    def compose(self) -> ComposeResult:
        """Search, list, preview, file, keys."""
        with Vertical(id="box") as box:
            box.border_title = "Prompts"
            yield Field(placeholder="Search recent prompts and presets", id="search")
            with Container(id="columns"):
                yield OptionList(id="list", markup=False)
                with VerticalScroll(id="preview", can_focus=False):
                    yield Static(id="about", markup=False)
                    yield Static(id="text", markup=False)
            yield Field(
                placeholder="or the path of a text file",
                suggester=PathSuggester(use_cache=False, case_sensitive=True),
                id="file",
            )
            yield Static(id="said", markup=False)
            yield KeyHints(_KEYS, id="keys", markup=False)

    def on_mount(self) -> None:
        """Show the presets; the recent prompts come when they are read."""
        self._list.can_focus = False
        self.query_one("#search").focus()
        self._fill()
        self.run_worker(self._look_for_recent(), group="recent")

    def on_resize(self, event: events.Resize) -> None:
        """List and preview side by side where there is room; no preview where there is little."""
        self.set_class(event.size.width >= _WIDE, "-wide")
        self.set_class(event.size.height < _LOW, "-low")

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)

    # --- the list -----------------------------------------------------------------------------

    async def _look_for_recent(self) -> None:
        try:
            self.post_message(self.Recent(await asyncio.to_thread(self._read_recent)))
        except GeluError as error:
            self.post_message(self.Recent([], error.info))

    @on(Recent)
    def _take_recent(self, message: Recent) -> None:
        self._recent = [Row(prompt) for prompt in message.prompts]
        self._recent_note = "None yet: the prompts that you run appear here."
        if message.error is not None:
            self._recent_note = visible_line(f"✗ {message.error.message} {message.error.hint}")
        self._fill()

    @on(Input.Changed, "#search")
    def _fill(self) -> None:
        """Write the list anew, with what the search finds."""
        words = self.query_one("#search", Input).value.casefold().split()
        options: list[Option] = []
        self._rows = []
        for heading, rows, note in (
            ("Recent", self._recent or [], self._recent_note),
            ("Presets", self._presets, ""),
        ):
            found = [row for row in rows if row.matches(words)]
            if words and not found:
                continue
            options.append(Option(Content.styled(heading, "bold"), disabled=True))
            if not found:
                options.append(Option(Content.styled(f"  {note}", "dim"), disabled=True))
            options.extend(Option(row.label()) for row in found)
            self._rows.extend([None] if found else [None, None])
            self._rows.extend(found)
        if not options:
            options.append(Option("Nothing holds these words.", disabled=True))
            self._rows.append(None)
        self._list.set_options(options)
        self._list.highlighted = next(
            (index for index, row in enumerate(self._rows) if row is not None), None
        )
        self._look()

    @on(Field.Moved)
    def _move(self, message: Field.Moved) -> None:
        preview = self.query_one("#preview")
        match message.key:
            case "up":
                self._list.action_cursor_up()
            case "down":
                self._list.action_cursor_down()
            case "pageup" | "pagedown":
                # At once: of several pages in one packet, Textual's own would scroll one.
                page = preview.scrollable_content_region.height
                rows = page if message.key == "pagedown" else -page
                preview.scroll_relative(y=rows, animate=False, immediate=True)

    @property
    def _chosen(self) -> Row | None:
        index = self._list.highlighted
        return self._rows[index] if index is not None and index < len(self._rows) else None

    @on(Input.Submitted, "#search")
    @on(OptionList.OptionSelected)
    def _take(self) -> None:
        if (row := self._chosen) is not None:
            self.dismiss(row.prompt)

    # --- the preview --------------------------------------------------------------------------

    @on(OptionList.OptionHighlighted)
    def _look(self) -> None:
        row = self._chosen
        if row is None:
            self._preview("", "")
        else:
            about = f"{row.why} " if row.why else ""
            self._preview(f"{about}{_counts(row.prompt)}", row.prompt)

    def _preview(self, about: str, text: str) -> None:
        if (about, text) == self._previewed:
            return  # somebody may have read on in it
        self._previewed = (about, text)
        more = len(text) - _PREVIEWED
        shown = visible(text[:_PREVIEWED])
        rest = f"\n… and {more:,} characters more" if more > 0 else ""
        self.query_one("#about", Static).update(Content(visible_line(about)))
        self.query_one("#text", Static).update(Content.assemble(shown, (rest, "dim")))
        self.query_one("#preview").scroll_home(animate=False)

    # --- the file -----------------------------------------------------------------------------

    @on(Input.Changed, "#file")
    def _another_file(self) -> None:
        self._file = None
        self._say(None)
        self._say_keys()

    @on(Input.Submitted, "#file")
    def _open(self, event: Input.Submitted) -> None:
        name = event.value.strip()
        if not name:
            self._take()
        elif self._file is not None and self._file[0] == name:
            self.dismiss(self._file[1])
        else:
            self.run_worker(self._read(name), group="file", exclusive=True)

    async def _read(self, name: str) -> None:
        try:
            text = await asyncio.to_thread(read_prompt_file, name)
            self.post_message(self.FileRead(name, text))
        except GeluError as error:
            self.post_message(self.FileRead(name, "", error.info))

    @on(FileRead)
    def _show_file(self, message: FileRead) -> None:
        if message.name != self.query_one("#file", Input).value.strip():
            return
        self._say(message.error)
        if message.error is None:
            self._file = (message.name, message.text)
            self._preview(f"{message.name}: {_counts(message.text)}", message.text)
            self._say_keys()

    def _say(self, error: ErrorInfo | None) -> None:
        said = self.query_one("#said", Static)
        said.display = error is not None
        if error is not None:
            sentence = (f"✗ {visible_line(error.message)}", "bold $text-error")
            said.update(Content.assemble(sentence, f" {visible_line(error.hint)}"))

    @on(events.DescendantFocus)
    def _focused(self) -> None:
        self._say_keys()
        if self.focused is self.query_one("#search"):
            self._look()

    def _say_keys(self) -> None:
        keys = _KEYS
        if self.focused is self.query_one("#file"):
            keys = _FILE_KEYS if self._file is None else _SHOWN_KEYS
        self.query_one("#keys", Static).update(keys)


def _counts(prompt: str) -> str:
    """E.g. `3 lines, 84 characters, a line break at the end.`"""
    lines = prompt.count("\n") + (not prompt.endswith("\n"))
    parts = [f"{lines:,} lines"] if lines > 1 else []
    parts.append("1 character" if len(prompt) == 1 else f"{len(prompt):,} characters")
    if prompt.endswith("\n"):
        parts.append("a line break at the end")
    elif prompt.endswith(" "):
        parts.append("a blank at the end")
    return f"{', '.join(parts)}."
