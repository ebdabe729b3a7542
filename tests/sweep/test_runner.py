"""A sweep runs every prompt once, whatever happens to the engine, the app or a second process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.settings.yardsticks import YardstickName
from gelu_tui.sweep import events as e
from gelu_tui.sweep.outcomes import PromptOutcome, StreamOutcome
from gelu_tui.sweep.plan import Plan, make_plan
from gelu_tui.sweep.runner import SweepSession, is_complete
from gelu_tui.sweep.store import SweepStore
from gelu_tui.sweep.stored_document import stored_document
from tests.support.sweep_engine import AT_ONCE, SweepEngines
from tests.support.sweep_sessions import FUNCTIONS, PROMPTS, Told, plan_of, same, sweep


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


async def test_every_prompt_is_run_once_and_saved(tmp_path: Path) -> None:
    plan = plan_of()
    engines = SweepEngines()
    told = Told(plan)
    session = SweepSession(plan, told, engine_command=engines)
    assert session.store is None
    await session.run()
    store = session.store
    assert store is not None and is_complete(store)
    assert sorted(engines.compared) == sorted(PROMPTS)
    assert store.header.reference == "gelu_approx"
    assert [o.number for o in store.outcomes()] == list(range(12))
    assert [len(o.streams) for o in store.outcomes()] == [4] * 12
    assert store.load(0, 3).prompt == "prompt 3"
    assert told.count(e.PromptDone) == 12
    assert (told.progress.all_done, told.progress.running) == (12, {})
    document = stored_document(store)
    assert (document.status, document.completed) == ("completed", 12)


async def test_a_finished_sweep_starts_no_engine() -> None:
    await sweep(plan_of())
    engines = SweepEngines()
    store = await sweep(plan_of(), engines)
    assert engines.compared == [] and is_complete(store)


async def test_as_many_prompts_are_with_the_engine_as_it_needs() -> None:
    """More than run at once, so that it never waits; far fewer than there are."""
    plan = plan_of([f"prompt {n}" for n in range(60)], batch=AT_ONCE * 4)
    claimed: list[int] = []

    def look(event: e.SweepEvent) -> None:
        if isinstance(event, e.PromptStarted) and told.progress.store is not None:
            claimed.append(len(engines.engines[-1].commands._queue))  # type: ignore[attr-defined]

    told = Told(plan, look)
    engines = SweepEngines()
    await SweepSession(plan, told, engine_command=engines).run()
    assert max(claimed) <= AT_ONCE
    assert sorted(claimed)[len(claimed) // 4] >= 1


async def test_bad_rows_and_prompts_that_fail_are_recorded_and_the_others_run(
    tmp_path: Path,
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "one"}\nnot json\n{"prompt": "it fails"}\n{"prompt": "two"}\n')
    store = await sweep(make_plan(str(file), (), {"activations": FUNCTIONS}, local=False))
    failed = [(f.number, f.id, f.error) for f in store.failed()]
    assert failed == [
        (1, "1", "Line 2: it is not JSON: invalid character (byte 4)."),
        (2, "2", "The prompt is too long. Shorten it."),
    ]
    assert [o.number for o in store.outcomes()] == [0, 3]
    document = stored_document(store)
    assert (document.status, document.completed, len(document.failed)) == ("completed", 2, 2)


async def test_models_one_after_the_other_and_one_that_cannot_be_loaded() -> None:
    plan = plan_of(PROMPTS[:3], models=("a/one", "b/missing", "c/three"))
    told = Told(plan)
    session = SweepSession(plan, told, engine_command=SweepEngines())
    await session.run()
    store = session.store
    assert store is not None and session.error == ErrorInfo(
        "model_not_found", "There is no such model.", "Look again."
    )
    assert [(o.model, o.number) for o in store.outcomes()] == [
        (model, n) for model in (0, 2) for n in range(3)
    ]
    assert told.progress.done == [3, 0, 3] and not is_complete(store)


async def test_a_model_without_the_layers_of_a_function_is_told_once() -> None:
    functions = ("gelu_approx", "relu@0-5")
    plan = plan_of(PROMPTS[:2], models=("a/small", "b/two"), activations=functions)
    told = Told(plan)
    session = SweepSession(plan, told, engine_command=SweepEngines())
    await session.run()
    store = session.store
    assert store is not None and session.error is not None
    assert session.error.message == (
        "This model has 2 layers, 0 to 1: there is no layer 2 for 'relu@0-5'."
    )
    assert [(o.model, o.number) for o in store.outcomes()] == [(1, 0), (1, 1)]
    assert not list(store.failed())
    assert [f.name for f in store.header.functions][:2] == list(functions)


async def test_the_reference_is_the_same_for_all_models() -> None:
    plan = plan_of(PROMPTS[:2], models=("a/one", "b/two"))
    engines = SweepEngines()
    await sweep(plan, engines)
    asked = {command.settings.reference for e in engines.engines for command in e.compared}
    assert asked == {"gelu_approx"}


async def test_a_model_that_cannot_be_loaded_leaves_no_sweep(tmp_path: Path) -> None:
    session = SweepSession(
        plan_of(models=("b/missing",)), lambda _: None, engine_command=SweepEngines()
    )
    await session.run()
    assert session.store is None and session.error is not None
    assert not (tmp_path / "data").exists()


async def test_full_kl_is_of_the_whole_stream_of_the_reference() -> None:
    store = await sweep(plan_of(PROMPTS[:4], full_kl=True))
    for outcome in store.outcomes():
        reference = outcome.streams[1].tokens
        sums = [(s.full_kl, s.full_kl_steps) for s in outcome.streams]
        assert sums == [(0.0, reference), (0.0, 0), (2.0 * reference, reference),
                        (3.0 * reference, reference)]  # fmt: skip


async def test_yardsticks_read_the_stream_of_the_reference_once_more() -> None:
    chosen: tuple[YardstickName, ...] = ("q4", "embed-scale")
    store = await sweep(plan_of(PROMPTS[:4], yardsticks=chosen))
    kinds = set()
    for outcome in store.outcomes():
        q4, scale = outcome.yardsticks
        reference = outcome.streams[1].tokens
        assert scale == "It changes nothing."
        assert isinstance(q4, StreamOutcome)
        kinds.add(q4.outcome)
        fork = None if q4.outcome == "same" else reference - 2
        assert (q4.first_divergent_token, q4.full_kl) == (fork, 0.5 * reference)
        assert [s.full_kl_steps for s in outcome.streams] == [0] * len(outcome.streams)
    assert kinds == {"same", "unverified"}
    both = await sweep(plan_of(PROMPTS[:4], yardsticks=chosen, full_kl=True, name="both"))
    assert [o.yardsticks for o in both.outcomes()] == [o.yardsticks for o in store.outcomes()]
    assert all(o.streams[2].full_kl_steps > 0 for o in both.outcomes())


async def test_choices_and_answers_reach_the_statistics() -> None:
    rows = [
        {"prompt": f"prompt {n}", "choices": ["a", "b"], "answer": n % 2, "id": f"q{n}"}
        for n in range(4)
    ]
    store = await sweep(plan_of(rows))
    assert [o.streams[0].correct for o in store.outcomes()] == [True, False, True, False]


async def test_sampling_uses_other_random_numbers_for_each_prompt_and_goes_on_with_them() -> None:
    plan = plan_of(PROMPTS[:4], temperature=0.5)
    engines = SweepEngines(20)
    store = await sweep(plan, engines)
    seeds = {c.prompt: c.settings.seed for e in engines.engines for c in e.compared}
    first = store.header.settings.seed
    assert first is not None
    assert seeds == {f"prompt {n}": first + n for n in range(4)}


async def test_a_slow_pattern_fails_its_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gelu_tui.sweep.answer_text.TIME_LIMIT_S", 0.05)
    rows = [
        {"prompt": "one", "answer": r"^( |\d|\d\d| \d\d?)+!", "match": "regex"},
        {"prompt": "two", "answer": r"\d", "match": "regex"},
    ]
    store = await sweep(plan_of(rows, max_tokens=100))
    errors = [f.error for f in store.failed()]
    finished = [o.id for o in store.outcomes()]
    assert "1" in finished and all("takes longer than" in error for error in errors)


# --- engines that die -----------------------------------------------------------------------------


async def test_an_engine_that_dies_takes_nothing_with_it() -> None:
    quiet = await sweep(plan_of(name="quiet"))
    told = Told(plan := plan_of(name="loud"))
    session = SweepSession(plan, told, engine_command=SweepEngines(60))
    await session.run()
    assert session.store is not None and same(session.store, quiet)
    assert told.count(e.EngineLost) == 1


async def test_a_prompt_that_kills_the_engine_twice_is_recorded() -> None:
    prompts = [*PROMPTS[:5], "this dies", *PROMPTS[5:], "that dies"]
    engines = SweepEngines()
    store = await sweep(plan_of(prompts), engines)
    failed = {f.number: f.error for f in store.failed()}
    message = "The engine died twice on this prompt: The engine was killed by a signal (SIGKILL)"
    assert list(failed) == [5, 13]
    assert all(error.startswith(message[:37]) for error in failed.values())
    quiet = await sweep(plan_of(PROMPTS))
    streams = [outcome.streams for outcome in store.outcomes()]
    assert streams == [outcome.streams for outcome in quiet.outcomes()]
    done_again = [engines.compared.count(prompt) for prompt in PROMPTS]
    assert max(done_again) <= 6  # with one that dies: all together, in a half, in a quarter


async def test_an_engine_that_always_dies_ends_the_sweep() -> None:
    plan = plan_of()
    session = SweepSession(plan, lambda _: None, engine_command=SweepEngines(*[6] * 50))
    with pytest.raises(GeluError, match="The engine"):
        await session.run()
    assert session.store is not None and list(session.store.outcomes()) == []
    assert same(await sweep(plan), await sweep(plan_of(name="other")))


SOME = [*PROMPTS[:6], "it fails"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, PromptOutcome]:
    """The outcomes of `SOME` by number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        return {found.number: found for found in asyncio.run(sweep(plan_of(SOME))).outcomes()}


@settings(max_examples=8)
@given(st.lists(st.integers(3, 60), min_size=1, max_size=4))
def test_engines_that_die_at_any_moment(
    tmp_path_factory: pytest.TempPathFactory,
    undisturbed: dict[int, PromptOutcome],
    deaths: list[int],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        store = asyncio.run(_whatever_it_takes(plan_of(SOME), deaths))
        found = {outcome.number: outcome for outcome in store.outcomes()}
        failed = {f.number: f.error for f in store.failed()}
    assert sorted([*found, *failed]) == list(range(7))
    assert all(undisturbed[number] == outcome for number, outcome in found.items())
    blamed = [error for error in failed.values() if "died twice" in error]
    assert len(blamed) == len(failed) - 1 <= len(deaths) // 2


async def _whatever_it_takes(plan: Plan, deaths: list[int]) -> SweepStore:
    """Run until it is done, again where the engines' deaths ended the sweep."""
    engines = SweepEngines(*deaths)
    for _ in range(10):
        session = SweepSession(plan, Told(plan), engine_command=engines)
        try:
            await session.run()
        except GeluError:
            continue
        if session.error is None and session.store is not None:
            return session.store
    raise AssertionError


# --- stopping, and several at once ----------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 1, 5, 11])
async def test_stopped_it_keeps_what_is_finished_and_goes_on(after: int) -> None:
    plan = plan_of()

    def stop(event: e.SweepEvent) -> None:
        if isinstance(event, e.PromptStarted) and told.count(e.PromptDone) >= after:
            session.stop()
        if isinstance(event, e.PromptDone) and told.count(e.PromptDone) >= after:
            session.stop()

    told = Told(plan, stop)
    engines = SweepEngines(hangs=PROMPTS[after:])
    session = SweepSession(plan, told, engine_command=engines)
    await session.run()
    assert session.store is not None and session.stopped
    kept = len(list(session.store.outcomes()))
    assert kept == after
    assert stored_document(session.store).status == "incomplete"
    again = SweepEngines()
    store = await sweep(plan, again)
    assert len(again.compared) == 12 - kept
    assert same(store, await sweep(plan_of(name="quiet")))


async def test_stopped_while_the_model_is_loaded() -> None:
    plan = plan_of()

    def stop(event: e.SweepEvent) -> None:
        if isinstance(event, e.EngineSaid):
            session.stop()

    session = SweepSession(plan, stop, engine_command=SweepEngines())
    await session.run()
    assert session.stopped and session.error is None


async def test_an_engine_that_does_not_listen_is_killed() -> None:
    plan = plan_of(["it"])

    def stop(event: e.SweepEvent) -> None:
        if isinstance(event, e.PromptStarted):
            session.kill()

    session = SweepSession(plan, stop, engine_command=SweepEngines(hangs=["it"]))
    await session.run()
    assert session.store is not None and list(session.store.outcomes()) == []


async def test_two_share_one_sweep() -> None:
    plan = plan_of([f"prompt {n}" for n in range(40)])
    engines = SweepEngines(step_s=0.001), SweepEngines(step_s=0.001)
    stores = await asyncio.gather(*(sweep(plan, each) for each in engines))
    done = [each.compared for each in engines]
    assert sorted(done[0] + done[1]) == sorted(f"prompt {n}" for n in range(40))
    assert all(done)
    assert all(is_complete(store) for store in stores)
    assert same(stores[0], await sweep(plan_of([f"prompt {n}" for n in range(40)], name="one")))


async def test_the_second_one_takes_over_what_the_first_lets_go_of() -> None:
    """All prompts are with the first, which is stopped: the second waits, and then does them."""
    plan = plan_of(PROMPTS[:3])

    def stop(event: e.SweepEvent) -> None:
        if isinstance(event, e.Waiting):
            first.stop()

    has_begun = asyncio.Event()

    def note(event: e.SweepEvent) -> None:
        if isinstance(event, e.PromptStarted):
            has_begun.set()

    slow = SweepEngines(step_s=30.0)
    first = SweepSession(plan, note, engine_command=slow)
    began = asyncio.create_task(first.run())
    await has_begun.wait()
    told = Told(plan, stop)
    second = SweepSession(plan, told, engine_command=SweepEngines())
    await asyncio.gather(began, second.run())
    assert second.store is not None and is_complete(second.store)
    assert told.count(e.Waiting) >= 1


async def test_restarted_the_earlier_results_keep_another_name() -> None:
    plan = plan_of(PROMPTS[:3])
    before = await sweep(plan)
    engines = SweepEngines()
    after = await sweep(plan, engines, anew=True)
    assert len(engines.compared) == 3 and after.id == before.id == plan.id
    (kept,) = (folder for folder in after.folder.parent.iterdir() if folder.name != plan.id)
    assert kept.name.startswith(f"{plan.id}-until-")
    assert same(SweepStore.open(kept), after)
