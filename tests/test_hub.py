"""Downloads from a hub: whole, resumed, refused, offline; against a real server on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import close_session, constants

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.engine import hub_errors, hub_files
from gelu_tui.engine.hub import DownloadCancelled, fetch_model
from tests.fake_hub import COMMIT, REPO, WEIGHTS, FakeHub, git_hash, tiny_repo

WANTED = {"config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", WEIGHTS}


def point_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub, which read its environment at import, ask another endpoint."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no token, no patience."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(hub_files, "_RETRY_AFTER_S", (0.05, 0.05))
    return tmp_path / "hub"


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    close_session()
    with FakeHub() as server:
        point_to(server.url, monkeypatch)
        yield server
    close_session()


class Reports(list[p.Progress]):
    """Collects progress, and the threads it came on."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def __call__(self, progress: p.Progress) -> None:
        self.threads.add(threading.get_ident())
        self.append(progress)


def fetch(
    repo_id: str = REPO,
    report: Callable[[p.Progress], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
    check_config: Callable[[dict[str, object]], object] | None = None,
) -> Path:
    return fetch_model(repo_id, report, cancelled, check_config)


def refused(repo_id: str = REPO) -> GeluError:
    with pytest.raises(GeluError) as caught:
        fetch(repo_id)
    info = caught.value.info
    assert "\n" not in info.message + info.hint
    assert info.message.endswith(".")
    assert info.hint.endswith(".")
    return caught.value


def partials(cache: Path) -> list[Path]:
    return sorted(cache.glob("models--*/blobs/*.incomplete"))


def assert_whole(folder: Path, hub: FakeHub) -> None:
    assert {path.name for path in folder.iterdir()} == WANTED
    for name in WANTED:
        assert (folder / name).read_bytes() == hub.files[name]


# --- a download that goes well --------------------------------------------------------------------


def test_a_model_is_fetched_whole_and_without_code(hub: FakeHub, cache: Path) -> None:
    folder = fetch()
    assert_whole(folder, hub)
    assert not any(r.path.endswith((".py", ".bin", ".md")) for r in hub.requests)
    assert not any("onnx" in r.path for r in hub.requests)
    assert partials(cache) == []


def test_progress_grows_to_the_end_and_comes_on_the_callers_thread(hub: FakeHub) -> None:
    hub.bytes_per_second = 3_000_000
    reports = Reports()
    fetch(report=reports)
    assert reports.threads == {threading.get_ident()}
    assert all(r.phase == "download" and r.unit == "bytes" for r in reports)
    done = [r.done for r in reports]
    assert done == sorted(done)
    assert reports[-1].done == reports[-1].total == sum(len(hub.files[n]) for n in WANTED)
    during = [r for r in reports if WEIGHTS in r.label and r.rate > 0]
    assert len(during) > 3
    assert "(5 of 5 files)" in during[-1].label
    assert during[-1].rate == pytest.approx(3_000_000, rel=0.5)


def test_a_cached_model_asks_nothing(hub: FakeHub) -> None:
    folder = fetch()
    hub.requests.clear()
    reports = Reports()
    start = time.monotonic()
    assert fetch(report=reports) == folder
    assert time.monotonic() - start < 1
    assert hub.requests == []
    assert not any(r.total for r in reports)


def test_a_cached_model_needs_no_hub(hub: FakeHub) -> None:
    folder = fetch()
    hub.stop()
    assert fetch() == folder


def test_what_another_program_fetched_is_used(hub: FakeHub, cache: Path) -> None:
    folder = fetch()
    for trees in cache.glob("models--*/trees"):  # older versions of huggingface_hub keep none
        shutil.rmtree(trees)
    hub.requests.clear()
    assert fetch() == folder
    assert hub.requests == []


def test_what_another_program_left_unfinished_is_completed(hub: FakeHub, cache: Path) -> None:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    hub.files |= {shards[0]: hub.files.pop(WEIGHTS), shards[1]: b"second" * 1000}
    index = {"weight_map": {"a": shards[0], "b": shards[1]}}
    hub.files["model.safetensors.index.json"] = json.dumps(index).encode()
    folder = fetch()
    for trees in cache.glob("models--*/trees"):
        shutil.rmtree(trees)
    (folder / shards[1]).resolve().unlink()
    (folder / shards[1]).unlink()
    hub.requests.clear()
    assert fetch() == folder
    assert (folder / shards[1]).read_bytes() == hub.files[shards[1]]
    assert hub.asked_for(shards[1])
    assert not hub.asked_for(shards[0])


def test_the_config_is_checked_before_the_weights_are_fetched(hub: FakeHub) -> None:
    def refuse(config: dict[str, object]) -> None:
        raise GeluError("not_served", f"{config['model_type']} is not served.", "Choose Gemma.")

    with pytest.raises(GeluError, match="gemma3_text is not served"):
        fetch(check_config=refuse)
    assert hub.asked_for("config.json")
    assert not hub.asked_for(WEIGHTS)


def test_a_token_is_sent_and_not_shown(hub: FakeHub, cache: Path) -> None:
    cache.parent.joinpath("token").write_text("hf_secret")
    reports = Reports()
    fetch(report=reports)
    assert {r.token for r in hub.asked_for(WEIGHTS)} == {"Bearer hf_secret"}
    assert not any("hf_secret" in r.label for r in reports)


def test_the_environment_alone_leads_a_new_process(hub: FakeHub, tmp_path: Path) -> None:
    code = (
        "import sys; from gelu_tui.engine.hub import fetch_model;"
        "print(fetch_model(sys.argv[1], lambda progress: None, lambda: False))"
    )
    home = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.url, "NO_PROXY": "127.0.0.1"}

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        return subprocess.run(
            [sys.executable, "-c", code, REPO],
            env=clean | home | more, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    first = run()
    assert first.returncode == 0, first.stderr
    assert_whole(Path(first.stdout.strip()), hub)
    hub.stop()
    assert run(HF_HUB_OFFLINE="1").stdout == first.stdout
    assert run().stdout == first.stdout
    empty = run(HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "other"))
    assert "HF_HUB_OFFLINE forbids" in empty.stderr


# --- cancel and resume ----------------------------------------------------------------------------


def test_a_cancelled_download_goes_on_where_it_stopped(hub: FakeHub, cache: Path) -> None:
    hub.bytes_per_second = 2_000_000
    reports = Reports()

    def enough() -> bool:
        return bool(reports) and reports[-1].done > 1_000_000

    with pytest.raises(DownloadCancelled):
        fetch(report=reports, cancelled=enough)
    time.sleep(0.2)
    (partial,) = partials(cache)
    kept = partial.stat().st_size
    assert kept > 500_000
    hub.requests.clear()
    hub.sent, hub.bytes_per_second = 0, 0
    again = Reports()
    assert_whole(fetch(report=again), hub)
    assert [r.start for r in hub.asked_for(WEIGHTS)] == [kept]
    assert hub.sent == len(hub.files[WEIGHTS]) - kept
    assert again[-1].done == again[-1].total
    assert partials(cache) == []


def test_cancel_is_quick_when_the_network_is_silent(hub: FakeHub) -> None:
    hub.silent = True
    cancelled_at: list[float] = []

    def cancelled() -> bool:
        if hub.asked_for(WEIGHTS):
            cancelled_at.append(time.monotonic())
        return bool(cancelled_at)

    with pytest.raises(DownloadCancelled):
        fetch(cancelled=cancelled)
    assert time.monotonic() - cancelled_at[0] < 0.5
    hub.silent = False
    assert_whole(fetch(), hub)


def test_cut_connections_are_taken_up_again(hub: FakeHub) -> None:
    hub.cut_after = [100_000, 200_000, 300_000, 400_000]  # more cuts than patience without progress
    assert_whole(fetch(), hub)
    starts = [r.start for r in hub.asked_for(WEIGHTS)]
    assert len(starts) == 5
    assert starts == sorted(starts)
    assert hub.sent <= len(hub.files[WEIGHTS]) + 4 * 65_536


def test_a_hub_that_always_cuts_is_given_up(hub: FakeHub, cache: Path) -> None:
    hub.cut_after = [50_000] + [0] * 20
    error = refused()
    assert error.info.kind == "hub"
    assert "connection broke" in error.info.message
    assert partials(cache)


def test_a_hub_that_stops_answering_is_given_up(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_files, "_TIMEOUT_S", 0.1)
    hub.silent = True
    error = refused()
    assert error.info.kind == "hub"
    assert "stopped answering" in error.info.message


def test_a_partial_file_that_is_damaged_is_fetched_anew(hub: FakeHub, cache: Path) -> None:
    digest = hashlib.sha256(hub.files[WEIGHTS]).hexdigest()
    blobs = cache / "models--maker--tiny-gemma" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{digest}.incomplete").write_bytes(b"\0" * 1_000_000)
    assert_whole(fetch(), hub)
    assert [r.start for r in hub.asked_for(WEIGHTS)] == [1_000_000, 0]


@pytest.mark.parametrize("extra", [0, 10], ids=["whole", "too long"])
def test_a_partial_file_that_is_already_long_enough(hub: FakeHub, cache: Path, extra: int) -> None:
    content = hub.files[WEIGHTS]
    blobs = cache / "models--maker--tiny-gemma" / "blobs"
    blobs.mkdir(parents=True)
    name = f"{hashlib.sha256(content).hexdigest()}.incomplete"
    (blobs / name).write_bytes(content + b"!" * extra)
    assert_whole(fetch(), hub)
    assert len(hub.asked_for(WEIGHTS)) == (1 if extra else 0)


def test_a_server_without_ranges_starts_over(hub: FakeHub) -> None:
    hub.ignore_range = True
    hub.cut_after = [100_000]
    assert_whole(fetch(), hub)


def test_damaged_content_never_reaches_the_cache(hub: FakeHub, cache: Path) -> None:
    hub.corrupt = True
    error = refused()
    assert error.info.kind == "hub"
    assert "arrived damaged" in error.info.message
    digest = hashlib.sha256(hub.files[WEIGHTS]).hexdigest()
    assert not list(cache.glob(f"models--*/blobs/{digest}*"))


def test_a_small_file_is_verified_by_gits_hash(hub: FakeHub, cache: Path) -> None:
    blobs = cache / "models--maker--tiny-gemma" / "blobs"
    blobs.mkdir(parents=True)
    name = git_hash(hub.files["tokenizer.json"])
    (blobs / f"{name}.incomplete").write_bytes(b"{" * 20_000)
    assert_whole(fetch(), hub)


def test_two_fetches_at_once_share_one_download(hub: FakeHub) -> None:
    hub.bytes_per_second = 6_000_000
    folders: list[Path] = []
    reports = [Reports(), Reports()]
    threads = [threading.Thread(target=lambda r=r: folders.append(fetch(report=r)))
               for r in reports]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders[0] == folders[1]
    assert_whole(folders[0], hub)
    assert len(hub.asked_for(WEIGHTS)) == 1
    assert any("waiting for another download" in r.label for pair in reports for r in pair)


def test_a_passing_trouble_of_the_hub_is_waited_out(hub: FakeHub) -> None:
    hub.statuses = [503, 429]
    assert_whole(fetch(), hub)


# --- what the user is told ------------------------------------------------------------------------


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
    refused()
    hub.stop()
    error = refused()
    assert error.info.kind == "offline"
    assert "only partly" in error.info.message
    assert "goes on where it stopped" in error.info.hint


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
    with pytest.raises(GeluError, match=r"config\.json .* cannot be read"):
        fetch(check_config=lambda config: None)
    assert not hub.asked_for(WEIGHTS)


def test_a_hash_that_is_a_path_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    hub.lfs_hash = "../../../../evil"
    assert refused().info.kind == "hub"
    assert not list(tmp_path.rglob("*evil*"))


def test_a_hostile_file_name_shows_harmless(hub: FakeHub) -> None:
    hub.files["\x1b[31mbad\u202e.json"] = b"{}"
    reports = Reports()
    hub.bytes_per_second = 3_000_000
    fetch(report=reports)
    assert not any("\x1b" in r.label or "\u202e" in r.label for r in reports)


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
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    error = refused()
    assert error.info.kind == "disk_full"
    assert str(cache) in error.info.message


def test_a_cache_that_cannot_be_written(hub: FakeHub, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    error = refused()
    assert error.info.kind == "cache"
    assert "HF_HOME" in error.info.hint


def test_unknown_errors_are_the_networks() -> None:
    assert hub_errors.explain(ValueError("x"), REPO, partly=False).info.kind == "hub"


def test_the_commit_names_the_folder(hub: FakeHub) -> None:
    assert fetch().name == COMMIT
    assert tiny_repo().keys() == hub.files.keys()
