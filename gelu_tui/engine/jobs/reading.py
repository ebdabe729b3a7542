"""How a job that reads a text ends: it always emits one event that says so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import mlx.core as mx

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.engine.failures import Interrupted, error_info
from gelu_tui.engine.jobs.observer import Emit


@contextmanager
def reading(emit: Emit, finished: type[p.TextFinished]) -> Iterator[None]:
    """Within this context a text is read; at its end emit `finished`.

    The event has the status, the seconds, the peak memory, and the error if one was raised. No
    exception of the text's reading leaves the context.
    """
    mx.reset_peak_memory()
    began = time.perf_counter()
    status: p.Status = "completed"
    error: ErrorInfo | None = None
    try:
        yield
    except Interrupted:
        status = "cancelled"
    except Exception as failure:
        status, error = "failed", error_info(failure)
    emit(finished(status, time.perf_counter() - began, mx.get_peak_memory(), error))
