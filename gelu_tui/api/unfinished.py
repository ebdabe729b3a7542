"""The error of what failed after it had begun."""

from __future__ import annotations

from gelu_tui.api.results import Inputs, Layers, Run, Score
from gelu_tui.api.sweep_results import Sweep
from gelu_tui.core.errors import ErrorInfo, GeluError


class Unfinished(GeluError):
    """It failed after it had begun; `result` is what there was until then."""

    def __init__(self, error: ErrorInfo, result: Run | Score | Layers | Inputs | Sweep) -> None:
        super().__init__(error.kind, error.message, error.hint)
        self.result = result
