"""The user's variables that say how the hub is reached, and where its cache is.

The libraries read most of them when they are imported, and each fails in a way of its own on a
value that it cannot use. Here such a value is found first, and named.
"""

from __future__ import annotations

import importlib.util
import os
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from gelu_tui.core.errors import GeluError
from gelu_tui.core.paths import look
from gelu_tui.core.safe_text import visible_line

_PREFIXES = ("HF_", "HUGGINGFACE_", "HUGGING_FACE_", "TRANSFORMERS_", "XDG_", "SSL_CERT_")
_TIMEOUTS = ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")
_LONGEST_S = 1_000_000
_CACHES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")  # the first counts
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_HUB = "https://huggingface.co"

# With these values huggingface_hub could not be imported, and no model be loaded.
_set_aside: dict[str, str] = {}


class Proxy(NamedTuple):
    """A proxy and the variable that names it."""

    variable: str
    url: str

    @property
    def shown(self) -> str:
        """The address without name and password."""
        scheme, mark, rest = self.url.rpartition("://")
        return visible_line(f"{scheme}{mark}{rest.rpartition('@')[2]}")[:100]


def prepare() -> None:
    """Unset empty variables, and those that break an import; call before anything is imported.

    What is unset for its value is refused by `check_variables`, when the hub is needed.
    """
    for name, value in list(os.environ.items()):
        # Bars are never drawn here, and a variable of tqdm's that is no number breaks its import.
        if name.startswith("TQDM_") or (name.startswith(_PREFIXES) and not value.strip()):
            del os.environ[name]
    for name in ("HF_ENDPOINT", *_TIMEOUTS):
        if any(_problems(name)):
            _set_aside[name] = os.environ.pop(name)


def check_variables() -> None:
    """Raise `GeluError` for a variable with which nothing can be fetched."""
    check_cache()
    for name in ("HF_ENDPOINT", *_TIMEOUTS):
        for problem in _problems(name):
            raise _refusal(name, f"{name} is '{_shown(_value(name))}', {problem}")
    _check_proxies()
    _check_token()
    name = "HF_HUB_USER_AGENT_ORIGIN"
    if not _value(name).isascii():
        raise _refusal(name, f"{name} has a character that a request cannot carry")
    _check_certificates()


def check_cache() -> None:
    """Raise `GeluError` if there can be no folder where the hub's cache has to be."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    variable = cache_variable()
    hint = f"Set {variable} to a folder of your own, or unset it."
    if str(cache).startswith("~"):
        where = f"The hub's cache has to be in '{_shown(str(cache))}' ({variable})"
        raise GeluError("cache", f"{where}, and there is no such user.", hint)
    for place in (cache, *cache.parents):
        try:
            there = look(place)
        except OSError:
            return  # whoever reads it tells why it may not
        if there == "folder":
            return
        if there:
            where = f"The hub's cache has to be in {_shown(str(cache))} ({variable})"
            message = f"{where}, and {_shown(str(place))} is a file, not a folder."
            raise GeluError("cache", message, hint)


def cache_variable() -> str:
    """The variable that says where the hub's cache is, or that could."""
    return next((name for name in _CACHES if os.environ.get(name)), "HF_HOME")


def offline_variable() -> str:
    """The variable that forbids to ask the hub."""
    other = not os.environ.get("HF_HUB_OFFLINE") and os.environ.get("TRANSFORMERS_OFFLINE")
    return "TRANSFORMERS_OFFLINE" if other else "HF_HUB_OFFLINE"


def proxy() -> Proxy | None:
    """The proxy through which the hub is asked, None without one."""
    url = urlsplit(_value("HF_ENDPOINT") or _HUB)
    found = getproxies_environment()
    host = url.hostname or ""
    bypassed = urllib.request.proxy_bypass_environment(host, found)  # type: ignore[attr-defined]
    if not bypassed and not _no_proxies():
        for scheme in (url.scheme, "all"):
            if scheme in found:
                return Proxy(_variable(scheme), found[scheme])
    return None


def endpoint() -> str:
    """Where the hub is if a variable says it, else empty."""
    return _shown(_value("HF_ENDPOINT"))


# --- each kind of variable ------------------------------------------------------------------------


def _value(name: str) -> str:
    return _set_aside.get(name) or os.environ.get(name, "")


def _shown(value: str) -> str:
    return visible_line(value)[:200]


def _refusal(name: str, message: str, hint: str = "") -> GeluError:
    return GeluError("environment", f"{message}.", hint or f"Correct or unset {name}.")


def _problems(name: str) -> Iterator[str]:
    """What is wrong with a number of seconds, or with the address of the hub."""
    if not (value := _value(name)):
        return
    if name in _TIMEOUTS:
        try:
            fits = 0 <= int(value) <= _LONGEST_S
        except ValueError:
            fits = False
        if not fits:
            yield f"not a whole number of seconds up to {_LONGEST_S:,}"
        return
    if not value.lower().startswith(("http://", "https://")):
        yield "which does not begin with http:// or https://"
    yield from _address_problems(value)


def _address_problems(value: str) -> Iterator[str]:
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port
    except ValueError as error:  # a port of 99999, half a pair of brackets
        yield f"which is no address: {visible_line(str(error))}"
        return
    if not host or any(char.isspace() or not char.isprintable() for char in value):
        yield "which names no machine"


def _no_proxies() -> bool:
    names = getproxies_environment().get("no", "").split(",")
    return "*" in (name.strip() for name in names)


def _variable(scheme: str) -> str:
    """The name under which the proxy of a scheme is in the environment."""
    name = f"{scheme}_proxy"
    found = (each for each in os.environ if each.lower() == name and os.environ[each])
    return name if os.environ.get(name) else next(found, name.upper())


def _check_proxies() -> None:
    import httpx2

    if _no_proxies():
        return
    used = proxy()
    found = getproxies_environment()
    # A client makes a transport for each proxy before it knows which one it needs.
    for scheme in ("http", "https", "all"):
        if not (value := found.get(scheme)):
            continue
        each = Proxy(_variable(scheme), value)
        url = value if "://" in value else f"http://{value}"
        what = f"{each.variable} is '{each.shown}'"
        kind = url.partition("://")[0].lower()
        socks = kind in ("socks5", "socks5h")
        if not socks and kind not in ("http", "https"):
            hint = f"Set {each.variable} to an address with http://, https:// or socks5://."
            message = f"{what}, and {visible_line(kind)} is no kind of proxy that can be used"
            raise _refusal(each.variable, message, hint)
        if socks and importlib.util.find_spec("socksio") is None:
            hint = f"Install it with pip install socksio, or set {each.variable} to an http:// one."
            message = f"{what}, and SOCKS proxies need the package socksio"
            raise _refusal(each.variable, message, hint)
        try:
            httpx2.Proxy(url)
        except (ValueError, httpx2.InvalidURL) as error:
            raise _refusal(each.variable, f"{what}, which is no address") from error
        for problem in _address_problems(url) if each == used else ():
            raise _refusal(each.variable, f"{what}, {problem}")


def _check_token() -> None:
    from huggingface_hub import constants

    if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN:
        return
    again = "Copy it again from https://huggingface.co/settings/tokens, or unset {}."
    for name in _TOKENS:
        if value := _value(name):
            if not value.isascii():
                message = f"{name} has a character that no access token has"
                raise _refusal(name, message, again.format(name))
            return
    where = f"The access token in {_shown(constants.HF_TOKEN_PATH)}"
    hint = "Log in again with `hf auth login`."
    if _value("HF_TOKEN_PATH"):
        hint = "Correct or unset HF_TOKEN_PATH."
    try:
        if Path(constants.HF_TOKEN_PATH).read_text().isascii():
            return
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refusal("", f"{where} cannot be read: {error.strerror}", hint) from error
    except ValueError:  # not UTF-8
        pass
    raise _refusal("", f"{where} has a character that no access token has", hint)


def _check_certificates() -> None:
    import httpx2

    try:
        httpx2.create_ssl_context()
    except (OSError, ValueError) as error:
        name = next(filter(_value, ("SSL_CERT_FILE", "SSL_CERT_DIR")), "")
        if log := _value("SSLKEYLOGFILE"):
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).keylog_filename = log
            except OSError:
                name = "SSLKEYLOGFILE"
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, ssl.SSLError):
            reason = "it holds no certificate"
        if name:
            what = f"{name} is '{_shown(_value(name))}', which cannot be used"
            raise _refusal(name, f"{what}: {visible_line(reason)}") from error
        message = f"The certificates of this system cannot be read: {visible_line(reason)}"
        hint = "Set SSL_CERT_FILE to a file with certificates."
        raise _refusal("", message, hint) from error
