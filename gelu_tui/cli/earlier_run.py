"""The saved run that `gelu-tui run --continue` takes up."""

from __future__ import annotations

from typing import NamedTuple

import click
from click.core import ParameterSource
from msgspec.structs import replace

from gelu_tui.cli import options as o
from gelu_tui.cli.history import numbered_run
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import UsageError
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.going_on import GoingOn, go_on, limit_of_more
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.run_settings import RunSettings


class EarlierRun(NamedTuple):
    """A saved run and how it goes on; `number` is its id in the history, if it is there."""

    number: int | None
    document: ComparisonDocument
    going_on: GoingOn

    @property
    def commands(self) -> tuple[p.Command, ...]:
        """The commands that load its model and make it go on."""
        load = p.Load(self.document.model.id, self.document.settings.dtype)
        return load, self.going_on.command

    def followed_by(self, whole: ComparisonDocument) -> ComparisonDocument:
        """The document of the run that went on: it began when this one did."""
        return replace(whole, created=self.document.created)


def earlier_run(run: str, prompt: str | None, max_tokens: int) -> EarlierRun:
    """Return the saved run that the option names; `max_tokens` is the setting in force.

    Raises `GeluError`; also where a prompt or settings are typed, which the run has already.
    """
    if prompt is not None:
        message = "--continue takes the prompt of its run: no other can be given."
        raise UsageError(message, "Leave the prompt out.")
    typed = [name for name in fields_of(RunSettings) if name != "max_tokens" and _was_typed(name)]
    if typed:
        option = f"--{typed[0].replace('_', '-')}"
        message = f"--continue takes the settings of its run: {option} cannot be given with it."
        raise UsageError(message, "Only --max-tokens can be changed.")
    number, document = numbered_run(run)
    given = o.was_given("max_tokens")
    limit = max_tokens if given else limit_of_more(document, max_tokens)
    return EarlierRun(number, document, go_on(document, limit))


def _was_typed(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE
