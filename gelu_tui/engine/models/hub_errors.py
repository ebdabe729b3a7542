"""Errors of the hub as sentences for users."""

from __future__ import annotations

import errno
import os

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
from gelu_tui.core.models.json_file import NotRegularError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.engine.models import hub_environment as environment

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
            variable = environment.offline_variable()
            why = f"{variable} forbids to ask the hub"
            return _offline(repo, partly, why, f"Unset {variable}")
        case httpx2.ConnectError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return _not_trusted(repo)
        case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.ProxyError():
            return _unreachable(error, repo, partly)
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
            if named := environment.endpoint():
                hint = f"HF_ENDPOINT is {named}: correct or unset it if that is no hub."
            return GeluError("hub", f"The answer about {repo} is not the hub's.", hint)


def ended_early(code: int | None, repo_id: str) -> GeluError:
    """Return the error of a download whose process ended by itself, with this exit code."""
    process = f"The process that downloads {visible_line(repo_id)[:100]}"
    if code is not None and code < 0:
        hint = "If memory ran out, close other programs; files that have arrived whole are kept."
        return GeluError("hub", f"{process} was killed by signal {-code}.", hint)
    message = f"{process} ended early, with exit code {code}."
    return GeluError("hub", message, "The engine's log has the details.")


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


def _unreachable(error: BaseException, repo: str, partly: bool) -> GeluError:
    """The hub, or the proxy before it, does not answer: name both where a variable does."""
    why, named = "the hub cannot be reached", []
    if address := environment.endpoint():
        why, named = f"{why} at {address} (HF_ENDPOINT)", ["HF_ENDPOINT"]
    if (proxy := environment.proxy()) is not None:
        why = f"{why} through the proxy {proxy.shown} ({proxy.variable})"
        named.append(proxy.variable)
    if isinstance(error, httpx2.ProxyError):
        why = f"{why}: {visible_line(str(error))[:100]}"
    hint = f"Check {' and '.join(named)}" if named else "Connect to the network"
    return _offline(repo, partly, why, hint)


def _not_trusted(repo: str) -> GeluError:
    message = f"{repo} was not fetched: the certificate of the hub is not trusted on this machine."
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if os.environ.get(name):
            hint = f"Unset {name}, or add the certificate that signs the hub's to it."
            return GeluError("hub", message, hint)
    hint = "If a proxy reads this network's traffic, set SSL_CERT_FILE to its certificate."
    return GeluError("hub", message, hint)


def _offline(repo: str, partly: bool, why: str, hint: str) -> GeluError:
    found = "is only partly on this machine" if partly else "is not on this machine"
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
    if isinstance(error, NotRegularError):
        what = visible_line(str(error.filename))
        hint = "Move it away, and fetch the model again."
        return GeluError("unreadable", f"{what} cannot be read: {reason}.", hint)
    variable = environment.cache_variable()
    hint = f"Correct the folder's permissions, or set {variable} to another folder."
    return GeluError("cache", f"The hub's cache in {cache} cannot be used: {reason}.", hint)
