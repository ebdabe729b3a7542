"""The user's sweeps: listed, found by what the user calls them, deleted."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from gelu_tui.core.errors import GeluError
from gelu_tui.core.paths import expanded, look
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.find_run import find_run, is_in_history
from gelu_tui.core.runs.history import History
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.store import SweepStore
from gelu_tui.sweep.sweep_folder import HEADER_FILE, sweeps_dir


class SweepEntry(msgspec.Struct, frozen=True):
    """One sweep as a list shows it; `created` is ISO 8601, UTC.

    `total` counts every prompt once for each model, as `completed` and `failed` do. Of a sweep
    whose header cannot be read, `status` is `damaged`, and only the id is known.
    """

    id: str
    name: str = ""
    created: str = ""
    completed: int = 0
    failed: int = 0
    total: int = 0
    models: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    reference: str = ""
    prompts: str = ""  # the name of their set
    status: Literal["completed", "incomplete", "damaged"] = "damaged"

    def holds(self, search: str) -> bool:
        """Whether name, prompts, models or functions contain every word."""
        parts = (self.id, self.name, self.prompts, *self.models, *self.functions, self.status)
        text = "\n".join(parts).casefold()
        return all(word in text for word in search.casefold().split())


class SweepRun(NamedTuple):
    """A saved run of a sweep by what the user calls it: `ID/NUMBER` or `ID/MODEL/NUMBER`."""

    store: SweepStore
    model: int
    number: int

    def load(self) -> ComparisonDocument:
        """Its document. Raises `GeluError`."""
        return self.store.load(self.model, self.number)


def list_sweeps(root: Path | None = None) -> list[SweepEntry]:
    """The sweeps in a folder, by default the user's, the newest first. Raises `GeluError`."""
    folder = root or sweeps_dir()
    try:
        found = [each for each in folder.iterdir() if look(each / HEADER_FILE) is not None]
    except FileNotFoundError:
        return []
    except OSError as error:
        message = f"The sweeps in {visible_line(str(folder))} cannot be read: {error.strerror}."
        is_none = isinstance(error, NotADirectoryError)
        hint = "Set XDG_DATA_HOME to a folder." if is_none else "Check who owns this folder."
        raise GeluError("sweep_refused", message, hint) from None
    entries = [_entry(each) for each in found]
    return sorted(entries, key=lambda entry: (entry.created, entry.id), reverse=True)


def find_sweep(sweep: str, root: Path | None = None) -> SweepStore | None:
    """The store of a sweep by its id, the beginning of it, or its folder; None if there is none.

    Raises `GeluError` for a damaged one, and where several begin so.
    """
    folder = root or sweeps_dir()
    if not sweep.strip("./") or "\0" in sweep:
        return None
    with contextlib.suppress(OSError):
        for path in (folder / sweep, expanded(sweep)):
            if path.name and look(path / HEADER_FILE) is not None:
                return SweepStore.open(path)
        if os.sep not in sweep:
            found = sorted(
                each.name
                for each in folder.iterdir()
                if each.name.startswith(sweep) and look(each / HEADER_FILE) is not None
            )
            if len(found) > 1:
                message = f"Several sweeps begin with '{visible_line(sweep)}'."
                raise GeluError("no_sweep", message, f"Give one of: {', '.join(found[:5])}.")
            if found:
                return SweepStore.open(folder / found[0])
    return None


def find_sweep_run(run: str, root: Path | None = None) -> SweepRun | None:
    """The run of a sweep that this names; None if it names none. Raises `GeluError`."""
    head, _, number = run.rpartition("/")
    if not head or not _is_index(number):
        return None
    if (store := find_sweep(head, root)) is not None:
        return SweepRun(store, 0, int(number))
    head, _, model = head.rpartition("/")
    if head and _is_index(model) and (store := find_sweep(head, root)) is not None:
        return SweepRun(store, int(model), int(number))
    return None


def find_in_sweeps(run: str | int | os.PathLike[str]) -> SweepRun | SweepStore | None:
    """The sweep, or the run of one, that this names, and not a file or a run of the history.

    Raises `GeluError` as `find_sweep` does.
    """
    name = str(run)
    if is_in_history(run) or _is_file(name):
        return None
    return find_sweep_run(name) or find_sweep(name)


def find_saved(
    run: str | int | os.PathLike[str], opened: Callable[[], AbstractContextManager[History]]
) -> tuple[int | None, ComparisonDocument]:
    """As `find_run`, and the run of a sweep too: by `ID/NUMBER` or `ID/MODEL/NUMBER`.

    Raises `GeluError`.
    """
    match find_in_sweeps(run):
        case SweepRun() as found:
            return None, found.load()
        case SweepStore(id=sweep):
            shown = visible_line(sweep)
            hint = f"`gelu-tui show {shown}` prints its report; {shown}/0 is its first run."
            raise GeluError("no_run", f"{shown} is a sweep, not one run.", hint)
    return find_run(run, opened)


def delete_sweep(sweep: str, root: Path | None = None) -> str:
    """Delete a sweep of the user's by its whole id, and return that.

    Raises `GeluError`, also while a process works on it.
    """
    folder = (root or sweeps_dir()) / sweep
    shown = visible_line(sweep)
    if not sweep.strip(".") or os.sep in sweep or "\0" in sweep or not folder.is_dir():
        raise GeluError("no_sweep", f"There is no sweep {shown}.", "`gelu-tui history` lists them.")
    others = 0
    with contextlib.suppress(GeluError):  # a damaged one can be deleted
        others = SweepStore.open(folder).others()
    if others:
        message = f"Another program works on the sweep {shown}."
        raise GeluError("sweep_busy", message, "Stop it first.")
    try:
        shutil.rmtree(folder)
    except OSError as error:
        message = f"The sweep {shown} could not be deleted: {error.strerror or error}."
        raise GeluError("sweep_refused", message, "Check who owns its folder.") from None
    return sweep


def _entry(folder: Path) -> SweepEntry:
    try:
        store = SweepStore.open(folder)
        done = store.count()
    except GeluError:
        return SweepEntry(folder.name)
    header = store.header
    total = header.prompts.count * len(header.models)
    return SweepEntry(
        id=store.id,
        name=header.name,
        created=header.created,
        completed=done.completed,
        failed=done.failed,
        total=total,
        models=header.models,
        functions=tuple(function.name for function in header.functions),
        reference=header.reference,
        prompts=header.prompts.name,
        status="completed" if done.completed + done.failed >= total else "incomplete",
    )


def _is_file(name: str) -> bool:
    try:
        return look(Path(name)) == "file"
    except OSError:  # the reader of files says why
        return True


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 9
