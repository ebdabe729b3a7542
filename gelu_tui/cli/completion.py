"""Completion in bash, zsh and fish: the shell's script and the answers to it."""

from __future__ import annotations

import contextlib
import os

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
)

from gelu_tui.cli import options as o

VARIABLE = "_GELU_TUI_COMPLETE"  # which the shell's script sets


class _Joined(ShellComplete):
    """Completes the value of `--model=de`, which is one word for most shells."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        found = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if option.startswith("--") and equals:
            for item in found:
                item.value = f"{option}={item.value}" if item.type == "plain" else item.value
        return found


class _Bash(_Joined, BashComplete):
    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        if args and args[-1] == "=" and incomplete != "=":
            args.pop()  # bash makes three words of it
        return args, incomplete


class _Zsh(_Joined, ZshComplete):
    pass


class _Fish(_Joined, FishComplete):
    # Values have commas: gelu,silu.
    source_template = FishComplete.source_template.replace("split ", "split --max 1 ")


_KINDS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


@click.command("completion", short_help="Print completion for a shell.")
@click.argument("shell", type=click.Choice(tuple(_KINDS)))
def completion_command(shell: str) -> int:
    """Print the script that completes gelu-tui in bash, zsh or fish.

    \b
    bash   eval "$(gelu-tui completion bash)"   in ~/.bashrc
    zsh    eval "$(gelu-tui completion zsh)"    in ~/.zshrc, after compinit
    fish   gelu-tui completion fish | source    in ~/.config/fish/config.fish
    """
    made = _KINDS[shell](click.get_current_context().command, {}, "gelu-tui", VARIABLE)
    # Not `made.source()`, which starts bash to look at its version.
    click.echo((made.source_template % made.source_vars()).encode(), nl=False)
    return o.DONE


def complete(tree: click.Group, asked: str) -> int:
    """Answer a shell: `asked` is the value of `VARIABLE`. Nothing is printed about a failure."""
    kind = _KINDS.get(asked.partition("_")[0])
    if kind is None:
        return o.FAILED
    with open(os.devnull, "w") as nothing, contextlib.redirect_stderr(nothing):  # noqa: PTH123
        try:
            said = kind(tree, {}, "gelu-tui", VARIABLE).complete()
        except Exception:  # the line that is being typed must not be spoilt by a report
            return o.FAILED
    click.echo(said.encode())
    return o.DONE
