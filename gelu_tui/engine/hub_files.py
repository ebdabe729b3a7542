"""A hub model's files in the hub's cache: what is there, what is missing, fetching it resumably.

huggingface_hub deletes what has arrived of a file when its download stops. A model's file may have
gigabytes, so here the blobs of the cache are fetched with `Range` requests into
`blobs/<hash>.incomplete` and verified; `snapshot_download` then finds them and does the rest.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import httpx2
from huggingface_hub import HfApi, constants, hf_hub_url, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils import (
    WeakFileLock,
    build_hf_headers,
    disable_progress_bars,
    filter_repo_objects,
    get_session,
    hf_raise_for_status,
    validate_repo_id,
)

from gelu_tui.core.checkpoint import missing_files
from gelu_tui.core.errors import GeluError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.engine.hub_errors import NotWholeError, explain

# What mlx-lm reads, without *.py: a model repo never runs code here.
_ALLOW = ["*.json", "model*.safetensors", "tokenizer.model", "*.jinja"]
_IGNORE = ["*/*"]

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TIMEOUT_S = 10.0
_RETRY_AFTER_S = (0.5, 1.0, 2.0)
_RETRY_STATUS = (408, 429, 500, 502, 503, 504)


class Stopped(Exception):
    """`Transfer.stop` was set."""


@dataclass
class Transfer:
    """The state of a fetch, written by the thread that does it and read by the one that reports.

    `done` of `total` bytes are here, of which `received` came over the network this time.
    """

    label: str = ""
    done: int = 0
    total: int = 0
    received: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def pause(self, seconds: float) -> None:
        """Wait. Raises `Stopped`."""
        if self.stop.wait(seconds):
            raise Stopped


def fetch(
    repo_id: str, transfer: Transfer, check_config: Callable[[dict[str, Any]], object] | None
) -> Path:
    """Return the folder of the model, whole. Raises `GeluError` and `Stopped`."""
    disable_progress_bars()
    try:
        validate_repo_id(repo_id)
        folder = _cached(repo_id)
        if folder is None:
            _download(_Repository(repo_id, transfer), transfer, check_config)
            folder = Path(
                snapshot_download(repo_id, allow_patterns=_ALLOW, ignore_patterns=_IGNORE)
            )
    except (OSError, ValueError, httpx2.HTTPError, NotWholeError) as error:
        raise explain(error, repo_id, partly=_partly_cached(repo_id)) from error
    return folder


def _cached(repo_id: str) -> Path | None:
    try:
        folder = Path(
            snapshot_download(
                repo_id, local_files_only=True, allow_patterns=_ALLOW, ignore_patterns=_IGNORE
            )
        )
    except LocalEntryNotFoundError:
        return None
    # Another program may have fetched some of its files only.
    return None if missing_files(folder) else folder


def _storage(repo_id: str) -> Path:
    cache = Path(constants.HF_HUB_CACHE).expanduser()
    return cache / repo_folder_name(repo_id=repo_id, repo_type="model")


def _partly_cached(repo_id: str) -> bool:
    try:
        return any((_storage(repo_id) / "blobs").iterdir())
    except (OSError, ValueError):  # not there, or not an id that could be
        return False


# --- downloading --------------------------------------------------------------------------------


def _download(
    repo: _Repository,
    transfer: Transfer,
    check_config: Callable[[dict[str, Any]], object] | None,
) -> None:
    """Bring what is missing into the cache, once config.json is approved and the disk has room."""
    missing = [file for file in repo.files if not repo.blob(file).exists()]
    config = repo.files[0]
    transfer.total = sum(file.size for file in missing)
    if config in missing:
        repo.fetch(config)
    if check_config is not None:
        check_config(_read_config(repo.id, repo.blob(config)))
    repo.refuse_full_disk()
    for number, file in enumerate(missing, 1):
        transfer.label = f"{visible_line(file.name)} ({number} of {len(missing)} files)"
        repo.fetch(file)


def _read_config(repo_id: str, path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise GeluError(
            "not_a_model",
            f"config.json of {repo_id} cannot be read.",
            "Choose another repository.",
        )
    return config


@dataclass(frozen=True)
class _File:
    name: str
    size: int
    hash: str  # SHA-256 of a large file, git's SHA-1 of a small one: the name of its blob

    @classmethod
    def of(cls, sibling: RepoSibling) -> _File:
        size = sibling.lfs.size if sibling.lfs else sibling.size
        digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
        if not isinstance(size, int) or not _HASH.fullmatch(digest or ""):
            raise NotWholeError("it does not say what its files are")
        return cls(sibling.rfilename, size, digest or "")

    def digest(self, path: Path) -> str:
        """The hash of `path`, of the same kind as `self.hash`."""
        with path.open("rb") as content:
            if len(self.hash) == 64:
                return hashlib.file_digest(content, "sha256").hexdigest()
            header = f"blob {self.size}\0".encode()
            return hashlib.file_digest(content, lambda: hashlib.sha1(header)).hexdigest()


class _Repository:
    """A repository's main branch as the hub describes it now; `files` begins with config.json."""

    def __init__(self, repo_id: str, transfer: Transfer) -> None:
        transfer.label = "asking the hub"
        self.id = repo_id
        self._transfer = transfer
        self._storage = _storage(repo_id)
        self._headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        self._revision, self.files = self._listing()
        (self._storage / "blobs").mkdir(parents=True, exist_ok=True)
        # Only bytes of files that are still to come count, so each blob's share is kept apart.
        self._arrived = {file.hash: _size(self._partial(file)) for file in self.files}
        self._show(0)

    def _listing(self) -> tuple[str | None, list[_File]]:
        try:
            info = HfApi().model_info(self.id, files_metadata=True, timeout=_TIMEOUT_S)
        except (KeyError, TypeError):
            raise NotWholeError("it does not say what its files are") from None
        siblings = {sibling.rfilename: sibling for sibling in info.siblings or []}
        wanted = list(filter_repo_objects(siblings, allow_patterns=_ALLOW, ignore_patterns=_IGNORE))
        if "config.json" not in wanted or not any(n.endswith(".safetensors") for n in wanted):
            raise GeluError(
                "weights_missing",
                f"The hub repository {self.id} has no config.json with weights in safetensors.",
                "Choose one in the format of MLX or transformers, such as those of mlx-community.",
            )
        files = {file.hash: file for file in map(_File.of, map(siblings.__getitem__, wanted))}
        return info.sha, sorted(files.values(), key=lambda f: (f.name != "config.json", f.size))

    def blob(self, file: _File) -> Path:
        """Where the cache keeps the file's content."""
        return self._storage / "blobs" / file.hash

    def _partial(self, file: _File) -> Path:
        return self._storage / "blobs" / f"{file.hash}.incomplete"

    def refuse_full_disk(self) -> None:
        """Raise `GeluError` if what is still to come does not fit."""
        missing = self._transfer.total - self._transfer.done
        free = shutil.disk_usage(self._storage).free
        if missing > free:
            raise GeluError(
                "disk_full",
                f"{self.id} needs {missing / 1e9:.2f} GB more in {self._storage.parent}, "
                f"and {free / 1e9:.2f} GB are free.",
                "Free some space, or set HF_HOME to a folder on another disk.",
            )

    def fetch(self, file: _File) -> None:
        """Bring one blob into the cache, going on where an earlier fetch stopped."""
        delays = iter(_RETRY_AFTER_S)
        with self._lock(file):
            while not self.blob(file).exists():
                before = self._transfer.received
                try:
                    self._receive(file)
                except (httpx2.TransportError, HfHubHTTPError) as error:
                    if self._transfer.received > before:
                        delays = iter(_RETRY_AFTER_S)
                    delay = next(delays, None) if _may_pass(error) else None
                    if delay is None:
                        raise
                    self._transfer.pause(delay)
        self._show(file.size, file)

    @contextmanager
    def _lock(self, file: _File) -> Iterator[None]:
        """The lock that huggingface_hub itself takes for this blob."""
        folder = self._storage.parent / ".locks" / self._storage.name
        folder.mkdir(parents=True, exist_ok=True)
        label = self._transfer.label
        with ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(WeakFileLock(folder / f"{file.hash}.lock", timeout=0.2))
                    break
                except filelock.Timeout:
                    self._transfer.label = "waiting for another download of the same file"
                    self._transfer.pause(0)
            self._transfer.label = label
            yield

    def _receive(self, file: _File) -> None:
        partial = self._partial(file)
        have = _size(partial)
        headers = {**self._headers, "Range": f"bytes={have}-"} if have else self._headers
        resumed = have > 0
        if have < file.size or not have:
            url = hf_hub_url(self.id, file.name, revision=self._revision)
            with get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT_S) as response:
                hf_raise_for_status(response)
                resumed = resumed and response.status_code == 206
                self._write(file, response.iter_bytes(), have if resumed else 0)
        if file.digest(partial) == file.hash:
            partial.replace(self.blob(file))
            return
        partial.unlink()
        if not resumed:
            raise NotWholeError(f"{file.name} arrived damaged")

    def _write(self, file: _File, chunks: Iterator[bytes], have: int) -> None:
        with self._partial(file).open("ab" if have else "wb") as out:
            for chunk in chunks:
                self._transfer.pause(0)
                out.write(chunk)
                have += len(chunk)
                self._transfer.received += len(chunk)
                self._show(have, file)
                if have > file.size:
                    raise NotWholeError(f"{file.name} is longer than it should be")
            out.flush()
            os.fsync(out.fileno())  # its name will promise that it is whole

    def _show(self, arrived: int, file: _File | None = None) -> None:
        if file is not None:
            self._arrived[file.hash] = arrived
        self._transfer.done = sum(self._arrived.values())


def _may_pass(error: Exception) -> bool:
    """Whether a request that failed so may succeed a moment later."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _RETRY_STATUS
    return not isinstance(error, httpx2.UnsupportedProtocol | httpx2.ProxyError)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
