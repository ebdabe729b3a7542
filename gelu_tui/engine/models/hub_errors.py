"""Errors of the hub as sentences for users."""

from __future__ import annotations

import errno

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from gelu_tui.core.errors import GeluError
from gelu_tui.core.safe_text import visible_line

_TRY_AGAIN = "Try again later: files that have arrived whole are kept."


class NotWholeError(Exception):
    """The hub's answer lacks what it must contain, or differs from what it announced."""


def hub_error(error: BaseException, repo_id: str, *, partly: bool = False) -> GeluError:
    """Return an error of a fetch as a sentence; `partly` if some of the model is in the cache."""
    repo = visible_line(repo_id)[:100]
    match error:
        case HFValidationError():
            message = f"'{repo}' is neither a folder nor an id that the hub could have."
            hint = "A hub id looks like mlx-community/gemma-3-270m-it-bf16."
            return GeluError("model_not_found", message, hint)
        case GatedRepoError():  # a RepositoryNotFoundError too, so it comes first
            message = f"{repo} is gated: its licence must be accepted before it can be fetched."
            hint = f"Accept it at https://huggingface.co/{repo}, then log in with `hf auth login`."
            return GeluError("gated", message, hint)
        case RepositoryNotFoundError():
            message = f"The hub has no model {repo}, or it is private."
            hint = "Check the spelling; for a private model log in with `hf auth login`."
            return GeluError("model_not_found", message, hint)
        case RevisionNotFoundError():
            message = f"The hub repository {repo} has no main branch."
            return GeluError("model_not_found", message, "Choose another repository.")
        case HfHubHTTPError(response=response):
            return _refused(response.status_code, repo)
        case LocalEntryNotFoundError() if error.__cause__ is not None:
            return hub_error(error.__cause__, repo_id, partly=partly)
        case OfflineModeIsEnabled() | LocalEntryNotFoundError():
            return _offline(repo, partly, "HF_HUB_OFFLINE forbids to ask the hub")
        case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.ProxyError():
            return _offline(repo, partly, "the hub cannot be reached")
        case httpx2.TimeoutException():
            message = f"The hub stopped answering while {repo} was fetched."
            return GeluError("hub", message, _TRY_AGAIN)
        case OSError() if error.errno is not None:
            return _disk(error)
        case httpx2.HTTPError() | OSError():  # OSError: the library's, for a file that ended early
            return GeluError("hub", f"The connection broke while {repo} was fetched.", _TRY_AGAIN)
        case NotWholeError():
            message = f"The hub's answer about {repo} is not usable: {visible_line(str(error))}."
            return GeluError("hub", message, "Try again later.")
        case _:
            hint = "A network's login page may have answered: open any web page, then try again."
            return GeluError("hub", f"The answer about {repo} is not the hub's.", hint)


def _refused(status: int, repo: str) -> GeluError:
    if status == 401:
        message = f"The hub refuses access to {repo} without a valid access token."
        hint = "Log in with `hf auth login`; if HF_TOKEN is set, correct or unset it."
        return GeluError("hub", message, hint)
    if status == 403:
        hint = "Give your access token the right to read it, or choose another model."
        return GeluError("hub", f"The hub refuses access to {repo}.", hint)
    what = "asks for fewer requests" if status == 429 else "has trouble of its own"
    if status < 500 and status != 429:
        what = f"refuses the request for {repo}"
    return GeluError("hub", f"The hub {what} (HTTP {status}).", _TRY_AGAIN)


def _offline(repo: str, partly: bool, why: str) -> GeluError:
    found = "is only partly on this machine" if partly else "is not on this machine"
    hint = "Unset HF_HUB_OFFLINE" if constants.is_offline_mode() else "Connect to the network"
    if partly:
        hint += " and run it again: only files that are missing are downloaded."
    else:
        hint += ", or give the folder of a model."
    return GeluError("offline", f"{repo} {found}, and {why}.", hint)


def _disk(error: OSError) -> GeluError:
    cache = constants.HF_HUB_CACHE
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "Free some space and try again: files that have arrived whole are kept."
        return GeluError("disk_full", f"The disk of {cache} is full.", hint)
    reason = visible_line(error.strerror or str(error))
    hint = "Correct the folder's permissions, or set HF_HOME to another folder."
    return GeluError("cache", f"The hub's cache in {cache} cannot be used: {reason}.", hint)
