"""The plan with which a sweep that was stopped goes on."""

from __future__ import annotations

from gelu_tui.core.errors import GeluError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.header import SweepHeader
from gelu_tui.sweep.plan import Plan
from gelu_tui.sweep.prompt_files import open_prompts


def plan_of(header: SweepHeader) -> Plan:
    """Return the plan of a sweep that has begun; reads its prompts, so for a thread.

    Raises `GeluError`, also where the prompts are others by now.
    """
    spec = header.settings.prompts
    if not spec or spec == "-":
        message = "The prompts of this sweep are in no file, so it cannot go on from here."
        raise GeluError("no_prompts", message, "Run it again as it was begun: it goes on then.")
    try:
        prompts = open_prompts(spec, None)
    except GeluError as error:
        message = f"The sweep cannot go on without its prompts: {error.info.message}"
        raise GeluError(error.info.kind, message, error.info.hint) from None
    if prompts.digest != header.prompts.digest:
        message = f"The prompts in {visible_line(header.prompts.name)} are others by now."
        hint = "Run them as a new sweep: this one is kept."
        raise GeluError("sweep_changed", message, hint)
    return Plan(header.settings, prompts, header.key)
