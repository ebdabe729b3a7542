"""The command tree of `gelu-tui`."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem

from gelu_tui.cli import options as o
from gelu_tui.cli.app import app_command
from gelu_tui.cli.completion import VARIABLE, complete
from gelu_tui.cli.interrupts import EndsAtOnce
from gelu_tui.core.errors import GeluError, UsageError
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.user_file import PREFIX, Settings, load_settings

_EXAMPLES = (
    'gelu-tui "Why is the sky blue?"',
    "gelu-tui --model google/gemma-3-1b-it -a 'gelu,silu,mine=x*sigmoid(1.7*x)'",
    'gelu-tui run --format json "Why is the sky blue?" > run.json',
    "gelu-tui score --text essay.txt",
    "gelu-tui sweep prompts.txt --model demo",
)

# The module of each command in this package. Each is imported when its command runs.
_MODULES = {
    "activations": "activations",
    "app": "app",
    "bench": "bench",
    "completion": "completion",
    "doctor": "doctor",
    "engine": "tree",
    "history": "history",
    "inputs": "inputs",
    "layers": "layers",
    "man": "manual",
    "models": "models",
    "open": "history",
    "run": "run",
    "schema": "schema",
    "score": "score",
    "settings": "settings",
    "show": "history",
    "sweep": "sweep",
}

_NARROW = 74  # cells of help from which the explanations are beside the options

# Options that do something once; a variable that is forgotten must not do it again.
_WITHOUT_VARIABLE = frozenset({"delete", "earlier", "fetch", "yes", "shown", "help", "restart"})


class _Formatter(click.HelpFormatter):
    """Leaves room for the explanations on a narrow terminal."""

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        super().write_dl(rows, col_max if self.width >= _NARROW else 14, col_spacing)


class _Context(click.Context):
    formatter_class = _Formatter


class _PromptGroup(click.Group):
    """A group whose first word may be a prompt instead of a command."""

    context_class = _Context

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Options of the app may come before or after the prompt, so all of them go to the app.
        if ctx.resilient_parsing and not args:
            return super().parse_args(ctx, args)  # a shell asks for the first word
        if not args or args[0] not in {*_MODULES, "-h", "--help", "--version"}:
            if "--" not in args and not ctx.resilient_parsing:  # which says that a prompt follows
                ctx.meta[o.MAY_BE_A_COMMAND] = tuple(_MODULES)
                if not args[:1] or args[0][:1] != "-":
                    o.refuse_misspelt(ctx, args)
            args = ["app", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        with EndsAtOnce():
            module = importlib.import_module(f"gelu_tui.cli.{_MODULES[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        command.context_class = _Context
        _name_variables(command, cmd_name)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """The commands, and the app's options too."""
        own = super().shell_complete(ctx, incomplete)
        with click.Context(app_command, ctx, resilient_parsing=True) as app:
            more = app_command.shell_complete(app, incomplete) if incomplete[:1] == "-" else []
        known = {item.value for item in own}
        return [*own, *(item for item in more if item.value not in known)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The app's options too: without a command they are this command's own."""
        super().format_options(ctx, formatter)
        _take_settings(ctx)
        with click.Context(app_command, ctx, default_map=(ctx.default_map or {})["app"]) as own:
            records = [param.get_help_record(own) for param in app_command.params]
        with formatter.section("Options of the app, which opens without a command"):
            formatter.write_dl([record for record in records if record and record[0][0] == "-"])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            formatter.write("".join(f"  {line}\n" for line in _EXAMPLES))


def _name_variables(command: click.Command, name: str) -> None:
    """Give each option the variable of this command: GELU_TUI_RUN_MAX_TOKENS is of `run`."""
    for param in command.params:
        if isinstance(param, click.Option) and param.name not in _WITHOUT_VARIABLE:
            word = max(param.opts, key=len).lstrip("-").replace("-", "_")
            param.envvar = f"{PREFIX}{name}_{word}".upper()
    if any(param.envvar for param in command.params):
        command.epilog = (
            "Each option has an environment variable, which may be set for this command only: "
            f"{PREFIX}{name.upper()}_ and the option's name."
        )


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from gelu_tui.cli.doctor import version_lines

        click.echo("\n".join(filter(None, version_lines())))
        ctx.exit()


@click.group(
    cls=_PromptGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="[PROMPT | COMMAND [ARGS]...]",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the versions, as a report of a fault needs them.",
)
@click.pass_context
def tree(ctx: click.Context) -> None:
    """Compare the token streams of one Gemma model under different activation functions."""
    if ctx.invoked_subcommand not in ("engine", "settings", "completion"):
        _take_settings(ctx)


def _take_settings(ctx: click.Context) -> None:
    """Make the user's settings the defaults of every command's options of the same names."""
    file = load_settings()
    values = {name: getattr(file.settings, name) for name in Settings.__struct_fields__}
    for name, field in fields_of(Settings).items():
        if field.unset and values[name] == field.default:
            del values[name]
    ctx.obj = file
    ctx.default_map = dict.fromkeys(_MODULES, values)
    # Without a control a sweep says little: there it is on, whatever the settings say for runs.
    ctx.default_map["sweep"] = {name: values[name] for name in values if name != "control"}
    if ctx.invoked_subcommand != "app":  # the app shows them itself
        for problem in file.problems:
            o.complain(problem)


@click.command("engine", short_help="The child process: JSON lines.")
@click.option(
    "--ranks",
    type=click.IntRange(2),
    help="Split the model by layers over so many processes on this machine.",
)
@click.option(
    "--hostfile",
    type=click.Path(exists=True, dir_okay=False),
    help="Split the model by layers over the machines of this file of mlx.launch.",
)
@click.option(
    "--python",
    default=sys.executable,
    help="With --hostfile: Python on these machines, in which gelu-tui is installed.",
)
@click.option("--pipeline", is_flag=True, help="Be one of the processes that mlx.launch starts.")
def engine_command(ranks: int | None, hostfile: str | None, python: str, pipeline: bool) -> None:
    """Run the child process: commands on stdin, events on stdout, one JSON object a line."""
    # Ctrl+C is for whoever has started it, which ends it by its stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    module, arguments = "gelu_tui.engine", ["--pipeline"] if pipeline else []
    if hostfile or ranks:
        module = "gelu_tui.engine.pipeline.launcher"
        arguments = [python, hostfile] if hostfile else [str(ranks)]
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])


def _takes_a_prompt(command: click.Command) -> bool:
    return any(param.name == "prompt" for param in command.params)


def run_tree() -> int:
    """Run the command that was typed and return its exit code."""
    if sys.stdout is None:
        # The next file that is opened would get its number and receive what is printed.
        o.complain(GeluError("output", "The standard output is closed.", "Use > /dev/null."))
        return o.FAILED
    for stream, errors in ((sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        if hasattr(stream, "reconfigure"):
            # A locale that cannot show √ must not end the program.
            stream.reconfigure(errors=errors)
    if asked := os.environ.get(VARIABLE):
        return complete(tree, asked)
    try:
        return tree(prog_name="gelu-tui", standalone_mode=False) or o.DONE
    except click.Abort:
        return o.INTERRUPTED
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        # An error of click's parser may not name the command.
        typed = " ".join(["gelu-tui", *(name for name in sys.argv[1:2] if name in _MODULES)])
        path = context.command_path if context else typed
        variable = getattr(getattr(error, "param", None), "envvar", None)
        where = (
            f" ({variable} is set)" if isinstance(variable, str) and variable in os.environ else ""
        )
        hint = f"See `{path} --help`"
        if isinstance(error, click.NoSuchOption) and context and _takes_a_prompt(context.command):
            hint += f"; a prompt that begins with a hyphen follows `--`: {path} -- '-…'"
        # Where an argument is missing, click has each of its choices on a line of its own.
        message = error.format_message().replace("\n\t", " ")
        o.complain(UsageError(f"{message}{where}", f"{hint}."))
        return o.WRONG_USAGE
    except GeluError as error:
        o.complain(error)
        return o.WRONG_USAGE if isinstance(error, UsageError) else o.FAILED
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            # Discard what is still buffered: at exit Python would report the error again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        o.complain(GeluError("output", f"The output cannot be written: {error.strerror}."))
        return o.FAILED
