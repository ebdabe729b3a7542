"""The user's variables: one that cannot be used is named, an empty one is unset."""

from __future__ import annotations

import os
from pathlib import Path

import certifi
import httpx2
import pytest
from huggingface_hub import constants
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gelu_tui.client import EngineClient
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.engine.models.hub_environment import check_variables
from tests.engine.models.hub.conftest import set_both
from tests.support.fake_hub import REPO, FakeHub
from tests.support.fetching import assert_whole, refused

PROXIES = [f"{kind}_PROXY" for kind in ("HTTP", "HTTPS", "ALL")]
SECRET = "s3cret"
# One for all clients: certificates are read in a hundredth of a second.
CERTIFICATES = httpx2.create_ssl_context()


@pytest.fixture(autouse=True)
def no_variables(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the variables that count, but for the cache of the test."""
    for name in os.environ:
        if name.lower().endswith("_proxy") or name.startswith("SSL") or name == "HF_ENDPOINT":
            monkeypatch.delenv(name)


def problem(**variables: str) -> ErrorInfo | None:
    """What is said of variables, None if they can be used."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        try:
            check_variables()
        except GeluError as error:
            assert error.info.message.endswith(".") and error.info.hint.endswith(".")
            assert SECRET not in error.info.message + error.info.hint
            return error.info
    return None


# --- proxies --------------------------------------------------------------------------------------

_ADDRESSES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "http://", "https://", "socks://", "socks4://", "socks5://", "ftp://",
                     "HTTP://", "//", ":"]),
    st.sampled_from(["", f"user:{SECRET}@", f"{SECRET}@"]),
    st.sampled_from(["127.0.0.1", "proxy.example", "[::1]", "[::1", "", "a b", "\x01", "é", ".."]),
    st.sampled_from(["", ":80", ":0", ":99999", ":-1", ":x", ":", "/path", "?x"]),
)  # fmt: skip


@pytest.mark.parametrize("variable", [*PROXIES, *map(str.lower, PROXIES)])
@given(value=_ADDRESSES)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_proxy_with_which_no_client_can_be_made_is_named(variable: str, value: str) -> None:
    assume("\0" not in value and value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(variable, value)
        try:
            httpx2.Client(verify=CERTIFICATES).close()
        except (ValueError, ImportError, httpx2.InvalidURL):
            usable = False
        else:
            usable = True
    found = problem(**{variable: value})
    if not usable:
        assert found is not None
    if found is not None:
        assert found.kind == "environment"
        assert found.message.startswith(f"{variable} is '")
        assert variable in found.hint


@pytest.mark.parametrize("variable", [*PROXIES, *map(str.lower, PROXIES)])
@pytest.mark.parametrize(
    "value", ["", "proxy:3128", "http://u:s3cret@proxy:3128", "https://[::1]:1"]
)
def test_a_proxy_that_can_be_used(variable: str, value: str) -> None:
    assert problem(**{variable: value}) is None


@pytest.mark.parametrize("variable", PROXIES)
def test_what_no_proxy_makes_needless_is_not_refused(variable: str) -> None:
    assert problem(**{variable: "socks://x", "NO_PROXY": "a, *"}) is None
    assert problem(**{variable: "http://x:99999", "NO_PROXY": "huggingface.co"}) is None


@pytest.mark.parametrize(
    "value", ["", ",", "[", "http://[::1", "é", ":99999", "1.2.3.4/99", "::/x"]
)
def test_a_strange_no_proxy_is_no_obstacle(value: str, hub: FakeHub) -> None:
    assert problem(NO_PROXY=value) is None


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_that_does_not_answer(
    variable: str, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv(variable, f"http://user:{SECRET}@127.0.0.1:1")
    error = refused()
    assert f"through the proxy http://127.0.0.1:1 ({variable})" in error.info.message
    assert variable in error.info.hint
    assert SECRET not in error.info.message


# --- the hub's address, seconds, the token, certificates ------------------------------------------


@pytest.mark.parametrize(
    "value",
    ["nonsense", "127.0.0.1:1", "ftp://x", "http://", "http://a b", "http://[::1", "https://:1",
     "http://127.0.0.1:99999", "http://127.0.0.1:x", "http://x\x01", "//x", " "],
)  # fmt: skip
def test_an_address_that_is_none(value: str) -> None:
    found = problem(HF_ENDPOINT=value)
    assert found is not None
    assert found.message.startswith("HF_ENDPOINT is '")
    assert found.hint == "Correct or unset HF_ENDPOINT."


@pytest.mark.parametrize(
    "value", ["", "https://hub.example", "http://127.0.0.1:8080/x", "HTTP://x"]
)
def test_an_address(value: str) -> None:
    assert problem(HF_ENDPOINT=value) is None


@pytest.mark.parametrize("variable", ["HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"])
@given(value=st.one_of(st.integers().map(str), st.text(alphabet="0123456789.-+_e sx", max_size=6)))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_seconds(variable: str, value: str) -> None:
    try:
        fits = not value or 0 <= int(value) <= 1_000_000
    except ValueError:
        fits = False
    found = problem(**{variable: value})
    assert (found is None) == fits
    assert found is None or variable in found.message


@pytest.mark.parametrize("variable", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
@pytest.mark.parametrize("character", ["é", "\u2013", "\u200b", "\xa0", "日"])
def test_a_token_with_a_character_that_no_header_has(variable: str, character: str) -> None:
    found = problem(**{variable: f"hf_{SECRET}{character}"})
    assert found is not None
    assert found.message == f"{variable} has a character that no access token has."
    assert variable in found.hint


def test_the_token_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    assert problem() is None
    for content in ("hf_é".encode(), b"hf_\xe9"):
        file.write_bytes(content)
        found = problem()
        assert found is not None and str(file) in found.message
    assert problem(HF_TOKEN="hf_x") is None  # which is taken first
    set_both(monkeypatch, "HF_TOKEN_PATH", str(tmp_path))
    found = problem()
    assert found is not None
    assert found.message == f"The access token in {tmp_path} cannot be read: Is a directory."
    assert "HF_TOKEN_PATH" in found.hint


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSLKEYLOGFILE"])
@pytest.mark.parametrize("what", ["nothing", "a folder", "no certificates"])
def test_certificates(variable: str, what: str, tmp_path: Path) -> None:
    place = tmp_path / "place" / "x"
    if what == "a folder":
        place.mkdir(parents=True)
    elif what == "no certificates":
        place.parent.mkdir()
        place.write_text("x")
    # Only with certificates of the user's own Python writes the log of keys.
    found = problem(**{"SSL_CERT_FILE": certifi.where(), variable: str(place)})
    if variable == "SSLKEYLOGFILE" and what == "no certificates":
        assert found is None  # it is written to
        return
    assert found is not None
    assert found.message.startswith(f"{variable} is '{place}', which cannot be used: ")
    assert found.hint == f"Correct or unset {variable}."


def test_a_certificate_that_is_not_trusted(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from gelu_tui.engine.models.hub_errors import hub_error

    error = httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
    assert "SSL_CERT_FILE" in hub_error(error, REPO).info.hint
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    assert hub_error(error, REPO).info.hint.startswith("Unset SSL_CERT_DIR")


def test_a_user_agent() -> None:
    found = problem(HF_HUB_USER_AGENT_ORIGIN="é")
    assert found is not None and found.message.startswith("HF_HUB_USER_AGENT_ORIGIN has")


# --- the cache ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variable", ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"]
)
@pytest.mark.parametrize("below", ["", "hub", "a/b/c"])
def test_a_cache_in_a_file(
    variable: str, below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(file / below))
    found = problem(**{variable: str(file)})
    assert found is not None
    assert f"({variable}), and {file} is a file, not a folder." in found.message
    assert found.hint.startswith(f"Set {variable} to")


def test_a_cache_of_a_user_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    set_both(monkeypatch, "HF_HUB_CACHE", "~nobody-here/hub")
    found = problem()
    assert found is not None
    assert "'~nobody-here/hub' (HF_HUB_CACHE), and there is no such user." in found.message


# --- through the engine's own process, which reads them when it starts ----------------------------

_BREAKING = {"HF_HUB_DOWNLOAD_TIMEOUT": "abc", "HF_HUB_ETAG_TIMEOUT": "1.5"}
_BREAKING |= {"HF_ENDPOINT": "http://[::1", "TQDM_MININTERVAL": "often"}


async def answer(command: p.Command) -> p.Event:
    async with EngineClient() as engine:
        async for event in engine.ask(command):
            if not isinstance(event, p.Progress):
                return event
    raise AssertionError("the engine ended")


async def test_what_breaks_an_import_breaks_the_fetch_only(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in _BREAKING.items():
        monkeypatch.setenv(name, value)
    assert isinstance(await answer(p.ListModels()), p.ModelsFound)
    failed = await answer(p.Fetch(REPO))
    assert isinstance(failed, p.Failed)
    assert (
        failed.error.message
        == "HF_ENDPOINT is 'http://[::1', which is no address: Invalid IPv6 URL."
    )


async def test_where_nothing_may_be_asked_no_variable_is_to_blame(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ALL_PROXY": "socks://x", "TRANSFORMERS_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)
    failed = await answer(p.Fetch(REPO))
    assert isinstance(failed, p.Failed)
    assert failed.error.kind == "offline"
    assert "TRANSFORMERS_OFFLINE forbids to ask the hub" in failed.error.message


async def test_empty_means_unset(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT", "HF_TOKEN", "HF_HUB_OFFLINE",
                 "HF_HOME", "XDG_CACHE_HOME", "SSL_CERT_FILE", *PROXIES):  # fmt: skip
        monkeypatch.setenv(name, "")
    fetched = await answer(p.Fetch(REPO))
    assert isinstance(fetched, p.Fetched), fetched
    assert_whole(Path(fetched.folder), hub)
