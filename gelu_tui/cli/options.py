"""Options that several commands share, and how errors leave a command.

Defaults are those of `core/settings.py`, or the user's own: the command tree hands them to click.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError, UsageError

_F = TypeVar("_F", bound=Callable[..., Any])

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


class SettingOption(click.Option):
    """An option whose help shows the default in force; `unset` is what none means, in words."""

    def __init__(
        self, declarations: Sequence[str] | None = None, *, unset: str = "", **attributes: Any
    ) -> None:
        super().__init__(declarations, show_default=True, **attributes)
        self._unset = unset

    def get_help_extra(self, ctx: click.Context) -> Any:
        """What stands in brackets behind the help."""
        extra = super().get_help_extra(ctx)
        if self._unset:
            extra.setdefault("default", self._unset)
        return extra


model_option = click.option(
    "--model",
    cls=SettingOption,
    metavar="MODEL",
    help="demo, a folder, or the id of a model on the hub.",
)
_activations = click.option(
    "-a",
    "--activations",
    cls=SettingOption,
    multiple=True,
    metavar="NAMES",
    help="Functions to compare, comma separated, in order; NAME=EXPRESSION is one of your own. "
    "May be repeated.",
)
_reference = click.option(
    "--reference",
    cls=SettingOption,
    unset="the model's own if chosen, else the first",
    metavar="NAME",
    help="The one that the others are compared with.",
)
_activation_precision = click.option(
    "--activation-precision",
    cls=SettingOption,
    type=click.Choice(["float32", "model"]),
    help="Evaluate the functions in float32, or in the model's dtype as mlx-lm does.",
)
dtype_option = click.option(
    "--dtype",
    cls=SettingOption,
    type=click.Choice(["float32", "bfloat16", "float16"]),
    unset="as stored; float32 on a CPU",
    help="For floating weights.",
)
_COMPARISON = (
    model_option,
    _activations,
    _reference,
    click.option(
        "--max-tokens",
        cls=SettingOption,
        type=int,
        metavar="N",
        help="For each stream.",
    ),
    click.option(
        "--schedule",
        cls=SettingOption,
        type=click.Choice(["lockstep", "solo"]),
        help="All functions as rows of one batch, or each by itself.",
    ),
    click.option(
        "--chat/--raw",
        cls=SettingOption,
        default=None,  # click would take False
        unset="chat if there is one",
        help="Use the chat template, or feed the prompt as it is.",
    ),
    _activation_precision,
    click.option(
        "--temperature",
        cls=SettingOption,
        type=float,
        metavar="T",
        help="0 takes the most probable token; above it all functions draw with the same random "
        "numbers.",
    ),
    click.option(
        "--seed",
        cls=SettingOption,
        unset="a new one, which is told",
        type=int,
        metavar="S",
        help="Of the random numbers.",
    ),
    click.option(
        "--top-p",
        cls=SettingOption,
        type=float,
        metavar="P",
        help="Draw from the most probable tokens that together have this probability; 1 is off.",
    ),
    click.option(
        "--top-k",
        cls=SettingOption,
        type=int,
        metavar="K",
        help="Draw from so many most probable tokens; 0 is off.",
    ),
    click.option(
        "--min-p",
        cls=SettingOption,
        type=float,
        metavar="P",
        help="Draw from tokens at least this probable, relative to the most probable; 0 is off.",
    ),
    click.option(
        "--control/--no-control",
        cls=SettingOption,
        help="Add a function that differs from the reference in the order of operations only.",
    ),
    click.option(
        "--replay/--no-replay",
        cls=SettingOption,
        help="Replay each fork in float32, to tell whether the formula or rounding made it.",
    ),
    dtype_option,
)

_COMMON = (
    click.option(
        "--color",
        cls=SettingOption,
        type=click.Choice(["auto", "always", "never"]),
        help="NO_COLOR is respected too.",
    ),
    click.option(
        "--engine-command",
        cls=SettingOption,
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
model_and_functions = _all(
    (model_option, _activations, _reference, _activation_precision, dtype_option)
)
common_options = _all(_COMMON)
color_option = _COMMON[0]
refresh_option = click.option(
    "--refresh",
    cls=SettingOption,
    type=click.FloatRange(1, 60),
    metavar="HZ",
    help="Frames a second while tokens come; fewer for a slow line.",
)
theme_option = click.option(
    "--theme",
    cls=SettingOption,
    unset="what suits the terminal",
    metavar="NAME",
    help="The app's colours.",
)
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

    def one(ctx: click.Context, _: click.Parameter, words: tuple[str, ...]) -> str | None:
        if len(words) > 1:
            group = ctx.parent.command if ctx.parent else None
            if isinstance(group, click.Group) and words[0] in group.commands:
                raise UsageError(
                    f"`{words[0]}` is a command, and an option stands before it.",
                    f"Options follow their command: see `gelu-tui {words[0]} --help`.",
                )
            raise UsageError(
                f"The prompt must be one argument, not {len(words)}.",
                f"Put it in quotation marks: '{' '.join(words)[:60]}'.",
            )
        return words[0] if words else None

    return click.argument(
        "prompt",
        nargs=-1,
        required=required,
        callback=one,
        metavar="PROMPT" if required else "[PROMPT]",
    )


@dataclass(frozen=True)
class ComparisonOptions:
    """What `comparison_options` give; `activations` are specs."""

    model: str
    activations: tuple[str, ...]
    reference: str | None
    max_tokens: int
    schedule: p.Schedule
    chat: bool | None
    activation_precision: p.Precision
    temperature: float
    seed: int | None
    top_p: float
    top_k: int
    min_p: float
    control: bool
    replay: bool
    dtype: str | None

    @classmethod
    def given(cls, **values: Any) -> ComparisonOptions:
        """From the options of the command that runs now. Raises `UsageError`."""
        from gelu_tui.core.activations import split_specs

        values["activations"] = specs = tuple(split_specs(values["activations"]))
        return cls(**{**values, "reference": chosen_reference(specs, values["reference"])})

    @property
    def sampling(self) -> p.Sampling:
        """How tokens are drawn."""
        return p.Sampling(self.temperature, self.seed, self.top_p, self.top_k, self.min_p)

    def tell_of_idle_sampling(self) -> None:
        """Say on stderr that what was typed to draw with is not used at temperature 0."""
        if self.temperature:
            return
        source = click.get_current_context().get_parameter_source
        typed = [
            f"--{name.replace('_', '-')}"
            for name in ("seed", "top_p", "top_k", "min_p")
            if source(name) is ParameterSource.COMMANDLINE
        ]
        if typed:
            named = " and ".join(filter(None, (", ".join(typed[:-1]), typed[-1])))
            verb = "has" if len(typed) == 1 else "have"
            message = f"{named} {verb} no effect at temperature 0."
            complain(
                ErrorInfo("sampling", message, "Give --temperature too, e.g. --temperature 0.8.")
            )

    def load(self) -> p.Load:
        """The command that loads the model."""
        return p.Load(self.model, self.dtype)

    def compare(self, prompt: str) -> p.Compare:
        """The command that compares. Raises `UsageError`."""
        from gelu_tui.core.requests import compare_command

        return compare_command(
            prompt,
            self.activations,
            reference=self.reference,
            max_tokens=self.max_tokens,
            schedule=self.schedule,
            chat=self.chat,
            activation_precision=self.activation_precision,
            sampling=self.sampling,
            control=self.control,
            replay=self.replay,
        )


def chosen_reference(specs: Sequence[str], reference: str | None) -> str | None:
    """The reference of the command that runs now. Raises `UsageError`.

    The settings file's belongs to its own functions, not to others that were typed.
    """
    from gelu_tui.core.activations import parse_variants, resolve_reference

    if was_given("reference", ParameterSource.DEFAULT_MAP):
        try:
            resolve_reference(parse_variants(specs), reference, None)
        except UsageError:
            return None
    return reference


def was_given(name: str, source: ParameterSource = ParameterSource.COMMANDLINE) -> bool:
    """Whether an option of the command that runs now has its value from there."""
    return click.get_current_context().get_parameter_source(name) is source


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
