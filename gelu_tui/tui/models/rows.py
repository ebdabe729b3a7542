"""The table of models: which columns fit, what each says. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.models.inventory import LocalModel, PublicModel, is_hub_id
from gelu_tui.core.models.memory import Memory
from gelu_tui.core.reports import models as texts
from gelu_tui.core.reports.progress import size, transfer_sentence
from gelu_tui.core.safe_text import visible_line

Listed = LocalModel | PublicModel

GAP = 2
NAME, STATUS = "model", "status"
LOADED_MARK = "●"

# Cells of each column but the name's, in the order in which they are given room.
_WIDTHS = {
    STATUS: 10, "needs": 8, "family": 11, "stored": 8, "native": 11, "on disk": 8, "parameters": 10,
}  # fmt: skip
_ORDER = ("family", "parameters", "stored", "on disk", "needs", STATUS, "native")
_WHOLE_IDS_FROM = 104  # cells of the table; a narrower one leaves the owners out
_LONGEST_NAME = {True: 48, False: 26}  # whole ids, short names

_STYLES = {
    "fits": "$text-success",
    "tight": "$text-warning",
    "too big": "$text-error",
    "damaged": "$text-error",
}


def names(models: Sequence[Listed], width: int) -> list[str]:
    """The models' names for a table of this width."""
    if width < _WHOLE_IDS_FROM:
        return [texts.short_name(model) for model in models]
    return [visible_line(m.id) if is_hub_id(m.id) else texts.short_name(m) for m in models]


def columns(width: int, longest_name: int) -> dict[str, int]:
    """The columns that fit into `width` cells, each with its own width, gaps not counted."""
    longest = _LONGEST_NAME[width >= _WHOLE_IDS_FROM]
    # The name's two cells more are for the mark of the loaded one.
    name = max(8, min(longest_name + 2, longest, width - 2 * GAP - _WIDTHS[STATUS]))
    room = width - name - GAP
    fitting = set()
    for column, cells_ in _WIDTHS.items():
        room -= cells_ + GAP
        if room < 0:
            break
        fitting.add(column)
    return {NAME: name, **{column: _WIDTHS[column] for column in _ORDER if column in fitting}}


def cells(model: Listed, name: str, memory: Memory, *, loaded: bool) -> dict[str, Content]:
    """What each column says of a model."""
    style = "" if isinstance(model, LocalModel) and model.usable else "dim"
    said = {"family": model.family or ""}
    if isinstance(model, LocalModel):
        said = texts.facts(model) | ({} if model.usable else {"needs": ""})
    return {
        NAME: Content.assemble(f"{LOADED_MARK if loaded else ' '} ", (name, style)),
        **{column: Content.styled(text, style) for column, text in said.items()},
        STATUS: status(model, memory),
    }


def status(model: Listed, memory: Memory, progress: p.Progress | None = None) -> Content:
    """The verdict, why it cannot be loaded, or how far its fetch is."""
    if progress is not None:
        return Content.styled(f"↓ {100 * share(progress):.0f} %", "bold")
    if isinstance(model, PublicModel):
        return Content.styled("gated" if model.gated else "to fetch", "dim")
    readiness = texts.readiness(model, memory)
    return Content.styled(readiness, _STYLES.get(readiness, "dim"))


def share(progress: p.Progress) -> float:
    """How much of it is done, between 0 and 1."""
    return min(1.0, progress.done / progress.total) if progress.total > 0 else 0.0


def details(model: Listed, memory: Memory, width: int, *, loaded: bool) -> Content:
    """The model under the cursor, in sentences."""
    name = Content.styled(visible_line(model.id), "bold")
    if isinstance(model, PublicModel):
        return Content.assemble(name, f"\n{texts.before_fetching(model.id)}")
    sentences = texts.sentences(model, memory)
    if loaded:
        sentences.insert(0, "Loaded now.")
    said = Content.assemble(name, "\n", " ".join(sentences))
    if model.folder == model.id or not model.disk_bytes:
        return said
    path = Content.styled(visible_line(model.folder), "dim").truncate(width, ellipsis=True)
    return Content("\n").join((said, path))


def fetch_lines(model: str, progress: p.Progress | None, width: int) -> Content:
    """How far a fetch is: what and a bar on one line, figures on the next."""
    title = f"Fetching {visible_line(model)} "
    if progress is None:
        return Content(f"{title}\nStarting an engine for it").truncate(width, ellipsis=True)
    room = width - len(title)
    filled = round(share(progress) * room)
    bar = "█" * filled + "░" * (room - filled) if room >= 10 and progress.total > 0 else ""
    figures = Content.styled(visible_line(transfer_sentence(progress)), "dim")
    lines = [Content.assemble(title, (bar, "$accent")), figures]
    return Content("\n").join(line.truncate(width, ellipsis=True) for line in lines)


def fetch_refusal(model: LocalModel) -> str | ErrorInfo:
    """Why a local model is not fetched; empty if it can be."""
    if model.state == "unconverted" or (model.source == "hub" and model.state == "partial"):
        return ""
    if model.state == "ready":
        return "It is here already: Enter loads it."
    if model.source == "hub" and model.state == "damaged":
        return ErrorInfo("damaged", model.reason, "d deletes it; then f fetches it anew.")
    return ErrorInfo(model.state, model.reason)


def delete_refusal(model: Listed, *, loaded: bool, fetching: bool) -> str:
    """Why a model is not deleted; empty if it can be."""
    if isinstance(model, PublicModel) or not model.disk_bytes:
        return "It is not here: there is nothing to delete."
    if model.source == "folder":
        return "This folder is your own: only the hub's cache and the converted demo are deleted."
    if fetching:
        return "It is being fetched: x stops that first."
    return "It is loaded: load another model first." if loaded else ""


def delete_question(model: Listed) -> str:
    """The question before a model is deleted, with what it takes on the disk."""
    taken = f" ({size(model.disk_bytes)})" if isinstance(model, LocalModel) else ""
    return f"Delete {model.id}{taken} from this machine? y: yes · any other key: no"
