"""Options that several commands share, and how errors leave a command."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from gelu_tui.core.errors import ErrorInfo, GeluError, UsageError

_F = TypeVar("_F", bound=Callable[..., Any])

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

_COMPARISON = (
    click.option(
        "--model",
        default="demo",
        show_default=True,
        metavar="MODEL",
        help="demo, a folder, or the id of a model on the hub.",
    ),
    click.option(
        "-a",
        "--activations",
        multiple=True,
        metavar="NAMES",
        help="Functions to compare, comma separated, in order; NAME=EXPRESSION is one of your own. "
        "May be repeated.",
    ),
    click.option("--reference", metavar="NAME", help="The one that the others are compared with."),
    click.option(
        "--max-tokens",
        type=int,
        default=256,
        show_default=True,
        metavar="N",
        help="For each stream.",
    ),
    click.option(
        "--schedule",
        type=click.Choice(["lockstep", "solo"]),
        default="lockstep",
        show_default=True,
        help="All functions as rows of one batch, or each by itself.",
    ),
    click.option(
        "--chat/--raw",
        default=None,
        help="Use the chat template, or feed the prompt as it is. [default: chat if there is one]",
    ),
    click.option(
        "--activation-precision",
        type=click.Choice(["float32", "model"]),
        default="float32",
        show_default=True,
        help="Evaluate the functions in float32, or in the model's dtype as mlx-lm does.",
    ),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "bfloat16", "float16"]),
        help="For floating weights. [default: as stored; float32 on a CPU]",
    ),
)

_COMMON = (
    click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        help="NO_COLOR is respected too.",
    ),
    click.option(
        "--engine-command",
        metavar="COMMAND",
        help='Start the engine by another command, e.g. "ssh mac gelu-tui engine".',
    ),
)


def _all(options: tuple[Callable[[Any], Any], ...]) -> Callable[[_F], _F]:
    def decorate(function: _F) -> _F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


comparison_options = _all(_COMPARISON)
common_options = _all(_COMMON)
model_option = _COMPARISON[0]
dtype_option = _COMPARISON[-1]
color_option = _COMMON[0]
text_or_json_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A table, or one JSON document.",
)


def prompt_argument(*, required: bool) -> Callable[[_F], _F]:
    """PROMPT, one word for the shell; several words are told how to become one."""

    def one(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> str | None:
        if len(words) > 1:
            raise UsageError(
                f"The prompt must be one argument, not {len(words)}.",
                f"Put it in quotation marks: '{' '.join(words)[:60]}'.",
            )
        return words[0] if words else None

    return click.argument("prompt", nargs=-1, required=required, callback=one, metavar="PROMPT")


def activation_specs(values: tuple[str, ...]) -> tuple[str, ...]:
    """The chosen functions, or the default set."""
    from gelu_tui.core.activations import DEFAULT_SET, split_specs

    return tuple(split_specs(values)) if values else DEFAULT_SET


def no_color(color: str) -> bool:
    """Whether output must be without colour."""
    return color == "never" or (color == "auto" and bool(os.environ.get("NO_COLOR")))


def complain(error: GeluError | ErrorInfo) -> None:
    """Say on stderr what happened and what to do."""
    from gelu_tui.core.expressions import FormulaError
    from gelu_tui.core.report import hint_lines

    pointer = error.pointer() if isinstance(error, FormulaError) else ""
    info = error.info if isinstance(error, GeluError) else error
    with contextlib.suppress(OSError):  # nobody may be left to read it
        for line in hint_lines(info.message, info.hint, pointer):
            click.echo(line, err=True)


def abandon_stdout() -> None:
    """Let what is still buffered go nowhere: at exit Python would complain about it again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_json(value: Any, *, indent: int = 0) -> None:
    """JSON on stdout, one line unless indented; always UTF-8, whatever the locale is."""
    from gelu_tui.core.document import to_json

    click.echo(to_json(value, indent=indent).encode())
