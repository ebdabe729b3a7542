"""`gelu-tui sweep`: many prompts, and what follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from msgspec.structs import asdict, replace

from gelu_tui.cli import options as o
from gelu_tui.cli.completers import sweeps
from gelu_tui.cli.output import Output, output_options
from gelu_tui.core.errors import UsageError
from gelu_tui.core.reports.export import format_of
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.user_file import Settings, SettingsFile
from gelu_tui.sweep.cluster.choice import cluster_of
from gelu_tui.sweep.report.formats import SWEEP_FORMATS, SWEEP_TOKEN_FORMATS
from gelu_tui.sweep.settings import SweepSettings

if TYPE_CHECKING:
    from gelu_tui.sweep.plan import Plan

_OPTIONS = [name for name in fields_of(SweepSettings) if name not in ("model", "prompts")]
WORKERS = "So many engines on this machine, each with the model loaded; for machines with memory."
SCHEDULER = "The address of a running Dask scheduler, e.g. tcp://host:8786: its workers compute."
SSH = "Workers on these machines, which are started there by ssh."
SSH_PYTHON = "The Python on those machines that has gelu-tui[cluster]; by default this one's path."

# Models first: it is the option that most sweeps need.
_OPTIONS.sort(key=lambda name: name != "models")


@click.command("sweep", short_help="Compare on many prompts: statistics.")
@click.argument("file", metavar="FILE", shell_complete=sweeps)
@o.options_of(SweepSettings, *_OPTIONS)
@click.option(
    "--restart", is_flag=True, help="Begin anew; the results that there are keep another name."
)
@click.option("--app", "in_app", is_flag=True, help="Run it in the app, on its own screen.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help=WORKERS)
@click.option("--scheduler", metavar="ADDRESS", help=SCHEDULER)
@click.option("--ssh", metavar="HOST,HOST", help=SSH)
@click.option("--ssh-python", metavar="PATH", help=SSH_PYTHON)
@output_options(
    "A report; one JSON document; a report in Markdown; a page for a browser; or a row for each "
    "prompt and function.",
    formats=SWEEP_FORMATS,
)
@click.option("--tokens", is_flag=True, help="With csv or parquet: a row for each token.")
@o.engine_options
@click.pass_obj
def sweep_command(
    settings_file: SettingsFile,
    /,
    file: str,
    restart: bool,
    in_app: bool,
    workers: int | None,
    scheduler: str | None,
    ssh: str | None,
    ssh_python: str | None,
    output_format: str | None,
    output: str | None,
    tokens: bool,
    color: str,
    engine_command: str | None,
    **options: Any,
) -> int:
    """Run FILE's prompts under several functions, and print how often and why the streams part.

    FILE is one of

    \b
      prompts.txt       text, a prompt a line; '-' reads it from stdin
      prompts.csv       a header with the column prompt
      prompts.jsonl     an object a line: {"prompt": "..."}
      sweep.toml        a sweep file: prompts and any of the options below
      builtin:notebook  two prompts; builtin:mixed has more, builtin:facts questions

    Rows of CSV and JSONL may also have id, category, and a right answer: choices and answer, or
    answer and match (exact or regex); instead of a prompt, messages of a chat.

    Each prompt is saved as it is finished. After Ctrl+C, or anything else, the same command goes
    on where it stopped; a finished sweep prints its report again. `gelu-tui history` lists sweeps.
    """
    cluster = cluster_of(workers, scheduler, ssh, ssh_python)
    remote = cluster is not None and not cluster.workers
    plan = planned(settings_file, file, options, engine_command, local=not remote)
    if in_app:
        if cluster is not None:
            message = "--app runs a sweep on one engine of this machine."
            raise UsageError(message, "Without --app, --workers and the like have several.")
        if restart or tokens or output_format is not None or output is not None:
            message = "--app shows the sweep: it takes no format, no output and no --restart."
            raise UsageError(message, "`gelu-tui show` prints its report afterwards.")
        return _in_app(settings_file, plan, color, engine_command)
    formats = {**SWEEP_FORMATS, **SWEEP_TOKEN_FORMATS} if tokens else SWEEP_FORMATS
    if tokens and output_format is None and format_of(output or "", formats) is None:
        output_format = "csv"
    printed = Output(output_format, output, color, formats)
    if tokens and printed.format not in SWEEP_TOKEN_FORMATS:
        raise UsageError(f"--tokens has no format {printed.format}.", "Add --format csv.")
    o.warn_of_no_effect(plan.settings)
    from gelu_tui.cli.sweep_session import print_sweep

    return print_sweep(plan, printed, engine_command, anew=restart, cluster=cluster)


def _in_app(file: SettingsFile, plan: Plan, color: str, engine_command: str | None) -> int:
    from gelu_tui.cli.app import open_app

    own = replace(file.settings, color=color, engine_command=engine_command)
    return open_app(None, with_settings_of(plan.settings, own), file, sweep=plan)


def with_settings_of(sweep: SweepSettings, settings: Settings) -> Settings:
    """Return the app's settings with those of a sweep for the next run, but without a control.

    Nobody chose one for a single run: a sweep has one by default.
    """
    return replace(settings, **asdict(sweep.of_run()) | {"control": False})


def planned(
    settings_file: SettingsFile,
    source: str,
    options: dict[str, Any],
    engine_command: str | None,
    *,
    local: bool = True,
) -> Plan:
    """Return the plan of a sweep that was typed. Raises `GeluError`.

    What was typed comes before the sweep file, which comes before the environment and the user's
    settings. Without `local`, models are those of other machines.
    """
    from gelu_tui.sweep.plan import make_plan

    user = {
        name: getattr(settings_file.settings, name)
        for name in RunSettings.__struct_fields__
        if name in settings_file.decided and name != "control"
    }
    context = click.get_current_context()
    found = {name: context.get_parameter_source(name) for name in options}
    typed, variables = (
        {name: value for name, value in options.items() if found[name] is where}
        for where in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    )
    return make_plan(source, (user, variables), typed, local=local and engine_command is None)
