"""The folder of a sweep, and the file `sweep.json` in it: read, begun."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
from filelock import FileLock

from gelu_tui.core import paths
from gelu_tui.core.errors import GeluError
from gelu_tui.core.own_files import replace_file
from gelu_tui.core.runs.document import to_json
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.encodable import encodable
from gelu_tui.sweep.header import HEADER_SCHEMA, SweepHeader

HEADER_FILE = "sweep.json"
_PATIENCE_S = 30.0


def sweeps_dir() -> Path:
    """The folder that has a folder for each sweep of the user's."""
    return paths.data_dir() / "sweeps"


def read_header(folder: Path) -> SweepHeader:
    """Read a sweep's header. Raises `GeluError`."""
    file = folder / HEADER_FILE
    shown = visible_line(str(file))
    try:
        data = file.read_bytes()
    except OSError as error:
        message = f"{shown} cannot be read: {error.strerror or error}."
        raise GeluError("no_sweep", message, "`gelu-tui history` lists the sweeps.") from None
    try:
        header = msgspec.json.decode(data, type=SweepHeader)
        name, _, version = header.schema.partition("/")
        if not header.key.isalnum() or name != HEADER_SCHEMA.partition("/")[0]:
            raise ValueError
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        message = f"{shown} is damaged."
        hint = "Run the sweep again: what it has finished is kept."
        raise GeluError("sweep_damaged", message, hint) from None
    if version != "1":
        message = f"The sweep in {visible_line(str(folder))} was written by a newer gelu-tui."
        raise GeluError("sweep_too_new", message, "Update gelu-tui to use it.")
    return header


def is_gone(folder: Path) -> bool:
    """Whether a folder that was that of a sweep is none any more."""
    try:
        return paths.look(folder / HEADER_FILE) is None
    except OSError:  # there may be one
        return False


def begin(folder: Path, header: SweepHeader) -> SweepHeader:
    """Return the header that the folder has, or write this one there.

    Of processes that begin one sweep at once, all get the same. A damaged header is renamed. Raises
    `GeluError` where it is of another sweep, or cannot be written.
    """
    file = folder / HEADER_FILE
    try:
        if (found := _found(folder, header.key)) is not None:
            return found
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(f"{file}.lock", timeout=_PATIENCE_S):
            if (found := _found(folder, header.key)) is not None:
                return found
            if file.exists():
                file.rename(folder / f"sweep.damaged-{datetime.now():%Y%m%d-%H%M%S}.json")
            header = encodable(header)
            replace_file(file, to_json(header, indent=2) + "\n", mode=0o600)
            return header
    except OSError as error:
        why = error.strerror or error
        message = f"The sweep cannot be saved in {visible_line(str(folder))}: {why}."
        variable = paths.variable_of(folder)
        hint = f"Set {variable} to another folder." if variable else "Give it room and permission."
        raise GeluError("sweep_refused", message, hint) from None


def _found(folder: Path, key: str) -> SweepHeader | None:
    """The header of the sweep with this key; None if there is none, or a damaged one."""
    if not (folder / HEADER_FILE).exists():
        return None
    try:
        found = read_header(folder)
    except GeluError as error:
        if error.info.kind != "sweep_damaged":
            raise
        return None
    if found.key != key:
        message = f"{visible_line(str(folder))} holds another sweep."
        raise GeluError("sweep_refused", message, "Give this one another name.")
    return found
