"""Gemma models on this machine, and some that can be fetched.

Looks into the demo's place, the hub's cache and the user's folders, and reads configs and weight
headers only. Nothing here raises for what it finds: what cannot be used is listed with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from gelu_tui.core import checkpoint, demo, hub_cache
from gelu_tui.core.checkpoint import Quantization
from gelu_tui.core.errors import GeluError
from gelu_tui.core.families import FAMILIES, family_of
from gelu_tui.core.memory import ALLOWANCE_BYTES

Source = Literal["demo", "hub", "folder"]
State = Literal["ready", "unconverted", "absent", "partial", "damaged", "not_served"]

_HUB_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*")

USABLE: tuple[State, ...] = ("ready", "unconverted")
_STATE_OF: dict[str, State] = {
    "not_served": "not_served",
    "remote_code": "not_served",
    "weights_missing": "partial",
}


class LocalModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model on this machine, or what is left of one.

    `id` is what `--model` takes. `dtype` is as stored, `weight_bytes` what the weights take in
    memory once they are loaded on this machine. None means that it cannot be told.
    """

    id: str
    source: Source
    folder: str
    state: State
    reason: str = ""
    family: str | None = None
    native_activation: str | None = None
    dtype: str | None = None
    quantization: Quantization | None = None
    parameters: int | None = None
    disk_bytes: int = 0
    weight_bytes: int | None = None

    @property
    def usable(self) -> bool:
        """Whether it can be loaded."""
        return self.state in USABLE

    @property
    def needed_bytes(self) -> int | None:
        """Memory for the weights and for a comparison beside them."""
        return None if self.weight_bytes is None else self.weight_bytes + ALLOWANCE_BYTES


class LocalModels(msgspec.Struct, frozen=True):
    """What a search has found; `others` counts models in the cache that are no Gemmas."""

    models: tuple[LocalModel, ...]
    others: int = 0


class PublicModel(msgspec.Struct, frozen=True):
    """A repository on the hub; `gated` ones want their licence accepted first."""

    id: str
    family: str
    gated: bool = False


def is_gated(repo_id: str) -> bool:
    """Whether a repository is known to be gated: Google's own are, copies by others are not."""
    return repo_id.startswith("google/")


def is_hub_id(text: str) -> bool:
    """Whether `text` could be the id of a repository: OWNER/NAME, and no path."""
    return _HUB_ID.fullmatch(text) is not None


def named_folder(text: str) -> str | None:
    """The absolute path of the folder that `text` names, None if there is none. Takes disk time."""
    try:
        path = Path(text).expanduser().absolute()
        return str(path) if path.is_dir() else None
    except (OSError, RuntimeError, ValueError):
        return None


# Repositories that public code names.
_PUBLIC = (
    ("mlx-community/gemma-3-270m-it-bf16", "gemma3_text"),
    ("mlx-community/gemma-3-1b-it-qat-4bit", "gemma3_text"),
    ("mlx-community/gemma-3-4b-it-4bit", "gemma3"),
    ("mlx-community/gemma-3-12b-it-4bit", "gemma3"),
    ("mlx-community/gemma-2-2b-it-4bit", "gemma2"),
    ("mlx-community/gemma-2-9b-it-4bit", "gemma2"),
    ("mlx-community/gemma-1.1-2b-it-4bit", "gemma"),
    ("mlx-community/gemma-7b-it-4bit", "gemma"),
    ("mlx-community/gemma-3n-E2B-it-lm-4bit", "gemma3n"),
    ("mlx-community/gemma-4-e2b-it-4bit", "gemma4"),
    ("google/gemma-7b-it", "gemma"),
)
PUBLIC_MODELS = tuple(PublicModel(name, family, is_gated(name)) for name, family in _PUBLIC)


def find_models(folders: Sequence[str | Path] = ()) -> LocalModels:
    """Search this machine; `folders` are models or folders of models. Takes disk time."""
    cached, others = _cached_models()
    in_folders, more = _models_in(folders, {str(Path(m.folder).resolve()) for m in cached})
    models = [*cached, *in_folders]
    models.sort(key=lambda model: (not model.usable, model.source == "folder", model.id))
    return LocalModels((_demo(), *models), others + more)


# --- the demo -----------------------------------------------------------------------------------


def _demo() -> LocalModel:
    folder = demo.folder()
    family = FAMILIES[demo.FAMILY]
    found = LocalModel(
        id="demo",
        source="demo",
        folder=str(folder),
        state="unconverted",
        family=family.name,
        native_activation=family.native_activation,
        dtype="float32",
        parameters=demo.PARAMETERS,
        weight_bytes=demo.WEIGHT_BYTES,
    )
    if demo.converted():
        return _inspected(found, folder)
    if demo.installed():
        return msgspec.structs.replace(
            found, reason="It is installed, and is converted when it is first loaded."
        )
    reason = f"The demo model is not installed. {demo.INSTALL_HINT}"
    return msgspec.structs.replace(found, state="absent", reason=reason)


# --- the hub's cache ----------------------------------------------------------------------------


def _cached_models() -> tuple[list[LocalModel], int]:
    models = []
    others = 0
    place = hub_cache.cache_dir()
    try:
        for repo in hub_cache.cached_repos():
            place = repo.storage
            model = _cached_model(repo)
            if model is None:
                others += 1
            else:
                models.append(model)
    except OSError as error:
        models.append(_unreadable("hub", place, error))
    return models, others


def _unreadable(source: Source, place: Path, error: Exception) -> LocalModel:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return LocalModel(
        id=str(place),
        source=source,
        folder=str(place),
        state="damaged",
        reason=f"It cannot be read: {reason}.",
    )


def _cached_model(repo: hub_cache.CachedRepo) -> LocalModel | None:
    """The model of a repository, None if it is no Gemma."""
    snapshot = repo.snapshot
    if not _may_be_gemma(snapshot, repo.id):
        return None
    found = LocalModel(
        id=repo.id,
        source="hub",
        folder=str(snapshot or repo.storage),
        state="partial",
        disk_bytes=repo.disk_bytes(),
    )
    if snapshot is not None:
        found = _inspected(found, snapshot)
        missing = checkpoint.missing_files(snapshot)
        if not missing or found.state == "not_served":
            return found
    return msgspec.structs.replace(
        found, state="partial", reason="It is partly downloaded; fetching it goes on from there."
    )


def _may_be_gemma(folder: Path | None, name: str) -> bool:
    """By its config; by its name where there is no config to read."""
    if folder is not None:
        try:
            return "gemma" in str(checkpoint.read_config(folder).get("model_type")).lower()
        except GeluError:
            pass  # it is listed with this error if its name says that it is one
    return "gemma" in name.lower()


# --- folders ------------------------------------------------------------------------------------


def _models_in(folders: Iterable[str | Path], known: set[str]) -> tuple[list[LocalModel], int]:
    seen = set(known)
    models = []
    others = 0
    for given in folders:
        try:
            root = Path(given).expanduser().absolute()
            found = [(folder, str(folder.resolve())) for folder in _model_folders(root)]
            if not found:
                models.append(_empty(root))
            for folder, real in found:
                if real in seen:
                    continue
                seen.add(real)
                if folder == root or _may_be_gemma(folder, folder.name):
                    models.append(_in_folder(folder))
                else:
                    others += 1
        except (OSError, RuntimeError) as error:  # not ours to look at; a user that is not there
            models.append(_unreadable("folder", Path(given), error))
    return models, others


def _in_folder(folder: Path) -> LocalModel:
    found = LocalModel(id=str(folder), source="folder", folder=str(folder), state="ready")
    return _inspected(found, folder)


def _model_folders(root: Path) -> Iterator[Path]:
    """`root`, or the models in it, or those one level deeper (MAKER/NAME, as some tools keep them).

    Folders that cannot be read are passed over.
    """
    if (root / "config.json").is_file():
        yield root
        return
    for pattern in ("*/config.json", "*/*/config.json"):
        for file in sorted(root.glob(pattern)):
            yield file.parent


def _empty(root: Path) -> LocalModel:
    reason = "There is no such folder."
    if root.exists():
        reason = "It holds no model: no config.json." if root.is_dir() else "It is no folder."
    return LocalModel(
        id=str(root), source="folder", folder=str(root), state="absent", reason=reason
    )


# --- one folder ---------------------------------------------------------------------------------


def _inspected(found: LocalModel, folder: Path) -> LocalModel:
    """What config and weight headers say; the first thing that is wrong becomes the reason."""
    told: dict[str, Any] = {"state": "ready", "reason": ""}
    problems: list[GeluError] = []
    if not found.disk_bytes:
        told["disk_bytes"] = _folder_bytes(folder)
    try:
        config = checkpoint.read_config(folder)
    except GeluError as error:
        return msgspec.structs.replace(found, **(told | _problem(error)))
    told["family"] = str(config.get("model_type") or "") or None
    told["quantization"] = checkpoint.quantization(config)
    try:
        told["native_activation"] = family_of(config).native_activation
    except GeluError as error:
        problems.append(error)
    try:
        files = checkpoint.check_weights(folder)
    except GeluError as error:
        problems.append(error)
    else:
        told["dtype"] = checkpoint.stored_dtype(files)
        told["parameters"] = checkpoint.parameters(files, config)
        target = checkpoint.default_dtype()
        told["weight_bytes"] = checkpoint.predicted_bytes(files, target)
    if problems:
        told |= _problem(problems[0])
    elif missing := checkpoint.missing_files(folder):
        told |= {"state": "partial", "reason": f"{missing[0]} is missing."}
    return msgspec.structs.replace(found, **told)


def _problem(error: GeluError) -> dict[str, str]:
    state = _STATE_OF.get(error.info.kind, "damaged")
    return {"state": state, "reason": f"{error.info.message} {error.info.hint}".strip()}


def _folder_bytes(folder: Path) -> int:
    """Bytes of the files in a folder; links count as what they point to."""
    total = 0
    for path in folder.glob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue  # gone meanwhile, or not ours to look at
    return total
