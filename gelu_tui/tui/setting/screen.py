"""Any value of one run setting, checked as in the settings file and on the command line."""

from __future__ import annotations

from typing import ClassVar

from msgspec import inspect
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from gelu_tui.core.errors import ErrorInfo, UsageError
from gelu_tui.core.settings.field import Field
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.validation import allowed
from gelu_tui.tui.compare.choices import typed, without_effect
from gelu_tui.tui.keys.actions import HELP
from gelu_tui.tui.widgets.closes_once import ClosesOnce
from gelu_tui.tui.widgets.key_hints import KeyHints
from gelu_tui.tui.widgets.keys_in_turn import TextField
from gelu_tui.tui.widgets.message_line import MessageLine


class SettingScreen(ClosesOnce, ModalScreen[RunSettings | None]):
    """Dismissed with the settings that have the typed value, or None."""

    CSS_PATH = "setting.tcss"
    BINDINGS: ClassVar = [Binding("escape,f10", "dismiss", "Back"), HELP]
    FIELD_KEYS: ClassVar = (("Enter", "Set the value."),)

    def __init__(self, field: Field, choices: RunSettings) -> None:
        super().__init__()
        self._field = field
        self._choices = choices

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = f"Set {self._field.noun}"
            yield Static(self._about(), id="about", markup=False)
            yield TextField(self._field.text(getattr(self._choices, self._field.name)))
            yield MessageLine(markup=False)
            yield KeyHints("Enter sets it · Esc back", markup=False)

    def _about(self) -> str:
        field = self._field
        lines = [field.description]
        if isinstance(field.info, inspect.IntType | inspect.FloatType):
            lines.append(f"Allowed: {allowed(field.info)}.")
        if field.default is None:
            lines.append(f"Empty: {field.unset}.")
        lines.append(without_effect(field, self._choices))
        return "\n".join(filter(None, lines))

    @on(Input.Submitted)
    def _take(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            choices = typed(self._choices, self._field, event.value)
        except UsageError as error:
            # The hint of a wrong value is the description, which stands above.
            hint = "" if error.info.hint == self._field.description else error.info.hint
            self.query_one(MessageLine).show_message(
                ErrorInfo(error.info.kind, error.info.message, hint)
            )
        else:
            self.dismiss(choices)
