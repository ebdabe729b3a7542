"""A run that has ended goes on, and its forks are replayed: live, reopened, stopped, refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.history import History
from gelu_tui.tui.engine_link.session import Phase
from gelu_tui.tui.fork.screen import ForkScreen
from tests.support.driving import PROMPT, Driven, driven, ready

LONG = 60


@pytest.fixture(autouse=True)
def own_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def tokens(comparison: Comparison | ComparisonDocument) -> list[list[int]]:
    streams = comparison.streams if isinstance(comparison, Comparison) else comparison.variants
    return [stream.tokens for stream in streams]


async def stopped(it: Driven, after: int) -> None:
    """Run the prompt and stop it when its streams have so many tokens."""
    await it.type(PROMPT)
    await it.press("enter")
    await it.until(lambda: len(it.comparison.streams[0].tokens) >= after, f"{after} tokens")
    await it.press("ctrl+g")
    await it.until(lambda: it.finished, "the run is stopped")
    assert it.comparison.status == "cancelled"


def is_recomputing(it: Driven) -> bool:
    progress = it.app.engine.progress
    return progress is not None and progress.phase == "recompute"


async def once_saved(it: Driven, check: Any, what: str) -> ComparisonDocument:
    """The only run of the history, once the check holds of it."""
    history = History()
    found: list[ComparisonDocument] = []

    def holds() -> bool:
        found[:] = [history.load(entry.id) for entry in history.entries()]
        return len(found) == 1 and bool(check(found[0]))

    await it.until(holds, f"the history has one run, {what}", every_s=0.1)
    return found[0]


@pytest.fixture
async def undisturbed() -> list[list[int]]:
    async with ready("long", max_tokens=LONG, save_runs=False) as it:
        await it.type(PROMPT)
        await it.press("enter")
        await it.until_finished()
        return tokens(it.comparison)


async def test_a_stopped_run_goes_on_to_its_limit(undisturbed: list[list[int]]) -> None:
    async with ready("long", max_tokens=LONG, step_s=0.02) as it:
        await stopped(it, 8)
        before = await once_saved(it, lambda run: run.status == "cancelled", "stopped")
        assert {v.fork.verdict for v in before.variants if v.fork} == {"unverified"}
        await it.press("tab", "k")
        await it.until(lambda: it.comparison.status == "completed", "it has gone on")
        assert tokens(it.comparison) == undisturbed
        assert "unverified" not in {s.fork.verdict for s in it.comparison.streams if s.fork}
        whole = await once_saved(it, lambda run: run.status == "completed", "whole")
        assert tokens(whole) == undisturbed
        assert whole.created == before.created
        assert {v.finish_reason for v in whole.variants} == {"length"}


async def test_a_finished_run_gets_as_many_tokens_again() -> None:
    async with ready("long", max_tokens=15) as it:
        await it.type(PROMPT)
        await it.press("enter")
        await it.until_finished()
        first = tokens(it.comparison)
        await it.press("tab", "k")
        await it.until(lambda: len(it.comparison.streams[0].tokens) == 30, "15 tokens more")
        await it.until_finished()
        assert [stream[:15] for stream in tokens(it.comparison)] == first
        assert it.comparison.settings.max_tokens == 30
        await once_saved(it, lambda run: len(run.variants[0].tokens) == 30, "of 30 tokens")


async def test_a_saved_run_goes_on_and_loads_its_model(undisturbed: list[list[int]]) -> None:
    async with ready("long", max_tokens=LONG, step_s=0.02) as it:
        await stopped(it, 8)
        saved = await once_saved(it, lambda run: run.status == "cancelled", "stopped")
    (entry,) = History().entries()
    async with driven("long", saved=saved, number=entry.id, max_tokens=LONG) as it:
        await it.until_shown("saved run of")
        await it.press("k")
        await it.until(lambda: it.comparison.status == "completed", "it has gone on")
        assert tokens(it.comparison) == undisturbed
        whole = await once_saved(it, lambda run: run.status == "completed", "whole")
        assert tokens(whole) == undisturbed
        assert History().entries()[0].id == entry.id


async def test_what_cannot_go_on_says_why_and_is_left_as_it_is() -> None:
    async with ready("long", max_tokens=15) as it:
        await it.press("tab", "k")
        await it.until_shown("There is no run to continue")
        await it.press("shift+tab")
        await it.type(PROMPT)
        await it.press("enter")
        await it.until_finished()
        run = await once_saved(it, lambda run: run.status == "completed", "whole")
        other = replace(run, model=replace(run.model, id="google/gemma-3-1b"))
        await it.app.compare.show_saved(other, number=History().last())
        await it.press("k")
        await it.until_shown("This run was made with google/gemma-3-1b, and demo is loaded.")
        assert tokens(it.comparison) == tokens(run)
        assert it.comparison.status == "completed"
    async with ready("five", max_tokens=80) as it:
        await it.type(PROMPT)
        await it.press("enter")
        await it.until_finished()
        await it.press("tab", "k")
        await it.until_shown("All streams of this run have ended by themselves")


async def test_one_that_is_stopped_before_it_goes_on_is_left_as_it_is() -> None:
    async with ready("long", max_tokens=20, step_s=0.2) as it:
        await stopped(it, 8)
        before = tokens(it.comparison)
        await it.press("tab", "k")
        await it.until(lambda: is_recomputing(it), "its tokens are decoded again")
        await it.press("ctrl+g")
        await it.until_shown("The run was stopped before it")
        assert it.phase is Phase.READY
        assert tokens(it.comparison) == before
        await once_saved(it, lambda run: tokens(run) == before, "as it was stopped")


async def test_a_new_run_in_its_place_does_not_get_its_tokens() -> None:
    async with ready("long", max_tokens=20, step_s=0.05) as it:
        await stopped(it, 12)
        await it.press("tab", "k")
        await it.until(lambda: is_recomputing(it), "its tokens are decoded again")
        await it.press("shift+tab", "x", "enter", "enter")
        await it.until(lambda: it.comparison.prompt.endswith("x"), "the other run")
        await it.until(lambda: it.finished, "the other run has ended")
        assert [len(stream) for stream in tokens(it.comparison)] == [20] * 5
        assert it.comparison.status == "completed"


async def test_forks_of_a_stopped_run_are_replayed_and_saved() -> None:
    async with ready("long", max_tokens=LONG, step_s=0.02) as it:
        await stopped(it, 12)
        saved = await once_saved(it, lambda run: run.status == "cancelled", "stopped")
        await it.press("f7")
        await it.until(lambda: isinstance(it.app.screen, ForkScreen), "the fork")
        await it.until_shown("r does it now")
        await it.press("r")
        await it.until_shown("Verdict: tie")
        verdicts = {s.name: s.fork.verdict for s in it.comparison.streams if s.fork}
        assert "unverified" not in verdicts.values()
        assert it.comparison.status == "cancelled", "it is a stopped run still"
        whole = await once_saved(
            it, lambda run: all(v.fork.replay for v in run.variants if v.fork), "with verdicts"
        )
        assert whole.status == "cancelled"
        assert tokens(whole) == tokens(saved)
    # reopened: the same, in its own row
    History().save(saved, History().last())
    async with driven("long", saved=saved, number=History().last()) as it:
        await it.until_shown("saved run of")
        await it.press("f7")
        await it.until_shown("r does it now")
        await it.press("r")
        await it.until_shown("Verdict: tie")
        again = await once_saved(
            it, lambda run: all(v.fork.replay for v in run.variants if v.fork), "with verdicts"
        )
        assert again == whole


async def test_a_replay_that_fails_says_why_on_the_fork() -> None:
    async with ready("long", max_tokens=LONG, step_s=0.02) as it:
        await stopped(it, 12)
        saved = await once_saved(it, lambda run: run.status == "cancelled", "stopped")
    async with driven("compare_error", saved=saved) as it:
        await it.until_shown("saved run of")
        await it.press("f7")
        await it.until_shown("r does it now")
        await it.press("r")
        await it.until_shown("Memory ran out", "r does it now")
