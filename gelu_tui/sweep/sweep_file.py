"""The sweep file: TOML with any field of `SweepSettings`. What is wrong in it is refused."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from gelu_tui.core.errors import GeluError, UsageError
from gelu_tui.core.functions.variants import parse_variants
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.user_file import read_text, reference_error, unreadable
from gelu_tui.core.settings.validation import check, convert, shown, suggestion
from gelu_tui.sweep.prompt_files import BUILTIN
from gelu_tui.sweep.settings import SweepSettings

Values = Mapping[str, Any]
_NO_FILE = "Give a sweep file (.toml), prompts (.jsonl, .csv, .txt), or builtin:notebook."


def read_sweep_file(path: Path) -> dict[str, Any]:
    """Return the settings that a sweep file holds, with its paths made absolute.

    `name` is the file's own where it gives none. Raises `UsageError`.
    """
    try:
        entries = tomllib.loads(read_text(path))
    except FileNotFoundError:
        raise UsageError(f"There is no sweep file {shown(path)}.", "Check the path.") from None
    except (OSError, ValueError, RecursionError) as error:
        info = unreadable(path, error, "sweep file", _NO_FILE)
        raise UsageError(info.message, info.hint, kind="sweep_file") from None
    values = _validated(path, entries)
    if {"model", "models"} <= values.keys():
        message = f"In {shown(path)} there are both model and models."
        raise UsageError(message, "Keep models, the reference model first.", kind="models")
    folder = path.absolute().parent
    for name in {"model", "models"} & values.keys():
        found = values[name]
        many = [found] if isinstance(found, str) else found
        absolute = tuple(_model(one, folder) for one in many)
        values[name] = absolute[0] if isinstance(found, str) else absolute
    prompts = values.get("prompts")
    if isinstance(prompts, str) and prompts != "-" and not prompts.startswith(BUILTIN):
        values["prompts"] = str(folder / Path(prompts).expanduser())
    return {"name": path.stem, **values}


def _validated(path: Path, entries: Values) -> dict[str, Any]:
    fields = fields_of(SweepSettings)
    where = f"In {shown(path)}"
    values: dict[str, Any] = {}
    for name, value in entries.items():
        if name not in fields:
            hint = suggestion(name, fields) or "`gelu-tui schema sweep-file` lists all."
            message = f"{where} there is no setting named '{shown(name)}'."
            raise UsageError(message, hint, kind="sweep_file")
        try:
            values[name] = convert(fields[name], value)
            if name == "activations":
                parse_variants(values[name])
        except UsageError as error:
            said = error.info.message
            why = said if error.info.kind == name else f"{name} cannot be used: {said}"
            raise UsageError(f"{where}, {why}", error.info.hint, kind=name) from None
    if {"activations", "reference"} <= values.keys():
        named = {name: values[name] for name in ("activations", "reference")}
        if wrong := reference_error(SweepSettings(**named)):
            raise UsageError(f"{where}: {wrong.info.message}", wrong.info.hint, kind="reference")
    return values


def _model(name: str, folder: Path) -> str:
    """A model as it is named from everywhere: a folder beside the sweep file by its whole path."""
    path = folder / Path(name).expanduser() if name.startswith("~") else folder / name
    try:
        is_here = name != "demo" and path.is_dir()
    except (OSError, ValueError):
        return name
    return str(path) if is_here or name.startswith(("./", "../")) else name


def merged(*layers: Values) -> SweepSettings:
    """Return the settings of several places, of which the later ones come first.

    A `model` of one place stands for its models. A reference that is not among functions that a
    place above it chooses is forgotten. Raises `UsageError` for what cannot be.
    """
    values: dict[str, Any] = {}
    for layer in layers:
        own = {name: value for name, value in layer.items() if value is not None}
        if (model := own.pop("model", None)) is not None and not own.get("models"):
            own["models"] = (model,)
        values |= own
        if "activations" in own and "reference" not in own and "reference" in values:
            chosen = {name: values[name] for name in ("activations", "reference")}
            if reference_error(SweepSettings(**chosen)):
                del values["reference"]
    models = tuple(dict.fromkeys(values.get("models") or (SweepSettings().model,)))
    settings = SweepSettings(**{**values, "models": models, "model": models[0]})
    try:
        check(settings)
    except GeluError as error:
        if error.info.kind != "too_many_variants" or not settings.control:
            raise
        check(msgspec.structs.replace(settings, control=False))  # without it there may be room
        hint = "Leave one out, or switch the control off: --no-control, or control = false."
        raise UsageError(error.info.message, hint, kind=error.info.kind) from None
    return settings
