"""What a running sweep tells: to the terminal, to a screen, and to `progress.py`."""

from __future__ import annotations

from dataclasses import dataclass

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.sweep.outcomes import FailedPrompt, PromptOutcome
from gelu_tui.sweep.prompts import Prompt
from gelu_tui.sweep.store import SweepStore


@dataclass(frozen=True)
class EngineSaid:
    """An event of the engine about no prompt: progress of a download, of loading."""

    event: p.Event


@dataclass(frozen=True)
class Opened:
    """The sweep's results have a place: known before the first prompt."""

    store: SweepStore


@dataclass(frozen=True)
class ModelBegan:
    """The model with this index is loaded."""

    model: int
    loaded: p.Loaded


@dataclass(frozen=True)
class ModelFailed:
    """The model with this index cannot be loaded; the next one follows."""

    model: int
    error: ErrorInfo


@dataclass(frozen=True)
class PromptStarted:
    """A prompt has begun; `comparison` grows."""

    model: int
    prompt: Prompt
    comparison: Comparison


@dataclass(frozen=True)
class PromptDone:
    """A prompt is finished and saved."""

    outcome: PromptOutcome
    prompt: Prompt


@dataclass(frozen=True)
class PromptFailed:
    """A prompt cannot be run, which is recorded."""

    model: int
    failed: FailedPrompt


@dataclass(frozen=True)
class EngineLost:
    """The engine died, or made no sense; another one is started, and nothing is lost."""

    error: ErrorInfo


@dataclass(frozen=True)
class Waiting:
    """All prompts of this model that are left are worked on by other processes."""

    model: int
    prompts: int


SweepEvent = (
    EngineSaid
    | Opened
    | ModelBegan
    | ModelFailed
    | PromptStarted
    | PromptDone
    | PromptFailed
    | EngineLost
    | Waiting
)
