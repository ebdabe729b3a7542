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
    """The engine died, or made no sense; another one is started, and nothing is lost.

    `worker` names the worker of a cluster.
    """

    error: ErrorInfo
    worker: str = ""


@dataclass(frozen=True)
class Waiting:
    """All prompts of this model that are left are worked on by other processes."""

    model: int
    prompts: int


@dataclass(frozen=True)
class ClusterStarts:
    """Workers are started, or connected to: a clause, such as `Starting 2 workers`."""

    clause: str


@dataclass(frozen=True)
class WorkerState:
    """A worker of a cluster: what it does, in a clause, and its prompts of this session.

    `running` are with it now, the ones that wait there included.
    """

    name: str
    device: str
    doing: str
    done: int
    running: int
    per_minute: float | None


@dataclass(frozen=True)
class WorkerTold:
    """A worker of a cluster is there, or something about it has changed."""

    worker: WorkerState


@dataclass(frozen=True)
class WorkerLost:
    """A worker of a cluster is gone; the prompts that were with it run elsewhere."""

    name: str
    why: str  # a clause
    prompts: int


@dataclass(frozen=True)
class WorkerRefused:
    """A worker of a cluster is not used."""

    name: str
    error: ErrorInfo


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
    | ClusterStarts
    | WorkerTold
    | WorkerLost
    | WorkerRefused
)
