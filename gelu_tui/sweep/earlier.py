"""Results that a plan may meet: its own, which it goes on with, and those of its name."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace

from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.plan import Plan, changes
from gelu_tui.sweep.saved_sweeps import list_sweeps
from gelu_tui.sweep.store import SweepStore
from gelu_tui.sweep.sweep_folder import HEADER_FILE, sweeps_dir


def results_of(plan: Plan) -> SweepStore | None:
    """Return the results that there are of exactly this plan. Raises `GeluError`.

    What of the plan changes no result is taken from the plan.
    """
    folder = sweeps_dir() / plan.id
    if not (folder / HEADER_FILE).exists():
        return None
    try:
        store = SweepStore.open(folder)
    except GeluError as error:
        if error.info.kind != "sweep_damaged":
            raise
        return None  # whose results are found again by `SweepStore.create`
    now = {name: getattr(plan.settings, name) for name in ("batch", "margin_pp")}
    store.header = replace(store.header, settings=replace(store.header.settings, **now))
    return store


def put_aside(plan: Plan) -> str:
    """Rename the results of this plan; return their new id, empty where there are none.

    Raises `GeluError`, also while another process works on them.
    """
    folder = sweeps_dir() / plan.id
    if not folder.exists():
        return ""
    if (store := results_of(plan)) is not None and store.others():
        message = f"Another program works on the sweep {visible_line(plan.id)}."
        raise GeluError("sweep_busy", message, "Stop it first, or let it go on.")
    aside = folder.with_name(f"{plan.id}-until-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    try:
        folder.rename(aside)
    except OSError as error:
        message = f"The earlier results in {visible_line(str(folder))} cannot be put aside"
        why = f"{message}: {error.strerror or error}."
        raise GeluError("sweep_refused", why, "Check who owns this folder.") from None
    return aside.name


def what_changed(plan: Plan) -> ErrorInfo | None:
    """Return what to tell where a sweep of this name has results of something else."""
    for entry in list_sweeps():
        if entry.name != plan.name or entry.status == "damaged" or entry.id.startswith(plan.id):
            continue
        header = SweepStore.open(sweeps_dir() / entry.id).header
        if changed := changes(header, plan):
            name = visible_line(plan.name)
            message = f"The sweep {name} has changed: {', '.join(changed)}."
            hint = f"A new one begins; the earlier one is kept as {visible_line(entry.id)}."
            return ErrorInfo("sweep_changed", message, hint)
    return None
