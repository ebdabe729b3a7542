"""The Python API: comparisons, scorings and sweeps for notebooks and scripts.

It works in a plain script, in a thread, and in a notebook, whose event loop runs: the engine is
talked to in a thread of its own, and a call waits for it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gelu_tui.api.engine import Engine
from gelu_tui.api.keywords import CompareKeywords, ScoreKeywords, checked, of_function
from gelu_tui.api.results import Run, Score
from gelu_tui.api.sweep_results import Sweep
from gelu_tui.api.sweeps import sweep
from gelu_tui.api.unfinished import Unfinished
from gelu_tui.core.errors import GeluError
from gelu_tui.core.runs.history import History
from gelu_tui.sweep.saved_sweeps import find_saved

__all__ = [
    "Engine",
    "GeluError",
    "Run",
    "Score",
    "Sweep",
    "Unfinished",
    "compare",
    "load_run",
    "score",
    "sweep",
]


@of_function(CompareKeywords)
def compare(prompt: str, **settings: Any) -> Run:
    """Compare activation functions on one prompt, and return their streams by name.

    It loads the model, which takes seconds: for many prompts use `Engine`. Raises `GeluError`.
    """
    with _engine_for(settings) as engine:
        return engine.compare(prompt, **settings)


@of_function(ScoreKeywords)
def score(
    text: str | Sequence[str],
    *,
    context: int | None = None,
    yardsticks: Sequence[str] | str = (),
    tokens: bool = False,
    **settings: Any,
) -> Score:
    """Feed one text to all functions and compare their predictions of every token.

    It loads the model, which takes seconds: for many texts use `Engine`. Raises `GeluError`.
    """
    with _engine_for(settings) as engine:
        return engine.score(text, context=context, yardsticks=yardsticks, tokens=tokens, **settings)


def load_run(run: str | int | os.PathLike[str]) -> Run:
    """Return a saved run, without the model.

    `run` is a file that `Run.save` or `gelu-tui run --format json` wrote, the number of a run out
    of `gelu-tui history`, or `last`; or `ID/NUMBER`, a run of a sweep, with several models
    `ID/MODEL/NUMBER`: their numbers are from 0. Raises `GeluError`.
    """
    return Run(find_saved(run, _history)[1])


def _engine_for(settings: dict[str, Any]) -> Engine:
    chosen = checked(settings)
    return Engine(chosen.model, dtype=chosen.dtype)


@contextmanager
def _history() -> Iterator[History]:
    history = History()
    yield history
    if (notice := history.pop_notice()) is not None:
        warnings.warn(f"{notice.message} {notice.hint}".strip(), stacklevel=5)
