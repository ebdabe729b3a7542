"""What a model's name means: the demo, a folder, or a repository of the hub. Reads the disk."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Literal, NamedTuple

from gelu_tui.core.errors import GeluError
from gelu_tui.core.paths import expanded, look
from gelu_tui.core.safe_text import visible_line

# The hub's own rule, for ids with an owner; a test compares it with huggingface_hub's.
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_HUB_ID = re.compile(rf"(?!.*(?:--|\.\.|\.git\Z)){_PART}/{_PART}")
_HUB_PAGE = re.compile(rf"(?:https?://)?(?:huggingface\.co|hf\.co)/({_PART}/{_PART})(?:[/?#].*)?")
_NO_FOLDER = {
    None: "No folder has this name either.",
    "folder": "The folder of this name holds no model.",
    "file": "The file of this name is no model folder.",
    "other": "What has this name here is no model folder.",
}


class ModelName(NamedTuple):
    """How a name is read.

    `id` means the same model in every working directory: `demo`, the absolute path of a folder, or
    a hub id. `other_reading` says why a hub id is not taken for a folder, `hint` which folder may
    have been meant; both are sentences, or empty.
    """

    kind: Literal["demo", "folder", "hub"]
    id: str
    other_reading: str = ""
    hint: str = ""


def is_hub_id(text: str) -> bool:
    """Whether `text` could be the id of a repository, OWNER/NAME."""
    return _HUB_ID.fullmatch(text) is not None


def read_name(text: str) -> ModelName:
    """Read a name as mlx-lm does: as a folder if there is one, else as a hub id.

    A file or a folder without a model does not hide the repository of its name. Raises `GeluError`
    for what is neither, and for what may not be looked into.
    """
    shown = visible_line(text)[:200]
    if text == "demo":
        return ModelName("demo", text)
    if not text:
        hint = "Give a folder or a hub id."
        raise GeluError("model_not_found", "The model has no name.", hint)
    path = _path(text)
    try:
        there = look(path)
        if there == "folder" and (not is_hub_id(text) or _holds_a_model(path)):
            return ModelName("folder", str(path))
    except OSError as error:
        message = f"'{shown}' cannot be read: {error.strerror or error}."
        hint = "Check its name, and the permissions of it and of the folders above it."
        raise GeluError("unreadable", message, hint) from error
    nearest = "" if there else _nearest(path)
    if is_hub_id(text):
        return ModelName("hub", text, _NO_FOLDER[there], nearest)
    if there:
        what = "file" if there == "file" else "pipe or a device"
        message = f"'{shown}' is a {what}, not a model folder."
        raise GeluError("model_not_found", message, "Give the folder it is in.")
    message = f"There is no folder '{shown}'."
    if not text.startswith((".", "/", "~")):
        message = f"There is no folder '{shown}', and it is no hub id."
    hint = nearest or (
        "Give a folder with config.json and weights, a hub id such as "
        "mlx-community/gemma-3-270m-it-bf16, or demo."
    )
    if page := _HUB_PAGE.fullmatch(text):
        hint = f"The id of that page's model is {page[1]}."
    raise GeluError("model_not_found", message, hint)


def _path(text: str) -> Path:
    """The absolute path that a name is if it is a folder. Raises `GeluError`."""
    try:
        return expanded(text).absolute()
    except OSError as error:
        message = f"'{visible_line(text)[:200]}' is no path here: the working directory is gone."
        raise GeluError("path", message, "Give the whole path, from / on.") from error


def _holds_a_model(folder: Path) -> bool:
    """Whether a model is in a folder, or one or two levels deeper."""
    if look(folder / "config.json") is not None:
        return True
    return any(any(folder.glob(pattern)) for pattern in ("*/config.json", "*/*/config.json"))


def _nearest(path: Path) -> str:
    """A sentence with the existing folder whose path is most like this one; empty if none is."""
    found = Path(path.anchor)
    for part in path.parts[1:]:
        try:
            there = part if look(found / part) == "folder" else _most_like(part, found)
        except OSError:
            return ""
        if not there:
            return ""
        found /= there
    return f"Did you mean the folder {visible_line(str(found))}?"


def _most_like(name: str, folder: Path) -> str:
    """The folder in `folder` whose name is most like this one; empty if none is."""
    names = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=0.75)), "")
