"""`gelu-tui man`: the manual page, made of the help texts."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from gelu_tui import __version__
from gelu_tui.cli import options as o
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.user_file import PREFIX, Settings

_FILES = (
    ("config.toml", "The settings; `gelu-tui settings --path` prints where it is."),
    ("history.sqlite", "The saved runs; `gelu-tui doctor` prints all folders."),
    ("engine.log", "The engine's log; `gelu-tui --version` prints where it is."),
)
_EXIT_CODES = (
    ("0", "Done."),
    ("1", "Failed."),
    ("2", "Wrong usage."),
    ("130", "Interrupted; what there was until then is printed."),
)
_MORE_VARIABLES = (
    ("GELU_TUI_CONFIG", "The settings file."),
    ("GELU_TUI_BLAS", "A BLAS library for MLX on Linux's CPU, or off."),
    ("NO_COLOR", "No colour on the terminal."),
    ("HF_HOME, HF_HUB_CACHE", "Where the hub's models are kept."),
)


@click.command("man", short_help="Print the manual page.")
@click.pass_context
def man_command(ctx: click.Context) -> int:
    """Print the manual page, e.g. for `gelu-tui man | man -l -`.

    To install it: gelu-tui man > ~/.local/share/man/man1/gelu-tui.1
    """
    click.echo("\n".join(_page(ctx.find_root())).encode())
    return o.DONE


def _page(root: click.Context) -> Iterator[str]:
    tree = root.command
    assert isinstance(tree, click.Group)
    yield f'.TH GELU-TUI 1 "" "gelu-tui {__version__}" "User Commands"'
    yield from (".SH NAME", rf"gelu\-tui \- {_roff((tree.help or '').rstrip('.'))}")
    yield from (".SH SYNOPSIS", r".B gelu\-tui", _roff(tree.subcommand_metavar or ""))
    yield from (".SH DESCRIPTION", _roff("Without a command the app opens; a prompt runs at once."))
    yield ".SH COMMANDS"
    for name in tree.list_commands(root):
        command = tree.get_command(root, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=root)
        usage = " ".join(["gelu-tui", name, *command.collect_usage_pieces(context)])
        yield from (".SS", _roff(usage), *_paragraphs(command.help or ""))
        for param in command.params:
            record = param.get_help_record(context)
            if record and record[1]:
                yield from _item(*record)
    yield from (
        ".SH ENVIRONMENT",
        ".PP",
        _roff("Each setting has a variable for all commands, and"),
    )
    yield _roff("each option one for its command, e.g. GELU_TUI_RUN_MAX_TOKENS.")
    for field_name, field in fields_of(Settings).items():
        yield from _item(f"{PREFIX}{field_name.upper()}", field.description)
    for title, items in (("", _MORE_VARIABLES), ("FILES", _FILES), ("EXIT STATUS", _EXIT_CODES)):
        if title:
            yield f".SH {title}"
        for item in items:
            yield from _item(*item)


def _item(term: str, text: str) -> tuple[str, ...]:
    return (".TP", rf"\fB{_roff(term)}\fR", _roff(" ".join(text.split())))


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        kept = paragraph.startswith("\b\n")  # click's mark of lines that stay as they are
        yield from (".PP", ".nf") if kept else (".PP",)
        lines = paragraph.removeprefix("\b\n").split("\n") if kept else [paragraph]
        yield from (_roff(line if kept else " ".join(line.split())) for line in lines)
        if kept:
            yield ".fi"


def _roff(text: str) -> str:
    """Any text as words for roff: no control lines and no escapes."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return re.sub(r"^([.'])", r"\\&\1", escaped)
