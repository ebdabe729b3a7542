"""Who computes prompts, and from whom it gets them: what the runner and its workers agree on.

A worker is one local engine (`local_worker.py`), or many somewhere else.
"""

from __future__ import annotations

from typing import Protocol

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.yardsticks import YardstickName
from gelu_tui.sweep.prompts import Prompt
from gelu_tui.sweep.teacher_forced import Forced


class Desk(Protocol):
    """Hands out prompts of one model and takes what became of them; nothing is done twice.

    Every prompt that is taken is finished, failed, or given up with the desk.
    """

    full_kl: bool  # whether it is asked for
    yardsticks: tuple[YardstickName, ...]
    streams: int  # functions of each prompt, the control included

    def settings(self, prompt: Prompt) -> RunSettings:
        """Return the settings with which a prompt is run."""
        ...

    @property
    def left(self) -> int:
        """About how many prompts are not taken."""
        ...

    async def take(self, count: int) -> list[Prompt]:
        """Return up to `count` prompts that nobody else works on; fewer at the end."""
        ...

    def arrived(self) -> bool:
        """Whether there are prompts that came after `take` had returned the last one."""
        ...

    def started(self, prompt: Prompt, comparison: Comparison) -> None:
        """Tell that a prompt has begun: `comparison` grows."""
        ...

    async def finished(
        self,
        prompt: Prompt,
        document: ComparisonDocument,
        forced: Forced,
        seconds: float,
    ) -> None:
        """Save a prompt; `seconds` of work are added to those of the sweep."""
        ...

    async def failed(self, prompt: Prompt, error: ErrorInfo) -> None:
        """Record that a prompt cannot be run."""
        ...


class Worker(Protocol):
    """Loads one model after the other, and computes prompts."""

    async def load(self, model: str, settings: RunSettings) -> p.Loaded:
        """Load a model. Raises `GeluError`, and `Stopped`."""
        ...

    async def work(self, desk: Desk) -> None:
        """Take prompts until there are no more, or it is stopped. Raises `GeluError`."""
        ...

    def kill(self) -> None:
        """End the work at once, without waiting."""
        ...

    async def close(self) -> None:
        """End. Raises nothing."""
        ...


class NoWorkers(GeluError):
    """There is nothing to compute with, whatever the model is."""


class Stopped(Exception):
    """The user stopped the sweep while a model was loaded."""
