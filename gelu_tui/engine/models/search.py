"""Gemma models on this machine: the demo, the hub's cache, folders; finding and deleting them.

A search reads configs and weight headers only. What cannot be used is listed with the reason.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from huggingface_hub import DeleteCacheStrategy, constants

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.models import demo
from gelu_tui.core.models.families import FAMILIES, family_of
from gelu_tui.core.models.folder import default_dtype, read_config
from gelu_tui.core.models.inventory import LocalModel, Source, State, state_of
from gelu_tui.core.models.json_file import hint_for
from gelu_tui.core.models.names import is_hub_id
from gelu_tui.core.paths import expanded, look
from gelu_tui.core.safe_text import visible_line
from gelu_tui.engine import device
from gelu_tui.engine.models.checkpoint import open_checkpoint
from gelu_tui.engine.models.hub import cached_snapshot, storage_folder
from gelu_tui.engine.models.hub_environment import check_cache

_LACKING = ("absent", "partial")  # files
_FETCHABLE = "It is partly downloaded; fetching it downloads what is missing."


def find_models(folders: Sequence[str | Path] = ()) -> p.ModelsFound:
    """Search this machine; `folders` are models or folders of models."""
    cached = list(_cached_models())
    seen = {str(Path(model.folder).resolve()) for model in cached if model is not None}
    found = [*cached, *_models_in(folders, seen)]
    models = [model for model in found if model is not None]
    models.sort(key=lambda model: (not model.usable, model.source == "folder", model.id))
    return p.ModelsFound((_demo(), *models), found.count(None), device.memory())


def _demo() -> LocalModel:
    folder = demo.folder()
    family = FAMILIES[demo.FAMILY]
    found = LocalModel(
        id="demo",
        source="demo",
        folder=str(folder),
        state="unconverted",
        reason="It is installed, and is converted when it is first loaded.",
        family=family.name,
        native_activation=family.native_activation,
        dtype="float32",
        parameters=demo.PARAMETERS,
        weight_bytes=demo.WEIGHT_BYTES,
    )
    try:
        if demo.converted():
            return _inspected(found, folder)
    except OSError as error:
        return _unreadable(found, error)
    if demo.installed():
        return found
    reason = f"The demo model is not installed. {demo.INSTALL_HINT}"
    return msgspec.structs.replace(found, state="absent", reason=reason)


def _listed(source: Source, place: Path, state: State, reason: str = "") -> LocalModel:
    return LocalModel(id=str(place), source=source, folder=str(place), state=state, reason=reason)


def _unreadable(found: LocalModel, error: OSError) -> LocalModel:
    """Add why it cannot be read, and what cannot if that is a part of it."""
    named = str(error.filename or found.folder)
    what = "It" if named == found.folder else visible_line(named)
    reason = f"{what} cannot be read: {error.strerror or error}. {hint_for(error)}"
    return msgspec.structs.replace(found, state="unusable", reason=reason)


def _cached_models() -> Iterator[LocalModel | None]:
    """Yield the models of the hub's cache, whole or not, and None for each that is no Gemma.

    Not by `scan_cache_dir`, which leaves out what is not whole.
    """
    cache = Path(constants.HF_HUB_CACHE)
    try:
        check_cache()
        storages = sorted(cache.iterdir()) if look(cache) else []
    except OSError as error:
        yield _unreadable(_listed("hub", cache, "unusable"), error)
        return
    except GeluError as error:
        yield _listed("hub", cache, "unusable", _sentences(error))
        return
    for storage in storages:
        kind, _, name = storage.name.partition("--")
        repo_id = name.replace("--", "/")
        # No Gemma has an id without an organization, and `--model` takes no such id.
        if kind == "models" and is_hub_id(repo_id):
            yield _cached_model(repo_id, storage)


def _cached_model(repo_id: str, storage: Path) -> LocalModel | None:
    """The model of a repository; None if it is no Gemma."""
    snapshot, whole = None, False
    failure: OSError | None = None
    try:
        snapshot, whole = cached_snapshot(repo_id)
    except ValueError:  # what cannot be an id
        return None
    except OSError as error:
        failure = error
    if not _may_be_gemma(snapshot, repo_id):
        return None
    found = LocalModel(
        id=repo_id,
        source="hub",
        folder=str(snapshot or storage),
        state="partial",
        disk_bytes=sum(_file_sizes(storage).values()),
    )
    if failure is not None:
        return _unreadable(found, failure)
    if snapshot is not None:
        found = _inspected(found, snapshot)
        if found.state in ("not_served", "unusable") or (whole and found.state not in _LACKING):
            return found
    reason = (found.state in _LACKING and found.reason) or _FETCHABLE
    return msgspec.structs.replace(found, state="partial", reason=reason)


def _may_be_gemma(folder: Path | None, name: str) -> bool:
    """By its config; by its name where there is no config to read."""
    found = None if folder is None else _names_gemma(folder)
    return "gemma" in name.lower() if found is None else found


def _names_gemma(folder: Path) -> bool | None:
    """Whether its config names a Gemma; None if it cannot be read."""
    try:
        return "gemma" in str(read_config(folder).get("model_type")).lower()
    except GeluError:
        return None


def _file_sizes(folder: Path) -> dict[Path, int]:
    """Bytes of every file in a folder, by its real path: the target of links appears once.

    What may not be looked into is left out.
    """
    sizes = {}
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: links in a circle
                if look(path) == "file":
                    sizes[path.resolve()] = path.stat().st_size
    return sizes


def _models_in(folders: Sequence[str | Path], seen: set[str]) -> Iterator[LocalModel | None]:
    """Yield the models in the folders that are not in `seen`; None for each that is no Gemma."""
    for given in folders:
        try:
            root = expanded(str(given)).absolute()
        except GeluError as error:
            yield _listed("folder", Path(given), "absent", _sentences(error))
            continue
        try:
            found = {str(folder.resolve()): folder for folder in reversed(_model_folders(root))}
            if not found:
                yield _empty(root)
        except OSError as error:
            yield _unreadable(_listed("folder", root, "unusable"), error)
            continue
        new = found.keys() - seen
        seen |= new
        for folder in map(found.__getitem__, new):
            listed = _listed("folder", folder, "ready")
            try:
                other = folder != root and _names_gemma(folder) is False
                yield None if other else _inspected(listed, folder)
            except OSError as error:
                yield _unreadable(listed, error)


def _model_folders(root: Path) -> list[Path]:
    """`root`, or the models in it and one level deeper (MAKER/NAME, as some tools store them).

    Folders in it that cannot be read are skipped. Raises `OSError` if it cannot be read itself.
    """
    if look(root / "config.json") == "file":
        return [root]
    if look(root) == "folder":
        next(root.iterdir(), None)  # a pattern would find nothing where it may not look
    patterns = ("*/config.json", "*/*/config.json")
    return [file.parent for pattern in patterns for file in sorted(root.glob(pattern))]


def _empty(root: Path) -> LocalModel:
    there = look(root)
    state: State = "absent"
    reason = "It is no folder." if there else "There is no such folder."
    if there == "folder":
        try:
            read_config(root)
        except GeluError as error:
            state = state_of(error.info.kind)
            reason = _sentences(error)
    return _listed("folder", root, state, reason)


def _inspected(found: LocalModel, folder: Path) -> LocalModel:
    """Add what `open_checkpoint` says of a folder: facts, or why it cannot be loaded."""
    facts: dict[str, Any] = {"state": "ready", "reason": ""}
    if not found.disk_bytes:
        facts["disk_bytes"] = sum(_file_sizes(folder).values())
    try:
        config = read_config(folder)
        facts["family"] = str(config.get("model_type") or "") or None
        facts["native_activation"] = family_of(config).native_activation
        checkpoint = open_checkpoint(folder)
    except GeluError as error:
        state, hint = state_of(error.info.kind), error.info.hint
        if found.source == "hub" and state in _LACKING:
            hint = _FETCHABLE
        facts |= {"state": state, "reason": f"{error.info.message} {hint}".strip()}
    else:
        facts["dtype"] = checkpoint.dtype
        facts["quantization"] = checkpoint.quantization
        facts["parameters"] = checkpoint.parameters
        checkpoint.cast(default_dtype(on_gpu=device.on_gpu()))
        facts["weight_bytes"] = checkpoint.weight_bytes
    return msgspec.structs.replace(found, **facts)


def _sentences(error: GeluError) -> str:
    return f"{error.info.message} {error.info.hint}".strip()


def delete_model(model: str, *, dry_run: bool = False) -> p.ModelDeleted:
    """Delete a model of the hub's cache, or the converted demo; return how many bytes are freed.

    Raises `GeluError` for any other model, and if it cannot be deleted whole.
    """
    if model != "demo" and not is_hub_id(model):
        raise GeluError(
            "not_deletable",
            f"'{model}' is no hub id: only models of the hub's cache and the converted demo are "
            "deleted, and no folder of your own.",
            "`gelu-tui models` lists them.",
        )
    folder = demo.folder() if model == "demo" else storage_folder(model)
    try:
        if look(folder) != "folder":
            message = f"There is nothing to delete: {model} is not in {folder.parent}."
            hint = "`gelu-tui models` lists what is on this machine."
            raise GeluError("model_not_found", message, hint)
        sizes = _file_sizes(folder)
        if not dry_run:
            _delete(folder)
    except OSError as error:
        message = f"{folder} cannot be deleted whole: {error.strerror}."
        hint = "Its files may belong to another user: check their permissions."
        raise GeluError("not_deleted", message, hint) from error
    # What other repositories of the cache share is not deleted.
    freed = sum(size for path, size in sizes.items() if dry_run or look(path) is None)
    return p.ModelDeleted(model, str(folder), freed)


def _delete(folder: Path) -> None:
    (folder / demo.MANIFEST).unlink(missing_ok=True)  # a demo without it is not used
    nothing: frozenset[Path] = frozenset()
    # By the repository's folder and not by revisions: one that is not whole has none in a scan, and
    # copies of a repository have the same commits.
    DeleteCacheStrategy(
        expected_freed_size=0,
        blobs=nothing,
        refs=nothing,
        repos=frozenset({folder}),
        snapshots=nothing,
        cache_dir=folder.parent,
    ).execute()
    if look(folder):  # the library only logs what it may not delete
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
