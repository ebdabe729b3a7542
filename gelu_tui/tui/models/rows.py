"""The texts of the models screen: columns, cells, details, refusals. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rich.cells import cell_len
from textual.content import Content

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.models.inventory import LocalModel, PublicModel
from gelu_tui.core.models.memory import Memory
from gelu_tui.core.models.names import is_hub_id
from gelu_tui.core.reports import models as texts
from gelu_tui.core.reports.progress import transfer_sentence
from gelu_tui.core.safe_text import visible_line

Listed = LocalModel | PublicModel

GAP = 2
NAME, STATUS = "  model", "status"  # titles
LOADED_MARK = "●"

# Cells of each column but the name's, in the order in which they get room.
_WIDTHS = {
    STATUS: 10, "needs": 9, "family": 11, "stored": 8, "native": 11, "on disk": 9, "parameters": 10,
}  # fmt: skip
_ORDER = ("family", "parameters", "stored", "on disk", "needs", STATUS, "native")
_WHOLE_IDS_FROM = 104  # cells of the table; a narrower one leaves the owners out

_STYLES = {
    "fits": "$text-success",
    "tight": "$text-warning",
    "too big": "$text-error",
    "damaged": "$text-error",
    "unusable": "$text-error",
}


def _shown_name(model: Listed, width: int) -> str:
    whole = width >= _WHOLE_IDS_FROM and is_hub_id(model.id)
    return visible_line(model.id) if whole else texts.short_name(model)


def columns(models: Sequence[Listed], width: int) -> dict[str, int]:
    """Return the columns that fit into `width` cells, each with its width and the gap after it."""
    # The name's two cells more are for the mark of the loaded one.
    name = 2 + max((cell_len(_shown_name(model, width)) for model in models), default=0)
    longest = 48 if width >= _WHOLE_IDS_FROM else 26
    name = max(8, min(name, longest, width - 2 * GAP - _WIDTHS[STATUS]))
    room = width - name - GAP
    fitting = set()
    for column, cells_ in _WIDTHS.items():
        room -= cells_ + GAP
        if room < 0:
            break
        fitting.add(column)
    return {NAME: name + GAP, **{name: _WIDTHS[name] + GAP for name in _ORDER if name in fitting}}


def cells(model: Listed, width: int, memory: Memory, *, loaded: bool) -> dict[str, Content]:
    """Return what each column shows of a model, in a table of this width."""
    usable = isinstance(model, LocalModel) and model.usable
    shown = {"family": model.family or ""}
    if isinstance(model, LocalModel):
        shown = texts.facts(model) | ({} if usable else {"needs": ""})
    else:
        rough = partial(texts.rough_size, estimated=model.estimated)
        shown |= {"on disk": rough(model.download_bytes), "needs": rough(model.needed_bytes)}
    style = "" if usable else "dim"
    name = (_shown_name(model, width), style)
    return {
        NAME: Content.assemble(f"{LOADED_MARK if loaded and usable else ' '} ", name),
        **{column: Content.styled(text, style) for column, text in shown.items()},
        STATUS: status(model, memory),
    }


def status(model: Listed, memory: Memory, progress: p.Progress | None = None) -> Content:
    """Return how far its fetch is, else whether it fits, or why it cannot be loaded."""
    if progress is not None:
        return Content.styled(f"↓ {100 * _share(progress):.0f} %", "bold")
    if isinstance(model, PublicModel):
        fit = texts.fit(model, memory)
        other = "gated" if model.gated else "to fetch"
        return Content.styled(fit if fit in ("tight", "too big") else other, "dim")
    readiness = texts.readiness(model, memory)
    return Content.styled(readiness, _STYLES.get(readiness, "dim"))


def _share(progress: p.Progress) -> float:
    return min(1.0, progress.done / progress.total) if progress.total > 0 else 0.0


def details(model: Listed, memory: Memory, width: int, *, loaded: bool) -> Content:
    """Return the id, sentences about the model, and its folder if that is another name."""
    name = Content.styled(visible_line(model.id), "bold")
    if isinstance(model, PublicModel):
        return Content.assemble(name, f"\n{texts.before_fetching(model, memory)}")
    sentences = texts.sentences(model, memory)
    if loaded and model.usable:  # the user may have named what cannot be loaded
        sentences.insert(0, "Loaded now.")
    shown = Content.assemble(name, "\n", " ".join(sentences))
    if model.folder == model.id or not model.disk_bytes:
        return shown
    path = Content.styled(visible_line(model.folder), "dim").truncate(width, ellipsis=True)
    return Content("\n").join((shown, path))


def fetch_lines(model: str, progress: p.Progress | None, width: int) -> Content:
    """Return the progress of a fetch: model and a bar on one line, figures on the next."""
    title = f"Fetching {visible_line(model)} "
    if progress is None:
        return Content(f"{title}\nStarting an engine for it").truncate(width, ellipsis=True)
    room = width - len(title)
    filled = round(_share(progress) * room)
    bar = "█" * filled + "░" * (room - filled) if room >= 10 and progress.total > 0 else ""
    figures = Content.styled(visible_line(transfer_sentence(progress)), "dim")
    lines = [Content.assemble(title, (bar, "$accent")), figures]
    return Content("\n").join(line.truncate(width, ellipsis=True) for line in lines)


def fetch_refusal(model: LocalModel) -> str | ErrorInfo:
    """Return why a local model is not fetched; empty if it can be."""
    if model.state == "unconverted" or (model.source == "hub" and model.state == "partial"):
        return ""
    if model.state == "ready":
        return "It is here already: Enter loads it."
    if model.source == "hub" and model.state == "damaged":
        return ErrorInfo("damaged", model.reason, "d deletes it; then f fetches it again.")
    return ErrorInfo(model.state, model.reason)


def delete_refusal(model: Listed, *, loaded: bool, fetching: bool) -> str:
    """Return why a model is not deleted; empty if it can be."""
    if isinstance(model, PublicModel) or not model.disk_bytes:
        return "It is not here: there is nothing to delete."
    if model.source == "folder":
        return "This folder is your own: only the hub's cache and the converted demo are deleted."
    if fetching:
        return "It is being fetched: x stops that first."
    return "It is loaded: load another model first." if loaded else ""
