"""Damage to any part of a sweep's file: no traceback, and what is lost is simply not done."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gelu_tui.core.errors import GeluError
from gelu_tui.sweep.outcomes import FailedPrompt
from gelu_tui.sweep.store import SweepStore
from tests.support.stored_sweeps import header, save

PAGE = 4096
COUNT = 14  # of prompts; the last two are not run
FAILED = 3
DONE = set(range(COUNT - 2))
# Some bits of SQLite's header are the versions of two programs.
OTHERS = ("sweep_too_new", "sweep_refused")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a sweep of some pages: short runs, runs of several pages, a failed prompt."""
    store = SweepStore.create(header(COUNT), tmp_path_factory.mktemp("sound"))
    for number in DONE:
        # Random words do not compress.
        words = [f"{os.urandom(20).hex()}" for _ in range(1 + 40 * (number % 3))]
        texts = {"gelu_approx": words, "gelu": words, "silu": ["a"]}
        if number == FAILED:
            store.save_failed(0, FailedPrompt("p3", "It is too long.", number))
        else:
            save(store, number, texts=texts)
    store.claim(0, 1, range(COUNT))
    store.release()
    return (store.folder / "results.sqlite").read_bytes()


_folders = itertools.count()


def damaged(tmp_path: Path, content: bytes) -> SweepStore:
    store = SweepStore.create(header(COUNT), tmp_path / str(next(_folders)))
    (store.folder / "results.sqlite").write_bytes(content)
    store._file._prepare = lambda connection: connection.execute("PRAGMA synchronous = OFF")
    return store


def read_all(store: SweepStore) -> set[int]:
    """The numbers of all that is finished or failed; every list can be read."""
    numbers = {outcome.number for outcome in store.outcomes()}
    for number in sorted(numbers):
        try:
            store.load(0, number)
        except GeluError as error:
            # Where the file had to be repaired, the run is lost.
            assert error.info.kind in ("sweep_damaged", "no_run")
            numbers = numbers - {number}
    store.machines()
    store.models()
    store.others()
    store.done(0)
    return numbers | {failed.number for failed in store.failed()}


def go_on(store: SweepStore) -> set[int]:
    """Run all that is not done, and return what was done before."""
    taken = store.claim(0, COUNT, range(COUNT))
    before = store.done(0)
    # What is done is sound, all else is to be run, and nothing is both.
    assert before == {o.number for o in store.outcomes()} | {f.number for f in store.failed()}
    assert sorted(before | {*taken}) == list(range(COUNT)) and not before & {*taken}
    for outcome in store.outcomes():
        store.load(0, outcome.number)
    for number in taken:
        save(store, number)
    store.release()
    assert store.done(0) == set(range(COUNT))
    return before


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit(tmp_path: Path, sound: bytes, place: float, bit: int) -> None:
    content = bytearray(sound)
    content[int(place * len(content))] ^= 1 << bit
    store = damaged(tmp_path, content)
    try:
        assert read_all(store) <= DONE
        before = go_on(store)
    except GeluError as error:
        assert error.info.kind in OTHERS
        assert (store.folder / "results.sqlite").read_bytes() == content
    else:
        assert before <= DONE and len(before) >= len(DONE) - 1


@pytest.mark.parametrize("bit", [0, 7])
@pytest.mark.parametrize("page", [0, 1, 2, 4, 7])
def test_the_head_of_a_page(tmp_path: Path, sound: bytes, page: int, bit: int) -> None:
    for at in (0, 3, 4, 5, 7):  # its kind, the number of its cells, where they are
        content = bytearray(sound)
        content[page * PAGE + (100 if not page else 0) + at] ^= 1 << bit
        store = damaged(tmp_path, content)
        read_all(store)
        assert go_on(store) <= DONE


@pytest.mark.parametrize("filling", [b"\0", b"?", b"\r"])
def test_a_page_that_is_lost(tmp_path: Path, sound: bytes, filling: bytes) -> None:
    pages = len(sound) // PAGE
    for page in (0, 1, 2, 4, 7, pages // 2, pages - 1):
        content = sound[: page * PAGE] + filling * PAGE + sound[(page + 1) * PAGE :]
        store = damaged(tmp_path, content)
        assert read_all(store) <= DONE
        assert go_on(store) <= DONE
        if page == 0:
            notice = store.pop_notice()
            assert notice is not None and notice.message.startswith("The sweep was damaged and is")


def test_random_bytes_all_over(tmp_path: Path) -> None:
    for size in (0, 1, 100, PAGE, 3 * PAGE + 17):
        store = damaged(tmp_path, os.urandom(size))
        assert read_all(store) == set() == go_on(store)


def test_a_cut_file(tmp_path: Path, sound: bytes) -> None:
    for share in (0.1, 0.5, 0.9, 0.999):
        store = damaged(tmp_path, sound[: int(share * len(sound))])
        assert read_all(store) <= DONE
        assert go_on(store) <= DONE
