"""Downloads that are cancelled, cut, damaged or shared, and how they go on."""

from __future__ import annotations

import hashlib
import multiprocessing
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from huggingface_hub import constants

from gelu_tui.core.errors import GeluError
from gelu_tui.engine.failures import Interrupted
from gelu_tui.engine.models.hub import download
from tests.engine.models.hub.conftest import set_both
from tests.support.fake_hub import REPO, WEIGHTS, FakeHub
from tests.support.fetching import assert_whole, fetch, fetched, partials, refused

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def test_a_cancelled_download_keeps_whole_files(hub: FakeHub, cache: Path) -> None:
    hub.files |= {SHARDS[0]: hub.files.pop(WEIGHTS), SHARDS[1]: b"second" * 50_000}
    hub.bytes_per_second = 1_500_000

    def enough() -> bool:  # the second is whole, the first is not
        return bool(list(cache.glob(f"models--*/snapshots/*/{SHARDS[1]}")))

    with pytest.raises(Interrupted):
        fetch(cancelled=enough)
    assert partials(cache) == []
    hub.requests.clear()
    hub.bytes_per_second = 0
    folder = fetched()
    for shard in SHARDS:
        assert (folder / shard).read_bytes() == hub.files[shard]
    assert hub.asked_for(SHARDS[0])
    assert not hub.asked_for(SHARDS[1])
    assert not hub.asked_for("tokenizer.json")


def test_cancel_does_not_wait_for_a_silent_network(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.silent = True
    set_both(monkeypatch, "HF_HUB_DOWNLOAD_TIMEOUT", "3600")  # longer than any test may last
    with pytest.raises(Interrupted):
        fetch(cancelled=lambda: bool(hub.asked_for(WEIGHTS)))
    hub.silent = False
    assert_whole(fetch(), hub)


def test_a_download_that_is_killed_is_an_error(hub: FakeHub, cache: Path) -> None:
    hub.silent = True

    def kill_it() -> bool:
        if hub.asked_for(WEIGHTS):
            for child in multiprocessing.active_children():
                child.kill()
        return False

    with pytest.raises(GeluError, match=r"was killed by signal 9\.") as caught:
        fetch(cancelled=kill_it)
    assert "close other programs" in caught.value.info.hint
    assert "smaller model" not in caught.value.info.hint
    assert partials(cache) == []


def test_a_download_ends_with_its_engine_and_leaves_nothing_for_ever(
    hub: FakeHub, cache: Path
) -> None:
    hub.silent = True
    code = (
        "import sys; from gelu_tui.engine.models.hub import fetch_model;"
        "fetch_model(sys.argv[1], lambda progress: None, lambda: False)"
    )
    engine = subprocess.Popen([sys.executable, "-c", code, REPO])
    hub.wait_until_asked_for(WEIGHTS)
    children = psutil.Process(engine.pid).children(recursive=True)
    engine.kill()
    engine.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    assert partials(cache)
    hub.silent = False
    assert_whole(fetched(), hub)
    assert partials(cache) == []


def test_cut_connections_are_taken_up_again(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 16_384)
    # More cuts than the library's patience without progress.
    hub.cut_after = [100_000 * number for number in range(1, 8)]
    assert_whole(download(REPO, lambda _: None), hub)
    starts = [r.start for r in hub.asked_for(WEIGHTS)]
    assert len(starts) == 8
    assert starts == sorted(starts)
    assert hub.sent <= len(hub.files[WEIGHTS]) + 7 * 65_536


def test_a_hub_that_always_cuts_is_given_up(hub: FakeHub, cache: Path) -> None:
    hub.cut_after = [50_000] + [0] * 20
    error = refused()
    assert error.info.kind == "hub"
    assert "connection broke" in error.info.message
    assert "arrived whole are kept" in error.info.hint
    assert partials(cache) == []


def test_a_hub_that_stops_answering_is_given_up(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    hub.silent = True
    error = refused()
    assert error.info.kind == "hub"
    assert "stopped answering" in error.info.message


@pytest.mark.parametrize("name", ["{hash}.incomplete", "{hash}.0123abcd.incomplete"])
def test_a_partial_file_is_not_used_and_not_kept(name: str, hub: FakeHub, cache: Path) -> None:
    digest = hashlib.sha256(hub.files[WEIGHTS]).hexdigest()
    blobs = cache / "models--maker--tiny-gemma" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / name.format(hash=digest)).write_bytes(b"\0" * 1_000_000)
    assert_whole(fetched(), hub)
    assert [r.start for r in hub.asked_for(WEIGHTS)] == [0]
    assert partials(cache) == []


def test_a_server_without_ranges_starts_over(hub: FakeHub) -> None:
    hub.ignore_range = True
    hub.cut_after = [100_000]
    assert_whole(download(REPO, lambda _: None), hub)


def test_damaged_content_never_stays_in_the_cache(hub: FakeHub, cache: Path) -> None:
    hub.corrupt = True
    error = refused()
    assert error.info.kind == "hub"
    assert "arrived damaged" in error.info.message
    digest = hashlib.sha256(hub.files[WEIGHTS]).hexdigest()
    assert not list(cache.glob(f"models--*/blobs/{digest}*"))
    assert not list(cache.glob(f"models--*/snapshots/*/{WEIGHTS}"))
    hub.corrupt = False
    assert_whole(fetched(), hub)


def test_two_fetches_at_once_share_one_download(hub: FakeHub) -> None:
    hub.bytes_per_second = 6_000_000
    folders: list[Path] = []
    threads = [threading.Thread(target=lambda: folders.append(fetch())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders[0] == folders[1]
    assert_whole(folders[0], hub)
    assert len(hub.asked_for(WEIGHTS)) == 1


def test_a_passing_trouble_of_the_hub_is_waited_out(hub: FakeHub) -> None:
    hub.statuses = [503, 429]
    assert_whole(download(REPO, lambda _: None), hub)
