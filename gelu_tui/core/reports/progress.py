"""Progress in words, in the app and on the command line."""

from __future__ import annotations

from gelu_tui.core import protocol as p

_VERBS: dict[p.ProgressPhase, str] = {
    "download": "Downloading",
    "convert": "",  # checking, converting, building: the label says which
    "load": "Loading",
    "prefill": "Reading the prompt:",
    "recompute": "Recomputing",
    "self_check": "Checking",
    "replay": "Replaying",
    "what_if": "Trying",
    "score": "Scoring",
    "layers": "Swapping layers:",
    "bench": "Measuring",
    "speed": "Measuring",
    "inputs": "Reading the inputs:",
}


def progress_title(event: p.Progress) -> str:
    """The activity, without its figures."""
    title = f"{_VERBS[event.phase]} {event.label}".strip()
    return title[:1].upper() + title[1:]


def progress_sentence(event: p.Progress) -> str:
    """E.g. `Downloading config.json · 512 MB of 1.07 GB · 47 % · 310 MB/s`."""
    return " · ".join([progress_title(event), *_done(event), *_rate(event)])


def transfer_sentence(event: p.Progress) -> str:
    """A download or a conversion in little room: the file's name is last.

    E.g. `Downloading 47 % · 512 MB of 1.07 GB · 31.0 MB/s · 18 s left · config.json`.
    """
    parts = [*reversed(_done(event)), *_rate(event)]
    if event.rate > 0 and event.total > event.done:
        parts.append(f"{duration((event.total - event.done) / event.rate)} left")
    return f"{_VERBS[event.phase]} {' · '.join((*parts, event.label))}".strip()


def _done(event: p.Progress) -> list[str]:
    if event.total <= 0:
        return [_amount(event.done, event.unit)] if event.done else []
    done = size(event.done) if event.unit == "bytes" else event.done  # a unit is named once
    amount = f"{done} of {_amount(event.total, event.unit)}"
    return [amount, f"{100 * min(1.0, event.done / event.total):.0f} %"]


def _rate(event: p.Progress) -> list[str]:
    return [f"{_amount(round(event.rate), event.unit)}/s"] if event.rate > 0 else []


def duration(seconds: float) -> str:
    """A duration with one or two digits of precision."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _amount(count: int, unit: str) -> str:
    return size(count) if unit == "bytes" else f"{count} {unit}"


def size(count: float) -> str:
    """Bytes in decimal units, e.g. `512 MB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"
