"""Downloads that are cancelled, cut, damaged or shared, and how they go on."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest

from gelu_tui.engine import hub_files
from gelu_tui.engine.hub import DownloadCancelled
from tests.fake_hub import WEIGHTS, FakeHub, git_hash
from tests.hub.fetching import Reports, assert_whole, fetch, partials, refused


def test_a_cancelled_download_goes_on_where_it_stopped(hub: FakeHub, cache: Path) -> None:
    hub.bytes_per_second = 2_000_000
    reports = Reports()

    def enough() -> bool:
        return bool(reports) and reports[-1].done > 1_000_000

    with pytest.raises(DownloadCancelled):
        fetch(report=reports, cancelled=enough)
    for thread in threading.enumerate():
        if thread.name == "hub":
            thread.join(60)  # it may still be at its last chunk
    (partial,) = partials(cache)
    kept = partial.stat().st_size
    assert kept > 500_000
    hub.requests.clear()
    hub.bytes_per_second = 0
    again = Reports()
    assert_whole(fetch(report=again), hub)
    assert [r.start for r in hub.asked_for(WEIGHTS)] == [kept]
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
    assert time.monotonic() - cancelled_at[0] < 5  # the network's own time-out is 10 s
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
