"""Running a comparison in this process, and the same stream by mlx-lm alone."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from mlx_lm import stream_generate

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.engine.jobs.compare import Run, SelfChecks
from gelu_tui.engine.jobs.request import resolve
from gelu_tui.engine.models import loading
from tests.support.subclasses import with_function

# Of each model in a folder: as in an engine, each number of rows is checked once.
_self_checks: defaultdict[tuple[Any, ...], SelfChecks] = defaultdict(dict)


def self_checks_of(loaded: loading.LoadedModel, *, mixed: bool = False) -> SelfChecks:
    """The reports that runs of this model share; `mixed` are those of several prompts."""
    return _self_checks[loaded.folder, loaded.info.dtype, len(loaded.ranks), mixed]


def load(folder: Path | str, dtype: str | None = None) -> loading.LoadedModel:
    return loading.load(str(folder), dtype, lambda _: None, lambda: False)


def compare(loaded: loading.LoadedModel, command: p.Compare) -> Comparison:
    """Run a comparison to its end; the events have been through the wire format."""
    events: list[p.Event] = []

    def emit(event: p.Event) -> None:
        events.append(p.decode_event(p.encode(event)))

    run = Run(loaded, resolve(loaded, command), emit, lambda: False, 0.0)
    run.run(self_checks_of(loaded))
    assert isinstance(events[0], p.Started)
    comparison = Comparison.begin(events[0])
    for event in events:
        comparison.apply(event)
    assert comparison.status is not None
    return comparison


def plain_tokens(model: Any, tokenizer: Any, name: str, prompt: list[int], count: int) -> list[int]:
    """What `mlx_lm.stream_generate` emits, the end token included."""
    with with_function(model, name):
        return [
            response.token
            for response in stream_generate(model, tokenizer, prompt, max_tokens=count)
        ]
