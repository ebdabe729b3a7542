"""Who gets which prompts, and what becomes of them when workers join, are lost, or do not fit."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

from gelu_tui.core.errors import GeluError, UsageError
from gelu_tui.sweep import events as e
from gelu_tui.sweep.cluster import cluster_worker, station
from gelu_tui.sweep.cluster.choice import Cluster, cluster_of
from gelu_tui.sweep.cluster.messages import GroupResult, pack, unpack
from gelu_tui.sweep.plan import Plan
from gelu_tui.sweep.runner import SweepSession, is_complete
from gelu_tui.sweep.store import SweepStore
from tests.support.fake_cluster import FakeCluster
from tests.support.sweep_sessions import PROMPTS, Told, plan_of, same, sweep

MANY = [f"prompt {n}" for n in range(60)]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> SweepStore:
    """What one engine finds for `MANY` and one that fails."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("undisturbed")))
        return asyncio.run(sweep(plan_of([*MANY, "it fails"], full_kl=True, name="one")))


async def swept(plan: Plan, told: Told | None = None, expected: int = 0) -> SweepStore:
    session = SweepSession(plan, told or Told(plan), cluster=Cluster(expected, "tcp://fake:8786"))
    await session.run()
    assert session.store is not None and session.error is None
    return session.store


def answering(cluster: FakeCluster, address: str, **changed: Any) -> None:
    """Have one worker's engine say something else of itself or of its model."""

    def made(where: str, answer: bytes) -> bytes:
        result = unpack(answer, GroupResult)
        if where != address or result.loaded is None:
            return answer
        own = {name: value for name, value in changed.items() if name in ("versions", "device")}
        other = {name: value for name, value in changed.items() if name not in own}
        model = msgspec.structs.replace(result.loaded.model, **other)
        loaded = msgspec.structs.replace(result.loaded, model=model, **own)
        return pack(msgspec.structs.replace(result, loaded=loaded))

    cluster.made = made


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_the_results_are_those_of_one_engine(
    monkeypatch: pytest.MonkeyPatch, count: int, undisturbed: SweepStore
) -> None:
    cluster = FakeCluster(monkeypatch, count)
    plan = plan_of([*MANY, "it fails"], full_kl=True)
    store = await swept(plan, expected=count)
    sent = Counter(prompt for _, prompts in cluster.groups for prompt in prompts)
    assert set(sent.values()) == {1} and len(sent) == 61
    assert len({address for address, prompts in cluster.groups if prompts}) == count
    assert same(store, undisturbed)
    assert [machine.prompts for machine in store.machines()] == [60]


async def test_a_lost_worker_costs_what_it_was_computing(
    monkeypatch: pytest.MonkeyPatch, undisturbed: SweepStore
) -> None:
    cluster = FakeCluster(monkeypatch, 2)
    plan = plan_of([*MANY, "it fails"], full_kl=True)

    def lose(event: e.SweepEvent) -> None:
        if isinstance(event, e.PromptDone) and told.count(e.PromptDone) == 20:
            cluster.lose("tcp://fake:1")

    told = Told(plan, lose)
    store = await swept(plan, told)
    assert told.count(e.PromptDone) == 60 and told.count(e.WorkerLost) == 1
    assert list(told.progress.workers) == ["fake (2)"]
    assert same(store, undisturbed)


@settings(max_examples=6)
@given(
    st.lists(
        st.tuples(st.integers(0, 23), st.sampled_from(["lose", "lose", "join"]), st.integers(0, 9)),
        max_size=6,
    )
)
def test_workers_that_come_and_go_at_any_moment(
    tmp_path_factory: pytest.TempPathFactory,
    undisturbed: SweepStore,
    moments: list[tuple[int, str, int]],
) -> None:
    """Nothing is lost or repeated; losses so near to each other may give up a prompt."""
    prompts = MANY[:24]

    def act(event: e.SweepEvent) -> None:
        if not isinstance(event, e.PromptDone):
            return
        for at, what, which in moments:
            if at != told.count(e.PromptDone):
                continue
            there = list(cluster.workers_there)
            if what == "lose" and there:
                cluster.lose(there[which % len(there)])
            if what == "join" or not cluster.workers_there:
                cluster.join()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        cluster = FakeCluster(patch, 2)
        plan = plan_of(prompts, full_kl=True)
        told = Told(plan, act)
        store = asyncio.run(swept(plan, told))
        done = {outcome.number: outcome for outcome in store.outcomes()}
        failed = {failed.number for failed in store.failed()}
    assert sorted([*done, *failed]) == list(range(24))
    alone = {outcome.number: outcome for outcome in undisturbed.outcomes()}
    assert all(alone[number] == outcome for number, outcome in done.items())
    assert told.count(e.PromptDone) == len(done)
    # Prompts of one group share their first two losses; then each runs alone, with its own third.
    assert len(failed) <= max(0, sum(what == "lose" for _, what, _ in moments) - 2)


async def test_all_are_lost_and_one_joins_later(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster(monkeypatch, 1)
    plan = plan_of(PROMPTS)

    def lose(event: e.SweepEvent) -> None:
        if isinstance(event, e.PromptDone) and told.count(e.PromptDone) == 3:
            cluster.lose("tcp://fake:1")
        if isinstance(event, e.WorkerLost):
            assert told.progress.doing == "Waiting for a worker"
            cluster.join()

    told = Told(plan, lose)
    assert same(await swept(plan, told), await sweep(plan_of(name="one")))
    assert told.count(e.PromptDone) == 12


async def test_a_prompt_that_ends_workers_is_given_up_and_costs_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = FakeCluster(monkeypatch, 2)
    cluster.loses = ["a bad one"]
    plan = plan_of([*PROMPTS[:5], "a bad one", *PROMPTS[5:]])
    told = Told(plan)
    store = await swept(plan, told)
    (failed,) = store.failed()
    assert failed.number == 5
    assert failed.error.startswith("Workers were lost with this prompt three times, at last")
    assert sum("a bad one" in prompts for _, prompts in cluster.groups) == 3
    assert told.count(e.WorkerLost) == 3
    assert sorted(o.number for o in store.outcomes()) == [n for n in range(13) if n != 5]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"versions": {"fake": "1.0.3"}}, None),
        ({"versions": {"fake": "2"}}, "has fake 2, not 1."),
        ({"dtype": "bfloat16"}, "has the model with dtype bfloat16, not float32."),
        (
            {"native_activation": "silu"},
            "has the model with native activation silu, not gelu_approx.",
        ),
        ({"device": "Apple M2"}, None),
    ],
)
async def test_machines_that_do_not_fit_are_refused_others_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], sentence: str | None
) -> None:
    cluster = FakeCluster(monkeypatch, 1)
    plan = plan_of(MANY)

    def join(event: e.SweepEvent) -> None:
        if isinstance(event, e.PromptDone) and told.count(e.PromptDone) == 1:
            answering(cluster, cluster.join(), **changed)

    told = Told(plan, join)
    store = await swept(plan, told)
    refused = [event.error for event in told.events if isinstance(event, e.WorkerRefused)]
    second = [prompts for address, prompts in cluster.groups[1:] if address.endswith(":2")]
    if sentence is None:
        assert refused == [] and any(second)
    else:
        assert [sentence in error.message for error in refused] == [True]
        assert not any(second)
    assert is_complete(store)


async def test_another_gelu_tui_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster(monkeypatch, 1)
    cluster.made = lambda address, answer: pack(GroupResult(None), version="0.0.9")
    session = SweepSession(plan_of(), lambda _: None, cluster=Cluster(scheduler="tcp://fake:8786"))
    await session.run()
    assert session.error is not None and session.store is None
    assert "has gelu-tui 0.0.9, this is " in session.error.message


async def test_a_model_that_no_worker_has_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeCluster(monkeypatch, 2)
    plan = plan_of(models=("b/missing", "a/one"))
    told = Told(plan)
    session = SweepSession(plan, told, cluster=Cluster(2))
    await session.run()
    assert [event.error.message for event in told.events if isinstance(event, e.ModelFailed)] == [
        "There is no such model."
    ]
    assert told.count(e.PromptDone) == 12


async def test_the_scheduler_is_gone(
    monkeypatch: pytest.MonkeyPatch, undisturbed: SweepStore
) -> None:
    cluster = FakeCluster(monkeypatch, 2)
    plan = plan_of([*MANY, "it fails"], full_kl=True)

    def lose(event: e.SweepEvent) -> None:
        cluster.lost_scheduler = told.count(e.PromptDone) >= 5

    told = Told(plan, lose)
    with pytest.raises(GeluError, match="The Dask scheduler is gone"):
        await swept(plan, told)
    cluster.lost_scheduler = False
    told._then = lambda _: None
    before = told.count(e.PromptDone)
    store = await swept(plan, told)
    assert 5 <= before < 60 and told.count(e.PromptDone) == 60
    assert same(store, undisturbed)


async def test_no_worker_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeCluster(monkeypatch, 0)
    monkeypatch.setattr(cluster_worker, "_NO_WORKER_S", 0.0)
    with pytest.raises(GeluError, match="The Dask scheduler tcp://fake:8786 has no workers"):
        await swept(plan_of(models=("a/one", "b/two")))


@pytest.mark.parametrize(
    ("workers", "nanny", "threads"),
    [(1, None, {}), (2, None, {"OPENBLAS_NUM_THREADS": "4"}), (1, "tcp://nanny", {"8"})],
)
async def test_the_workers_of_a_machine_divide_its_cores(
    monkeypatch: pytest.MonkeyPatch, workers: int, nanny: str | None, threads: Any
) -> None:
    """Dask's nanny sets one thread; a number that the user set is kept."""
    monkeypatch.setattr(station, "_cores", lambda: 8)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    cluster = FakeCluster(monkeypatch, workers)
    cluster.nanny = nanny
    await swept(plan_of(PROMPTS[:2]), expected=workers)
    for environment in cluster.environments:
        assert (set(environment.values()) if nanny else environment) == threads


async def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(GeluError, match="need Dask, which is not installed") as caught:
        await swept(plan_of(), expected=2)
    assert "gelu-tui[cluster]" in caught.value.hint


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("host", "tcp://host:8786"),
        ("host:1", "tcp://host:1"),
        (" tls://10.0.0.1:99 ", "tls://10.0.0.1:99"),
        ("tcp://[::1]:8786", "tcp://[::1]:8786"),
        ("", None),
        ("tcp://", None),
        ("http://host", None),
        ("tcp://host:port", None),
        ("tcp://host:99999", None),
    ],
)
def test_addresses(typed: str, address: str | None) -> None:
    if address is None:
        with pytest.raises(UsageError, match="is no address of a scheduler"):
            cluster_of(None, typed, None, None)
    else:
        found = cluster_of(None, typed, None, None)
        assert found is not None and found.scheduler == address


@pytest.mark.parametrize("after", [0, 4])
async def test_stopped_it_keeps_what_is_finished(
    monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    FakeCluster(monkeypatch, 2, hangs=MANY[after:])
    monkeypatch.setattr(station, "_SAY_S", 0.02)
    plan = plan_of(MANY)

    def stop(event: e.SweepEvent) -> None:
        # Of prompts that hang nothing more is told: whichever of the two comes last must stop it.
        runs = any("runs" in t.worker.doing for t in told.events if isinstance(t, e.WorkerTold))
        if runs and told.count(e.PromptDone) >= after:
            session.stop()

    told = Told(plan, stop)
    session = SweepSession(plan, told, cluster=Cluster(2))
    await session.run()
    assert session.store is not None
    assert session.stopped and session.store.count().completed == told.count(e.PromptDone) >= after
