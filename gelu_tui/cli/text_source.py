"""The options of commands that read a text: `--text`, `--run` for a saved run, `--context`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from gelu_tui.cli import options as o
from gelu_tui.cli.completers import files, runs
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import UsageError
from gelu_tui.core.protocol.requests import over_text
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.run_settings import RunSettings, with_functions_of
from gelu_tui.core.text_files import TEXT_LIMIT, decode_text, read_text_file

_OverText = TypeVar("_OverText", bound=p.OverText)


def text_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--text` (as `texts`), `--run` and `--context` to a command."""
    for option in reversed(
        (
            click.option(
                "--text",
                "texts",
                metavar="FILE",
                multiple=True,
                shell_complete=files,
                help="The text; '-' reads it from stdin. Given several times, each is a document.",
            ),
            click.option(
                "--run",
                metavar="ID",
                shell_complete=runs,
                help="Instead of a text: a saved run's prompt and the text that its reference "
                "generated. `last`, or a file that `run --format json` wrote; model and functions "
                "are the run's unless given.",
            ),
            click.option(
                "--context",
                cls=o.SettingOption,
                unset="512, or the model's context if smaller",
                type=int,
                metavar="N",
                help="Tokens of a window, BOS included.",
            ),
        )
    ):
        function = option(function)
    return function


def command_of(
    kind: type[_OverText],
    settings: RunSettings,
    texts: tuple[str, ...],
    run: str | None,
    context: int | None,
    prepared: Callable[[RunSettings], RunSettings] = lambda settings: settings,
    **more: Any,
) -> tuple[_OverText, ScoreSource]:
    """Return the command that reads what was named, and what that is; `more` are its fields.

    Its settings, those of a run too, are first `prepared`. Raises `GeluError`, and `UsageError`
    where both or neither are named.
    """
    if texts and run is None:
        read = [*map(_read, texts)]
        names = ["stdin" if text == "-" else text for text in texts]
        command = over_text(kind, prepared(settings), texts=read, context=context, **more)
        return command, ScoreSource("text", ", ".join(names))
    if run is not None and not texts:
        settings, tokens = _of_run(run, settings)
        command = over_text(kind, prepared(settings), tokens=tokens, context=context, **more)
        return command, ScoreSource("run", run)
    called = click.get_current_context().command_path
    both = ", not both" if texts else ""
    raise UsageError(f"Either --text or --run is needed{both}.", f"See `{called} --help`.")


def _read(name: str) -> str:
    if name != "-":
        return read_text_file(name)
    data = sys.stdin.buffer.read(TEXT_LIMIT + 1) if sys.stdin else b""
    return decode_text(data, "The text on stdin")


def _of_run(run: str, settings: RunSettings) -> tuple[RunSettings, tuple[int, ...]]:
    """A run's prompt and its reference's tokens; settings not typed are the run's."""
    from gelu_tui.cli.history import saved_run

    document = saved_run(run)
    typed = {name for name in RunSettings.__struct_fields__ if o.was_given(name)}
    if "model" in typed:
        typed.add("dtype")
    if "activations" in typed:
        typed.add("reference")
    return with_functions_of(settings, document.settings, but=typed), document.reference_tokens
