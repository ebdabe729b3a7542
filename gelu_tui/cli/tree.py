"""The command tree of `gelu-tui`."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from gelu_tui import __version__
from gelu_tui.cli import options as o
from gelu_tui.core.errors import GeluError, UsageError


class _PromptGroup(click.Group):
    """A group whose first word may be a prompt instead of a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Options of the app stand before or after the prompt, so all of them go to the app.
        if not args or args[0] not in {*self.commands, "-h", "--help", "--version"}:
            args = ["app", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=_PromptGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Without a command the app opens; `gelu-tui PROMPT` runs at once.",
)
@click.version_option(__version__, prog_name="gelu-tui")
def tree() -> None:
    """Compare the token streams of one Gemma model under different activation functions."""


@tree.command("app")
@click.argument("prompt", required=False)
@o.comparison_options
@o.common_options
def app(prompt: str | None, **options: Any) -> None:
    """Open the app (the default); a PROMPT given here runs at once."""
    from gelu_tui.cli.app import open_app

    sys.exit(open_app(prompt, **options))


@tree.command("run")
@click.argument("prompt")
@o.comparison_options
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json", "jsonl"]),
    default="text",
    show_default=True,
    help="Streams and a table, one JSON document, or the engine's events as they come.",
)
@o.common_options
def run(prompt: str, **options: Any) -> None:
    """Compare on PROMPT without the app; '-' reads it from stdin."""
    from gelu_tui.cli.run import run_headless

    sys.exit(run_headless(prompt, **options))


@tree.command("activations")
@click.option("--format", "output_format", type=click.Choice(["text", "json"]), default="text")
@o._COMMON[0]
def activations(output_format: str, color: str) -> None:
    """List the registry: names, formulas, errors against exact GELU."""
    from gelu_tui.cli.listing import print_activations

    print_activations(output_format, color)


@tree.command("bench")
@click.option("--prompt", default="Why is the sky blue?", show_default=True)
@o.model_option
@o.dtype_option
@click.option("--tokens", type=click.IntRange(2, 1000), default=24, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option("--start-up/--no-start-up", default=True, help="Also time command to first token.")
@click.option("--format", "output_format", type=click.Choice(["text", "json"]), default="text")
@o.common_options
def bench(**options: Any) -> None:
    """Measure speed and memory against plain mlx-lm, as ratios in one run."""
    from gelu_tui.cli.bench import run_bench

    sys.exit(run_bench(**options))


@tree.command("engine")
def engine() -> None:
    """Be the child process: commands on stdin, events on stdout, one JSON object a line."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "gelu_tui.engine"])


def main() -> None:
    """Entry point: no traceback reaches a user."""
    if hasattr(sys.stdout, "reconfigure"):
        # A locale that cannot show √ must not end the program.
        sys.stdout.reconfigure(errors="replace")
        sys.stderr.reconfigure(errors="backslashreplace")
    try:
        tree(prog_name="gelu-tui")
    except UsageError as error:
        o.stop(error, o.WRONG_USAGE)
    except GeluError as error:
        o.stop(error, o.FAILED)
    except BrokenPipeError:
        # The reader of our output has left; Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(o.FAILED)
    except OSError as error:
        o.stop(GeluError("output", f"The output cannot be written: {error.strerror}."), o.FAILED)
