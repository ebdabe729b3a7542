"""The status line: what the engine does on the left, totals on the right."""

from __future__ import annotations

from gelu_tui.core.comparison.standing import STATUS
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.compare import labels
from gelu_tui.tui.engine_link.session import BUSY, Phase, Session
from gelu_tui.tui.engine_link.shown_run import Shown

SILENCE_S = 5.0  # after this the status line says how long the engine has been quiet


def texts(session: Session, shown: Shown | None) -> tuple[str, str]:
    """Both parts of the line."""
    return _doing(session, shown), labels.totals(shown.comparison) if shown is not None else ""


def _doing(session: Session, shown: Shown | None) -> str:
    since = f" · {session.phase_s:.0f} s" if session.phase_s >= 1 else ""
    silent = f" · silent for {session.silent_s:.0f} s" if session.silent_s > SILENCE_S else ""
    if session.progress is not None:
        waiting = since if session.phase is Phase.LOADING else silent
        return labels.progress(session.progress) + waiting
    if shown is not None and shown.saved is not None and session.phase is not Phase.RUNNING:
        when = shown.saved.created[:16].replace("T", " ")
        ran = labels.model(shown.saved.model, shown.saved.device, shown.saved.settings)
        return f"saved run of {when} UTC · {ran}"
    if session.loaded is not None:
        doing = _outcome(shown)
        if session.phase is Phase.RUNNING:
            doing = "running"
        elif session.phase is not Phase.READY:
            doing = "stopping"
        quiet = silent if session.phase in BUSY else ""
        settings = shown.comparison.settings if shown is not None else None
        ran = labels.model(session.loaded.model, session.loaded.device, settings)
        return f"{doing}{quiet} · {ran}"
    model = visible_line(session.model)
    return {
        Phase.STARTING: f"Starting the engine{since}",
        Phase.LOADING: f"Loading {model}{since}",
        Phase.STOPPING: f"Stopping{since}",
        Phase.NO_MODEL: f"{model} is not loaded",
        Phase.ASLEEP: "No model loaded: a run loads it",
    }.get(session.phase, "No engine")


def _outcome(shown: Shown | None) -> str:
    status = shown.comparison.status if shown is not None else None
    return "ready" if status is None else STATUS[status]
