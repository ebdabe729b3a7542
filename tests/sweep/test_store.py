"""Results of a sweep: saved, claimed, listed, read back."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace

from gelu_tui.core.errors import GeluError
from gelu_tui.sweep import claims as claims_module
from gelu_tui.sweep.outcomes import FailedPrompt
from gelu_tui.sweep.saved_sweeps import (
    delete_sweep,
    find_sweep,
    find_sweep_run,
    list_sweeps,
)
from gelu_tui.sweep.store import Done, SweepStore
from gelu_tui.sweep.stored_document import stored_document
from tests.support.permissions import closed
from tests.support.stored_sweeps import KEY, header, outcome_of, prompt, save


@pytest.fixture
def store(tmp_path: Path) -> SweepStore:
    return SweepStore.create(header(), tmp_path)


def again(store: SweepStore) -> SweepStore:
    """The same sweep, in another process as it were."""
    return SweepStore.open(store.folder)


def test_what_is_saved_is_there_for_the_next_process(store: SweepStore) -> None:
    document = save(store, 3)
    store.save_failed(0, FailedPrompt("p5", "It is too long.", 5, "demo"))
    other = again(store)
    assert other.done(0) == {3, 5} and other.count() == Done(1, 1)
    assert list(other.outcomes()) == [outcome_of(document, 3)]
    assert list(other.failed()) == [FailedPrompt("p5", "It is too long.", 5, "demo")]
    (row,) = other.rows()
    assert row.prompt == "Why is sky 3 blue?" and row.tokens == 15
    loaded = other.load(0, 3)
    assert loaded.prompt == document.prompt and loaded.timing == document.timing
    assert [v.tokens for v in loaded.variants] == [v.tokens for v in document.variants]
    assert other.models() == (document.model,)


def test_a_finished_prompt_is_saved_once(store: SweepStore) -> None:
    save(store, 0)
    first = list(store.rows())
    save(store, 0, texts={"gelu": ["x"]})
    store.save_failed(0, FailedPrompt("p0", "late", 0))
    assert list(store.rows()) == first and store.count() == Done(1, 0)


def test_a_failed_prompt_may_be_finished_later(store: SweepStore) -> None:
    store.save_failed(0, FailedPrompt("p0", "no memory", 0))
    save(store, 0)
    assert store.count() == Done(1, 0) and list(store.failed()) == []


def test_models_are_kept_apart(tmp_path: Path) -> None:
    store = SweepStore.create(header(models=("one", "two")), tmp_path)
    for model, number in ((1, 7), (0, 3), (1, 2)):
        save(store, number, model)
    assert [(o.model, o.number) for o in store.outcomes()] == [(0, 3), (1, 2), (1, 7)]
    assert [o.number for o in store.outcomes(1)] == [2, 7]
    assert store.done(0) == {3} and store.done(1) == {2, 7}
    assert store.claim(1, 3, range(10)) == [0, 1, 3]


def test_lists_longer_than_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gelu_tui.sweep.store._PAGE", 2)
    store = SweepStore.create(header(), tmp_path)
    for number in (4, 1, 0, 9, 7):
        save(store, number)
    assert [o.number for o in store.outcomes()] == [0, 1, 4, 7, 9]


def test_the_document(store: SweepStore) -> None:
    assert stored_document(store).status == "incomplete"
    for number in range(9):
        save(store, number)
    store.save_failed(0, FailedPrompt("p9", "It is empty.", 9))
    document = stored_document(store)
    assert (document.id, document.completed, document.status) == (f"sky-{KEY[:8]}", 9, "completed")
    assert [failed.id for failed in document.failed] == ["p9"]
    assert [machine.prompts for machine in document.machines] == [9]
    assert [result.variant for result in document.results] == ["gelu", "silu"]
    assert find_sweep_run(document.results[1].worst[0].run, store.folder.parent) is not None


# --- claims ---------------------------------------------------------------------------------------


def test_two_users_never_claim_the_same(store: SweepStore) -> None:
    other = again(store)
    save(store, 1)
    assert store.claim(0, 3, range(10)) == [0, 2, 3]
    assert other.claim(0, 3, range(10)) == [4, 5, 6]
    assert store.others() == 3
    other.release()
    assert store.others() == 0 and store.claim(0, 9, range(10)) == [4, 5, 6, 7, 8, 9]


def test_an_iterator_is_read_no_further_than_needed(store: SweepStore) -> None:
    numbers = itertools.count()
    assert store.claim(0, 2, numbers) == [0, 1] and next(numbers) == 2
    assert store.claim(0, 2, numbers) == [3, 4]


class Users(RuleBasedStateMachine):
    """Any order of claims, saves, failures and releases by three users of one sweep."""

    folder: Path
    counter = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        first = SweepStore.create(header(12), self.folder / str(next(self.counter)))
        self.users = [first, again(first), again(first)]
        self.held: list[set[int]] = [set(), set(), set()]
        self.finished: set[int] = set()

    who = st.integers(0, 2)

    @rule(user=who, count=st.integers(1, 4))
    def claim(self, user: int, count: int) -> None:
        taken = self.users[user].claim(0, count, range(12))
        free = set(range(12)) - self.finished - set().union(*self.held)
        assert taken == sorted(free)[:count]
        self.held[user] |= set(taken)

    @rule(user=who, fails=st.booleans())
    def finish(self, user: int, fails: bool) -> None:
        for number in sorted(self.held[user])[:1]:
            if fails:
                self.users[user].save_failed(0, FailedPrompt("p", "why", number))
            else:
                save(self.users[user], number)
            self.held[user].remove(number)
            self.finished.add(number)

    @rule(user=who)
    def release(self, user: int) -> None:
        self.users[user].release()
        self.held[user].clear()

    @invariant()
    def all_agree(self) -> None:
        assert all(user.done(0) == self.finished for user in self.users)

    def teardown(self) -> None:
        for user in self.users:
            user.release()


def test_any_order_of_claims_and_saves(tmp_path: Path) -> None:
    Users.folder = tmp_path
    few = settings(max_examples=12, stateful_step_count=12, deadline=None)
    run_state_machine_as_test(Users, settings=few)  # type: ignore[no-untyped-call]


def rewrite(store: SweepStore, column: str, value: Any) -> None:
    """Change what is known of every process that has claims."""
    with sqlite3.connect(store.folder / "results.sqlite") as connection:
        connection.execute(f"UPDATE workers SET {column} = ?", (value,))
    connection.close()


@pytest.mark.parametrize(
    ("column", "value", "free"),
    [
        ("pid", 2**22 + 5, True),  # no such process
        ("started", 5.0, True),  # its number is now that of another
        ("pid", "damaged", True),
        ("pid", 1e300, True),
        ("started", b"damaged", True),
        ("seen", 0.0, False),  # this machine's processes are not asked to write
        ("host", "elsewhere", False),
    ],
)
def test_claims_of_the_dead_are_free(
    store: SweepStore, column: str, value: Any, free: bool
) -> None:
    store.claim(0, 4, range(10))
    rewrite(store, column, value)
    assert again(store).claim(0, 9, range(4)) == (list(range(4)) if free else [])


def test_claims_of_another_machine_end_with_its_heartbeat(
    store: SweepStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(claims_module, "this_host", lambda: "elsewhere")
        store.claim(0, 4, range(10))
    other = again(store)
    assert other.claim(0, 9, range(4)) == [] and other.others() == 4
    now = claims_module.time.time()
    monkeypatch.setattr(claims_module.time, "time", lambda: now + claims_module.SILENCE_S + 1)
    assert other.claim(0, 9, range(4)) == [0, 1, 2, 3]


# --- found, listed, deleted -----------------------------------------------------------------------


def test_the_list_of_sweeps(tmp_path: Path) -> None:
    assert list_sweeps(tmp_path / "none") == []
    old = SweepStore.create(header(2), tmp_path)
    late = header(1, key="f" * 16, name="späte Fragen/?", created="2026-01-01T00:00:00+00:00")
    new = SweepStore.create(late, tmp_path)
    save(old, 0)
    save(new, 0)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sweep.json").write_text("{")
    (tmp_path / "no sweep").mkdir()
    first, second, third = list_sweeps(tmp_path)
    assert (first.id, first.status, first.completed) == ("späte-Fragen-ffffffff", "completed", 1)
    assert (second.id, second.status, second.total) == (old.id, "incomplete", 2)
    assert second.functions == ("gelu_approx", "gelu", "silu") and second.models == ("demo",)
    assert (third.id, third.status) == ("broken", "damaged")


def test_the_same_key_goes_on_and_another_begins(store: SweepStore, tmp_path: Path) -> None:
    later = replace(store.header, created="2030-01-01T00:00:00+00:00")
    assert SweepStore.create(later, tmp_path).header == store.header
    other = SweepStore.create(replace(later, key="e" * 16), tmp_path)
    assert other.folder != store.folder
    mixed = replace(later, key=KEY[:8] + "9" * 8)
    with pytest.raises(GeluError, match="another sweep"):
        SweepStore.create(mixed, tmp_path)


def test_a_damaged_header_is_set_aside_and_results_are_kept(
    store: SweepStore, tmp_path: Path
) -> None:
    save(store, 0)
    (store.folder / "sweep.json").write_bytes(b"\xff\0{")
    with pytest.raises(GeluError, match=r"sweep\.json is damaged"):
        again(store)
    fresh = SweepStore.create(header(), tmp_path)
    assert fresh.done(0) == {0} and list(store.folder.glob("sweep.damaged-*.json"))


def test_found_by_id_beginning_and_folder(store: SweepStore, tmp_path: Path) -> None:
    SweepStore.create(header(name="skyline"), tmp_path)
    for name in (store.id, "sky-", str(store.folder)):
        found = find_sweep(name, tmp_path)
        assert found is not None and found.id == store.id
    with pytest.raises(GeluError, match="Several sweeps begin with 'sky'"):
        find_sweep("sky", tmp_path)
    for name in ("", ".", "..", "/", "none", "a\0b", "x" * 5000, f"{store.id}/x"):
        assert find_sweep(name, tmp_path) is None


def test_runs_by_name(tmp_path: Path) -> None:
    store = SweepStore.create(header(models=("one", "two")), tmp_path)
    save(store, 4, 1)
    for name, place in ((f"{store.id}/4", (0, 4)), (f"{store.id}/1/4", (1, 4))):
        found = find_sweep_run(name, tmp_path)
        assert found is not None and (found.model, found.number) == place
    for name in (store.id, f"{store.id}/x", "none/3", "3", f"{store.id}/1/2/3", f"{store.id}/٣"):
        assert find_sweep_run(name, tmp_path) is None
    with pytest.raises(GeluError, match=r"Prompt 4 .* has not been run"):
        store.load(0, 4)
    with pytest.raises(GeluError, match="has not been run"):
        store.load(999_999_999, 999_999_999)
    store.save_failed(0, FailedPrompt("p2", "It is \x1b[31mempty.", 2))
    with pytest.raises(GeluError, match=r"could not be run: It is .*empty") as caught:
        store.load(0, 2)
    assert "\x1b" not in str(caught.value)


def test_deleting(store: SweepStore, tmp_path: Path) -> None:
    store.claim(0, 1, range(10))
    with pytest.raises(GeluError, match="Another program works on the sweep"):
        delete_sweep(store.id, tmp_path)
    store.release()
    for name in ("", "..", "none", "../x", store.id[:4]):
        with pytest.raises(GeluError, match="There is no sweep"):
            delete_sweep(name, tmp_path)
    assert delete_sweep(store.id, tmp_path) == store.id and list_sweeps(tmp_path) == []


# --- where it cannot be written -------------------------------------------------------------------


def test_a_folder_deleted_while_it_runs(store: SweepStore) -> None:
    save(store, 0)
    shutil.rmtree(store.folder)
    for use in (lambda: save(store, 1), lambda: store.claim(0, 1, range(9)), store.release):
        with pytest.raises(GeluError, match="The sweep's folder is gone"):
            use()
    assert not store.folder.exists() and list(store.rows()) == []


def test_a_folder_that_may_not_be_written(store: SweepStore) -> None:
    save(store, 0)
    with closed(store.folder):
        with pytest.raises(GeluError, match=r"The prompt could not be saved: .* cannot be opened"):
            save(store, 1)
        with pytest.raises(GeluError, match="cannot be"):
            again(store)
    with closed(store.folder.parent), pytest.raises(GeluError, match="cannot be saved in"):
        SweepStore.create(header(key="d" * 16), store.folder.parent)
    assert store.done(0) == {0}


def test_a_full_disk(store: SweepStore, monkeypatch: pytest.MonkeyPatch) -> None:
    save(store, 0)
    monkeypatch.setattr(
        store._file, "_prepare", lambda c: c.execute("PRAGMA max_page_count = 1").fetchall()
    )
    with pytest.raises(GeluError, match="The prompt could not be saved: the disk is full") as told:
        for number in range(1, 10):
            save(store, number)
    assert told.value.info.kind == "sweep_full"
    assert again(store).done(0) >= {0} and again(store).load(0, 0).status == "completed"


@given(name=st.text(max_size=80))
def test_any_name_is_a_folder_of_its_own(name: str) -> None:
    made = header(name=name).id
    assert made == Path(made).name and made not in (".", "..") and len(made.encode()) < 255


def test_prompts_are_listed_by_their_beginning(store: SweepStore) -> None:
    document = save(store, 1)
    long = replace(prompt(0), prompt="x" * 10_000)
    store.save(0, document, outcome_of(document, 0), long, seconds=2.5)
    first, _ = store.rows()
    assert len(first.prompt) == 200 and first.seconds == 2.5


def test_a_model_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    name = b"/models/\xff".decode("utf-8", "surrogateescape")
    store = SweepStore.create(header(models=(name,)), tmp_path)
    document = save(store, 0)
    document = replace(document, model=replace(document.model, id=name))
    store.save(0, document, outcome_of(document, 1), prompt(1))
    assert again(store).load(0, 1).model.id == "/models/?" == again(store).header.models[0]
