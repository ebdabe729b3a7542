"""Fetching a model from the hub: huggingface_hub downloads it, in a process that a cancel kills.

huggingface_hub cannot be interrupted while the network is silent. It keeps whole files only: the
next fetch downloads those that are missing.
"""

from __future__ import annotations

import contextlib
import errno
import io
import multiprocessing
import re
import shutil
import threading
from collections.abc import Iterable
from hashlib import file_digest
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import filelock
import httpx2
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.hf_api import ModelInfo, RepoSibling
from huggingface_hub.utils import WeakFileLock, filter_repo_objects
from tqdm import tqdm

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.models.configuration import configure
from gelu_tui.core.models.families import family_of
from gelu_tui.core.models.folder import read_config
from gelu_tui.core.models.inventory import state_of
from gelu_tui.core.models.json_file import NotRegularError, read_regular
from gelu_tui.core.paths import look
from gelu_tui.engine.failures import Interrupted, IsCancelled, Report, error_info
from gelu_tui.engine.models.checkpoint import open_checkpoint
from gelu_tui.engine.models.child_process import end_with_parent
from gelu_tui.engine.models.hub_environment import cache_variable, check_cache, check_variables
from gelu_tui.engine.models.hub_errors import NotWholeError, ended_early, hub_error

# What mlx-lm reads, without *.py: a model repo never runs code here.
_PATTERNS: dict[str, Any] = {
    "allow_patterns": ["*.json", "model*.safetensors", "tokenizer.model", "*.jinja"],
    # A pattern's `*` also takes slashes. Of other folders only templates belong to the model.
    "ignore_patterns": ["*/*.json", "*/*.safetensors"],
}

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_POLL_S = 0.1
_REF_LIMIT = 1000  # a hash
_TIMEOUT_S = 10.0
_LOCK_WAIT_S = 0.01


def fetch_model(repo_id: str, report: Report, cancelled: IsCancelled) -> Path:
    """Return the folder of a hub model in the hub's own cache, downloading what is missing.

    A model that is in the cache whole needs no network and no process. Raises `GeluError` and
    `Interrupted`.
    """
    try:
        folder, whole = cached_snapshot(repo_id)
    except (OSError, ValueError) as error:
        raise hub_error(error, repo_id) from error
    if folder is not None and whole and _lacking(folder) is None:
        return folder
    if constants.is_offline_mode():
        partly = _is_partly_here(storage_folder(repo_id))
        raise hub_error(OfflineModeIsEnabled(), repo_id, partly=partly)
    check_variables()
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_download_and_send, args=(repo_id, sender), daemon=True)
    process.start()
    sender.close()
    try:
        while not cancelled():
            if not receiver.poll(_POLL_S):
                continue
            match receiver.recv():
                case p.Progress() as progress:
                    report(progress)
                case ErrorInfo() as info:
                    raise GeluError(info.kind, info.message, info.hint)
                case path if lacking := _lacking(Path(path)):
                    hint = "The repository itself does not hold it: choose another."
                    raise GeluError(lacking.info.kind, lacking.info.message, hint)
                case path:
                    return Path(path)
        raise Interrupted
    except EOFError:
        process.join()
        raise ended_early(process.exitcode, repo_id) from None
    finally:
        process.kill()
        process.join()
        remove_unfinished(repo_id)


def cached_snapshot(repo_id: str) -> tuple[Path | None, bool]:
    """Return the folder of a model's main branch in the hub's cache, if any; and if it is whole.

    It may lack files nevertheless, if another program fetched only some. Raises `OSError` and
    `GeluError` for a cache that cannot be read, and `ValueError` for what cannot be an id.
    """
    check_cache()
    ref = storage_folder(repo_id) / "refs" / constants.DEFAULT_REVISION
    if look(ref) is not None:
        try:
            read_regular(ref, _REF_LIMIT).decode()  # the library would wait for a pipe
        except UnicodeDecodeError:
            raise NotRegularError(errno.EILSEQ, "it is not text", str(ref)) from None
    try:
        folder = Path(snapshot_download(repo_id, local_files_only=True, **_PATTERNS))
    except IncompleteSnapshotError as error:
        folder = Path(error.snapshot_path)
        _look_at(folder.iterdir())
        return folder, False
    except LocalEntryNotFoundError:
        storage = storage_folder(repo_id)
        _look_at((storage / "refs" / constants.DEFAULT_REVISION, storage / "snapshots" / "any"))
        return None, False
    _look_at(folder.iterdir())
    return folder, True


def _lacking(folder: Path) -> GeluError | None:
    """Return the sentence for a folder in which files are missing, else None."""
    try:
        open_checkpoint(folder)
    except GeluError as error:
        if state_of(error.info.kind) in ("absent", "partial"):
            return error
    return None


def _look_at(places: Iterable[Path]) -> None:
    """Raise the `OSError` of a place that may not be looked at: the library sees nothing there."""
    for place in places:
        look(place)


def storage_folder(repo_id: str) -> Path:
    """Return the folder of the hub's cache that holds all of a repository. Raises `GeluError`."""
    check_cache()
    cache = Path(constants.HF_HUB_CACHE).expanduser()
    return cache / repo_folder_name(repo_id=repo_id, repo_type="model")


def _is_partly_here(storage: Path) -> bool:
    """Whether a repository has any file; without links they are in its snapshots only."""
    return any(any(storage.glob(pattern)) for pattern in ("blobs/*", "snapshots/*/*"))


def remove_unfinished(repo_id: str) -> None:
    """Delete the partial files of downloads that were killed; no later download continues them."""
    storage = storage_folder(repo_id)
    for partial in storage.glob("blobs/*.incomplete"):
        lock = storage.parent / ".locks" / storage.name / f"{partial.name.partition('.')[0]}.lock"
        # A file that another process is downloading is locked.
        with (
            contextlib.suppress(filelock.Timeout, OSError),
            WeakFileLock(lock, timeout=_LOCK_WAIT_S),
        ):
            partial.unlink()


# --- in the download's own process ---------------------------------------------------------------


def _download_and_send(repo_id: str, sender: Connection) -> None:
    """Download, and send progress, then the folder or an `ErrorInfo`; exit with the parent."""
    end_with_parent()
    try:
        sender.send(str(download(repo_id, sender.send)))
    except Exception as error:
        sender.send(error_info(error))


def download(repo_id: str, report: Report) -> Path:
    """Download what is missing of a model and return its folder. Raises `GeluError`.

    Its config.json is downloaded first, and must be one that can be computed.
    """
    storage: Path | None = None
    tqdm.set_lock(threading.RLock())  # its own is a semaphore, which a killed process leaks
    report(p.Progress("download", "asking the hub", 0, 0, "bytes"))
    try:
        storage = storage_folder(repo_id)
        files = needed_files(repository(repo_id))
        remove_unfinished(repo_id)
        folder = Path(hf_hub_download(repo_id, "config.json")).parent
        try:
            config = read_config(folder)
        except GeluError as error:
            message = f"config.json of {repo_id} cannot be read."
            raise GeluError("not_a_model", message, "Choose another repository.") from error
        configure(config, family_of(config))
        missing = [file for file in files if not (storage / "blobs" / _hash(file)).exists()]
        total = sum(file.size or 0 for file in missing)
        cache = storage.parent
        free = shutil.disk_usage(cache).free
        if total > free:
            raise GeluError(
                "disk_full",
                f"{repo_id} needs {total / 1e9:.2f} GB more in {cache}, "
                f"and {free / 1e9:.2f} GB are free.",
                f"Free some space, or set {cache_variable()} to a folder on another disk.",
            )
        bars = _reporting_bars(report, len(files), total)
        folder = Path(snapshot_download(repo_id, tqdm_class=bars, **_PATTERNS))
        for file in missing:
            _verify(file, folder)
    except (
        OSError, ValueError, LookupError, TypeError, AssertionError,
        httpx2.HTTPError, NotWholeError,
    ) as error:  # fmt: skip
        partly = storage is not None and _is_partly_here(storage)
        raise hub_error(error, repo_id, partly=partly) from error
    return folder


def repository(repo_id: str, timeout_s: float = _TIMEOUT_S) -> ModelInfo:
    """Ask the hub about a repository and its files. Raises what the hub's library raises."""
    return HfApi().model_info(repo_id, files_metadata=True, timeout=timeout_s)


def needed_files(info: ModelInfo) -> list[RepoSibling]:
    """The files of a repository that a model needs, each with its size and its hash.

    Raises `GeluError` and `NotWholeError`.
    """
    repo_id, siblings = info.id, info.siblings or []
    files = list(filter_repo_objects(siblings, key=lambda file: file.rfilename, **_PATTERNS))
    names = {file.rfilename for file in files}
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        message = f"The hub repository {repo_id} has no config.json with weights in safetensors."
        hint = "Choose one in the format of MLX or transformers, such as those of mlx-community."
        raise GeluError("weights_missing", message, hint)
    if not all(isinstance(file.size, int) and _HASH.fullmatch(_hash(file)) for file in files):
        raise NotWholeError("it lists files without a size or a hash")
    return files


def _hash(file: RepoSibling) -> str:
    """The SHA-256 of a large file, git's SHA-1 of a small one: the name of its blob."""
    return (file.lfs.sha256 if file.lfs else file.blob_id) or ""


def _verify(file: RepoSibling, folder: Path) -> None:
    """Delete a large file and raise `NotWholeError` if its content has another hash.

    The library checks only the size of a download by plain HTTP.
    """
    path = folder / file.rfilename
    with path.open("rb") as content:
        if not file.lfs or file_digest(content, "sha256").hexdigest() == file.lfs.sha256:
            return
    path.resolve().unlink()
    path.unlink(missing_ok=True)
    raise NotWholeError(f"{file.rfilename} arrived damaged")


def _reporting_bars(report: Report, files: int, total: int) -> type[tqdm]:
    """Return a class of progress bars that report instead of drawing themselves.

    `snapshot_download` opens one for bytes received, one for bytes written, one for files.
    """
    done, rate, label = 0, 0.0, f"0 of {files} files"

    class ReportingBar(tqdm):
        monitor_interval = 0  # no thread that watches for bars without updates

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs |= {"file": io.StringIO(), "leave": False}
            if kwargs.get("unit") != "B":
                kwargs["mininterval"] = 0  # files are few: show each
            super().__init__(*args, **kwargs)

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            """Report; tqdm calls this under its lock; bytes at most ten times a second."""
            nonlocal done, rate, label
            if self.unit == "B":
                done = max(done, min(int(self.n), total))
                rate = self.format_dict["rate"] or 0.0
            else:
                label = f"{self.n} of {files} files"
            report(p.Progress("download", label, done, total, "bytes", rate))

    return ReportingBar
