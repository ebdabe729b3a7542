"""What goes wrong with a hub, and the sentence for it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants, file_download

from tests.support.fake_hub import REPO, WEIGHTS, FakeHub, tiny_repo
from tests.support.fetching import refused


@pytest.mark.parametrize(
    "spec", ["a//b", "/nowhere/at/all", "my model", "a..b/c", "x" * 200, "café/m"]
)
def test_mistyped_ids(hub: FakeHub, spec: str) -> None:
    error = refused(spec)
    assert error.info.kind == "model_not_found"
    assert "neither a folder nor" in error.info.message
    assert hub.requests == []


@pytest.mark.parametrize("status", [401, 404])
def test_a_missing_repository(hub: FakeHub, status: int) -> None:
    hub.api_status, hub.error_code = status, "RepoNotFound"
    error = refused()
    assert error.info.kind == "model_not_found"
    assert "private" in error.info.message
    assert "hf auth login" in error.info.hint


def test_another_repository_is_missing(hub: FakeHub) -> None:
    assert refused("maker/no-such").info.kind == "model_not_found"


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository(hub: FakeHub, status: int) -> None:
    hub.statuses, hub.error_code = [status] * 9, "GatedRepo"  # its listing is open, its files not
    error = refused()
    assert error.info.kind == "gated"
    assert f"https://huggingface.co/{REPO}" in error.info.hint
    assert "hf auth login" in error.info.hint


def test_no_main_branch(hub: FakeHub) -> None:
    hub.api_status, hub.error_code = 404, "RevisionNotFound"
    assert "no main branch" in refused().info.message


@pytest.mark.parametrize("status", [500, 503])
def test_trouble_of_the_hub(hub: FakeHub, status: int) -> None:
    hub.api_status = status
    error = refused()
    assert error.info.kind == "hub"
    assert f"HTTP {status}" in error.info.message


def test_trouble_that_does_not_pass(hub: FakeHub) -> None:
    hub.statuses = [500] * 99
    assert "HTTP 500" in refused().info.message


@pytest.mark.parametrize(
    ("status", "says"),
    [(429, "fewer requests"), (403, "refuses access"), (418, "refuses the request")],
)
def test_refusals(hub: FakeHub, status: int, says: str) -> None:
    hub.api_status = status
    error = refused()
    assert error.info.kind == "hub"
    assert says in error.info.message


def test_a_bad_token(hub: FakeHub) -> None:
    hub.statuses = [401] * 99
    error = refused()
    assert "access token" in error.info.message
    assert "HF_TOKEN" in error.info.hint


def test_offline_and_not_here(hub: FakeHub) -> None:
    hub.stop()
    error = refused()
    assert error.info.kind == "offline"
    assert "is not on this machine" in error.info.message


def test_offline_and_partly_here(hub: FakeHub) -> None:
    hub.cut_after = [50_000] + [0] * 20
    refused()  # of the weights; the other files are whole by then
    hub.stop()
    error = refused()
    assert error.info.kind == "offline"
    assert "only partly" in error.info.message
    assert "only files that are missing" in error.info.hint


def test_offline_by_choice(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    error = refused()
    assert error.info.kind == "offline"
    assert "HF_HUB_OFFLINE" in error.info.hint
    assert hub.requests == []


@pytest.mark.parametrize("body", [b"<html>Please log in</html>", b"[1]", b'{"id": "x"'])
def test_a_login_page_instead_of_the_hub(hub: FakeHub, body: bytes) -> None:
    hub.api_body = body
    assert refused().info.kind == "hub"


def test_a_repository_without_weights(hub: FakeHub) -> None:
    del hub.files[WEIGHTS]
    error = refused()
    assert error.info.kind == "weights_missing"
    assert not hub.asked_for("config.json")


def test_a_config_that_is_no_json(hub: FakeHub) -> None:
    hub.files["config.json"] = b"{,"
    assert re.search(r"config\.json .* cannot be read", refused().info.message)
    assert not hub.asked_for(WEIGHTS)


def test_a_hash_that_is_a_path_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    hub.lfs_hash = "../../../../evil"
    assert refused().info.kind == "hub"
    assert not list(tmp_path.rglob("*evil*"))


def test_a_hostile_file_name_shows_harmless(hub: FakeHub) -> None:
    del hub.files[WEIGHTS]
    hub.files["model\x1b[31m\u202e.safetensors"] = b"!" * 1_000_000
    hub.corrupt = True
    message = refused().info.message
    assert "arrived damaged" in message
    assert "\x1b" not in message and "\u202e" not in message


# --- the disk -------------------------------------------------------------------------------------


def test_a_full_disk_is_seen_before_the_download(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.files = tiny_repo(30_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=20_000_000))
    error = refused()
    assert error.info.kind == "disk_full"
    assert "needs 0.03 GB more" in error.info.message
    assert "0.02 GB are free" in error.info.message
    assert not hub.asked_for(WEIGHTS)


def test_a_disk_that_fills_up_meanwhile(
    hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file_download, "http_get", full)
    error = refused()
    assert error.info.kind == "disk_full"
    assert str(cache) in error.info.message


def test_a_cache_that_cannot_be_written(hub: FakeHub, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    error = refused()
    assert error.info.kind == "cache"
    assert f"{cache} is a file, not a folder" in error.info.message
    assert "HF_HUB_CACHE" in error.info.hint
