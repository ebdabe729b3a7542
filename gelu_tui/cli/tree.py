"""The command tree of `gelu-tui`."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from gelu_tui import __version__
from gelu_tui.cli import options as o
from gelu_tui.core.errors import GeluError, UsageError
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.user_file import Settings, SettingsFile, load_settings

_EXAMPLES = (
    'gelu-tui "Why is the sky blue?"',
    "gelu-tui --model google/gemma-3-1b-it -a 'gelu,silu,mine=x*sigmoid(1.7*x)'",
    'gelu-tui run --format json "Why is the sky blue?" > run.json',
    "gelu-tui score --text essay.txt",
)


class _PromptGroup(click.Group):
    """A group whose first word may be a prompt instead of a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Options of the app stand before or after the prompt, so all of them go to the app.
        if not args or args[0] not in {*self.commands, "-h", "--help", "--version"}:
            args = ["app", *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The app's options too: without a command they are this command's own."""
        super().format_options(ctx, formatter)
        _take_settings(ctx)
        app = self.commands["app"]
        with click.Context(app, ctx, default_map=(ctx.default_map or {})["app"]) as own:
            records = [param.get_help_record(own) for param in app.params]
        with formatter.section("Options of the app, which opens without a command"):
            formatter.write_dl([record for record in records if record and record[0][0] == "-"])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lines that can be copied."""
        with formatter.section("Examples"):
            formatter.write("".join(f"  {line}\n" for line in _EXAMPLES))


@click.group(
    cls=_PromptGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="[PROMPT | COMMAND [ARGS]...]",
)
@click.version_option(__version__, prog_name="gelu-tui")
@click.pass_context
def tree(ctx: click.Context) -> None:
    """Compare the token streams of one Gemma model under different activation functions."""
    if ctx.invoked_subcommand not in ("engine", "settings"):
        _take_settings(ctx)


def _take_settings(ctx: click.Context) -> None:
    """The user's settings become the defaults of every command's options of the same names."""
    file = load_settings()
    values = {name: getattr(file.settings, name) for name in Settings.__struct_fields__}
    for name, field in fields_of(Settings).items():
        if field.unset and values[name] == field.default:
            del values[name]
    ctx.obj = file
    ctx.default_map = {
        name: {
            option.name: values[option.name] for option in command.params if option.name in values
        }
        for name, command in tree.commands.items()
    }
    if ctx.invoked_subcommand != "app":  # which shows them itself
        for problem in file.problems:
            o.complain(problem)


@tree.command("app", short_help="Open the app (the default).")
@o.prompt_argument(required=False)
@o.options_of(RunSettings)
@o.app_options
@click.pass_obj
def app(file: SettingsFile, /, prompt: str | None, **options: Any) -> int:
    """Open the app (the default); a PROMPT given here runs at once."""
    from gelu_tui.cli.app import open_app

    return open_app(prompt, o.in_force(file, options), file)


@tree.command("run", short_help="Compare without the app: text, JSON or events.")
@o.prompt_argument(required=True)
@o.options_of(RunSettings)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json", "jsonl"]),
    default="text",
    show_default=True,
    help="Streams and a table, one JSON document, or the engine's events as they come.",
)
@o.options_of(Settings, "save_runs", "color", "engine_command")
@click.pass_obj
def run(file: SettingsFile, /, prompt: str, output_format: str, **options: Any) -> int:
    """Compare on PROMPT without the app; '-' reads it from stdin."""
    from gelu_tui.cli.run import run_headless

    return run_headless(prompt, o.in_force(file, options), output_format)


@tree.command("score", short_help="Teacher-forced statistics over a text.")
@click.option("--text", metavar="FILE", help="The text; '-' reads it from stdin.")
@click.option(
    "--run",
    metavar="ID",
    help="Instead of a text: a saved run's prompt and what its reference made of it. `last`, or a "
    "file that `run --format json` wrote; model and functions are the run's unless given.",
)
@o.options_of(RunSettings, "model", "activations", "reference", "activation_precision", "dtype")
@click.option(
    "--control/--no-control",
    "control_added",  # not the setting: on here, whatever the settings say for comparisons
    default=True,
    show_default=True,
    help="Add a function that differs from the reference in the order of operations only: the "
    "noise floor.",
)
@click.option(
    "--context",
    cls=o.SettingOption,
    unset="512, or the model's context if smaller",
    type=int,
    metavar="N",
    help="Tokens of a window, BOS included.",
)
@o.text_or_json_option
@o.common_options
@click.pass_obj
def score(
    file: SettingsFile,
    /,
    text: str | None,
    run: str | None,
    control_added: bool,
    context: int | None,
    output_format: str,
    **options: Any,
) -> int:
    """Feed one text to all functions and compare what each makes of every token.

    The text is cut into windows, and each begins with BOS; every token that has another one before
    it in its window is scored.
    """
    from gelu_tui.cli.score import run_score

    settings = o.in_force(file, {**options, "control": control_added})
    return run_score(settings, text=text, run=run, context=context, output_format=output_format)


@tree.command("history", short_help="List the saved runs, or delete one.")
@click.option("--search", default="", metavar="WORDS", help="Only runs that hold all of them.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    metavar="N",
    help="At most so many, the newest first.",
)
@click.option("--delete", type=int, metavar="ID", help="Delete this run, and list nothing.")
@o.text_or_json_option
@o.color_option
def history(**options: Any) -> None:
    """List the saved runs: prompt, model, functions, first divergent tokens."""
    from gelu_tui.cli.history import print_history

    print_history(**options)


@tree.command("show", short_help="Print a saved run.")
@click.argument("run", metavar="ID")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
    help="As `run` prints it, its JSON document, or a report.",
)
@o.color_option
def show(run: str, output_format: str, color: str) -> None:
    """Print a saved run; ID may be `last`, or a file that `run --format json` wrote."""
    from gelu_tui.cli.history import print_run

    print_run(run, output_format, color)


@tree.command("open", short_help="Open a saved run in the app.")
@click.argument("run", metavar="FILE.json|ID")
@o.app_options
@click.pass_obj
def open_run(file: SettingsFile, /, run: str, **options: Any) -> int:
    """Open a saved run in the app, without loading its model; ID may be `last`."""
    from gelu_tui.cli.history import open_run

    return open_run(run, file, options)


@tree.command("activations", short_help="List the activation functions.")
@o.text_or_json_option
@o.color_option
def activations(output_format: str, color: str) -> None:
    """List the registry: names, formulas, errors against exact GELU."""
    from gelu_tui.cli.listing import print_activations

    print_activations(output_format, color)


@tree.command("models", short_help="List Gemma models, fetch or delete one.")
@click.option(
    "--folder",
    "folders",
    multiple=True,
    metavar="DIR",
    help="Look here too: a model, or a folder of models. May be repeated.",
)
@click.option(
    "--fetch",
    metavar="ID",
    help="Fetch a model from the hub, or make the demo ready. Ctrl-C stops; files that have "
    "arrived whole are kept, and the same command fetches those that are missing.",
)
@click.option(
    "--delete",
    metavar="ID",
    help="Delete a model from the hub's cache, or the converted demo. Asks first.",
)
@click.option("--yes", is_flag=True, help="Delete without a question.")
@o.text_or_json_option
@o.common_options
def models(
    folders: tuple[str, ...],
    fetch: str | None,
    delete: str | None,
    yes: bool,
    output_format: str,
    color: str,
    engine_command: str | None,
) -> int:
    """List the Gemma models of this machine and some that can be fetched; fetch or delete one."""
    from gelu_tui.cli.models import delete_model, fetch_model, print_models

    if fetch is not None and delete is not None:
        raise UsageError("--fetch and --delete do not go together.", "Give one of them.")
    if fetch is not None:
        return fetch_model(fetch, output_format, engine_command)
    if delete is not None:
        return delete_model(delete, output_format, engine_command, yes=yes)
    return print_models(folders, output_format, color, engine_command)


@tree.command("settings", short_help="Show the settings in force and their file.")
@click.option("--defaults", "shown", flag_value="defaults", help="Every setting and key explained.")
@click.option("--path", "shown", flag_value="path", help="Only where the file is.")
@click.option("--check", "shown", flag_value="check", help="Exit with 1 if something is wrong.")
def settings(shown: str | None) -> int:
    """Show where the settings file is and the settings in force, as commented TOML.

    The command line comes first, then the environment, the file and the defaults. The variable of
    a setting is its name with GELU_TUI_ in front, e.g. GELU_TUI_MAX_TOKENS. GELU_TUI_CONFIG names
    another file.
    """
    from gelu_tui.cli.settings import show_settings

    return show_settings(shown)


@tree.command("bench", short_help="Measure against plain mlx-lm.")
@click.option("--prompt", default="Why is the sky blue?", show_default=True, help="What to decode.")
@o.options_of(RunSettings, "model", "dtype")
@click.option(
    "--tokens", type=click.IntRange(2, 1000), default=24, show_default=True, help="For each row."
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="Each measures every way of decoding once; reported are medians.",
)
@click.option("--start-up/--no-start-up", default=True, help="Also time command to first token.")
@o.text_or_json_option
@o.common_options
def bench(**options: Any) -> int:
    """Measure speed and memory against plain mlx-lm, as ratios in one run."""
    from gelu_tui.cli.bench import run_bench

    return run_bench(**options)


@tree.command("engine", short_help="The child process: JSON lines.")
def engine() -> None:
    """Be the child process: commands on stdin, events on stdout, one JSON object a line."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "gelu_tui.engine"])


def _typed_command() -> str:
    """The command that was typed, for an error of click's parser that does not name it."""
    name = next(iter(sys.argv[1:]), "")
    return f"gelu-tui {name}" if name in tree.commands else "gelu-tui"


def run_tree() -> int:
    """Run the command that was typed and return its exit code."""
    if sys.stdout is None:
        # The next file to be opened would get its number, and what is printed would go there.
        o.complain(GeluError("output", "The standard output is closed.", "Use > /dev/null."))
        return o.FAILED
    for stream, errors in ((sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        if hasattr(stream, "reconfigure"):
            # A locale that cannot show √ must not end the program.
            stream.reconfigure(errors=errors)
    try:
        return tree(prog_name="gelu-tui", standalone_mode=False) or o.DONE
    except click.Abort:
        return o.INTERRUPTED
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        path = context.command_path if context else _typed_command()
        o.complain(UsageError(error.format_message(), f"See `{path} --help`."))
        return o.WRONG_USAGE
    except UsageError as error:
        o.complain(error)
        return o.WRONG_USAGE
    except GeluError as error:
        o.complain(error)
        return o.FAILED
    except OSError as error:
        o.abandon_stdout()
        o.complain(GeluError("output", f"The output cannot be written: {error.strerror}."))
        return o.FAILED
