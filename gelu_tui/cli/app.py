"""Opening the app."""

from __future__ import annotations

import os
import sys

from gelu_tui.cli import options as o
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import UsageError
from gelu_tui.core.requests import compare_command

_ANY_PROMPT = "x"  # the app's own prompt is typed later; everything else is checked now


def open_app(
    prompt: str | None,
    *,
    model: str,
    activations: tuple[str, ...],
    reference: str | None,
    max_tokens: int,
    schedule: p.Schedule,
    chat: bool | None,
    activation_precision: p.Precision,
    dtype: str | None,
    color: str,
    engine_command: str | None,
) -> int:
    """Check the options and run the app; returns its exit code. Raises `UsageError`."""
    # Textual draws on stderr.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError(
            "The app needs a terminal on stdin, stdout and stderr.",
            "For scripts and pipes use `gelu-tui run PROMPT`.",
            kind="no_terminal",
        )
    specs = o.activation_specs(activations)
    compare_command(
        _ANY_PROMPT if prompt is None else prompt,
        specs,
        reference=reference,
        max_tokens=max_tokens,
    )
    if o.no_color(color):
        os.environ["NO_COLOR"] = "1"
    elif color == "always":
        os.environ.pop("NO_COLOR", None)
    from gelu_tui.tui.app import run_app
    from gelu_tui.tui.options import AppOptions

    return run_app(
        AppOptions(
            model=model,
            dtype=dtype,
            activations=specs,
            reference=reference,
            max_tokens=max_tokens,
            schedule=schedule,
            chat=chat,
            activation_precision=activation_precision,
            engine_command=engine_command,
            prompt=prompt,
        )
    )
