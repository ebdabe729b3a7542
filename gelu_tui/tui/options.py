"""What the command line hands to the app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gelu_tui.client import EngineCommand
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.settings.user_file import Settings

if TYPE_CHECKING:
    from gelu_tui.core.runs.document import ComparisonDocument


@dataclass(frozen=True)
class AppOptions:
    """The settings of one session; those of a run can be changed inside the app.

    `prompt` is run as soon as the model is loaded, `warnings` are what is wrong with the settings
    file, and `saved` is a comparison to open with: it needs no model until something is run.
    `transport` replaces `settings.engine_command` where an engine is not started by a command.
    """

    settings: Settings
    prompt: str | None = None
    warnings: tuple[ErrorInfo, ...] = ()
    saved: ComparisonDocument | None = None
    transport: EngineCommand = None

    @property
    def engine_command(self) -> EngineCommand:
        """What an `EngineClient` is made with."""
        return self.settings.engine_command if self.transport is None else self.transport
