"""What if, from the fork view: asked, followed, stopped, refused, saved, of runs of all kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.history import History
from gelu_tui.tui.engine_link.session import Phase
from gelu_tui.tui.fork.screen import ForkScreen
from tests.support.driving import PROMPT, Driven, driven, ready

FAST = "gelu_fast_approx"
PARTS = (
    "What if: Given gelu_approx's token, gelu_fast_approx goes on as gelu_approx does for 6 tokens "
    "and parts again at token 17."
)


@pytest.fixture(autouse=True)
def own_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


async def finished(it: Driven) -> None:
    await it.type(PROMPT)
    await it.press("enter")
    await it.until_finished()


async def to_fork(it: Driven, name: str = FAST) -> None:
    """Open the fork view, and go to the fork of a stream."""
    await it.press("f7")
    await it.until(lambda: isinstance(it.app.screen, ForkScreen), "the fork")
    screen = it.app.screen
    assert isinstance(screen, ForkScreen)
    for _ in screen.comparison.streams:
        if screen.comparison.streams[screen.stream_index].name == name:
            break
        await it.press("n")
    await it.until_shown(f"{name} against")


def what_if(document: ComparisonDocument, name: str = FAST) -> Any:
    fork = next(variant.fork for variant in document.variants if variant.name == name)
    return fork.what_if if fork is not None else None


async def once_saved(it: Driven, name: str = FAST, forks: int = 1) -> ComparisonDocument:
    """The only run of the history, once a fork of it was tried so many times."""
    history, found = History(), list[ComparisonDocument]()

    def is_there() -> bool:
        found[:] = [history.load(entry.id) for entry in history.entries()]
        tried = what_if(found[0], name) if len(found) == 1 else None
        return tried is not None and len(tried.given) == forks

    await it.until(is_there, f"the answer for {name} is saved", every_s=0.1)
    return found[0]


async def test_a_fork_is_tried_and_again_until_the_end() -> None:
    async with ready("five", max_tokens=40) as it:
        await finished(it)
        await to_fork(it)
        await it.press("w")
        await it.until_shown(
            PARTS,
            "w gives gelu_fast_approx that token too.",
            "At token 17 gelu_approx took",
            "● ␣other17 other18",
        )
        first = await once_saved(it)
        assert what_if(first).step == 17 and what_if(first).explanation in PARTS
        for forks in (2, 3, 4):
            await it.press("w")
            await once_saved(it, forks=forks)
        await it.until_shown(
            "Given gelu_approx's tokens at 10, 17, 24 and 31, gelu_fast_approx goes on as "
            "gelu_approx does for 6 tokens and parts again at token 38."
        )
        await it.press("w")
        await it.until_shown(
            "tokens at 5 forks from 10 to 38, gelu_fast_approx goes on as gelu_approx does for 1 "
            "token, to the end of its stream: these 5 forks are all that there is between them."
        )
        assert "w gives" not in it.flat()
        await it.press("w")
        await it.until_shown("What if: This has been tried to the end of the reference's stream.")
        # what else was known stays
        whole = await once_saved(it, forks=5)
        assert whole.status == "completed"
        assert [v.tokens for v in whole.variants] == [v.tokens for v in first.variants]


async def test_one_that_never_parts_again() -> None:
    async with ready("five", max_tokens=40) as it:
        await finished(it)
        await to_fork(it, "relu")
        await it.press("w")
        await it.until_shown(
            "Given gelu_approx's token, relu goes on as gelu_approx does for 39 tokens, to the "
            "end of its stream: the fork was a single close call."
        )
        await it.press("p")
        await it.until_shown("silu against")
        await it.until_gone("single close call")
        await it.press("w")
        await it.until_shown("silu parts again at token 2, the very next one.")


async def test_the_text_grows_and_w_stops_it() -> None:
    async with ready("long", max_tokens=60, step_s=0.02) as it:
        await finished(it)
        await to_fork(it, "relu")
        await it.press("w")
        await it.until_shown("What if: Trying the forks", "w stops it.", "is blue because")
        await it.press("w")
        await it.until_shown("where it was stopped.")
        await it.until(lambda: it.phase is Phase.READY, "the engine is free")
        stopped = await once_saved(it, "relu")
        assert what_if(stopped, "relu").finish_reason == "cancelled"
        await it.press("w")
        await it.until_shown("goes on as gelu_approx does for 59 tokens, to the end of its stream")


async def test_a_run_that_was_stopped_and_is_opened_from_the_history(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    async with ready("long", max_tokens=600, step_s=0.01) as it:
        await it.type(PROMPT)
        await it.press("enter")
        await it.until(lambda: len(it.comparison.streams[0].tokens) >= 20, "20 tokens")
        await to_fork(it)
        await it.press("w")
        await it.until_shown("What if: The run has not ended yet: w works when it has.")
        await it.press("q")
        await it.until(lambda: not isinstance(it.app.screen, ForkScreen), "back")
        await it.press("ctrl+g")
        await it.until(lambda: it.finished, "the run is stopped")
        await it.until(lambda: bool(History().entries()), "the run is saved", every_s=0.1)
    number = History().last()
    saved = History().load(number)
    async with driven("long", saved=saved, number=number) as it:
        await it.until_shown("saved run of")
        await to_fork(it)
        await it.press("w")
        await it.until_shown("6 tokens and parts again at token 17.")
        again = await once_saved(it)
        assert again.status == saved.status == "cancelled"
        assert [v.tokens for v in again.variants] == [v.tokens for v in saved.variants]
    async with driven("long", saved=again, number=number) as it:  # it is there without an engine
        await it.until_shown("saved run of")
        await to_fork(it)
        await it.until_shown("6 tokens and parts again at token 17.")


@pytest.mark.parametrize(("scenario", "said"), [
    ("compare_error", "What if: Memory ran out. Close programs."),
    ("dies", "What if: The engine was killed (SIGKILL)"),
])  # fmt: skip
async def test_what_fails_says_why_and_nothing_is_lost(scenario: str, said: str) -> None:
    async with ready("five", max_tokens=40) as it:
        await finished(it)
        document = await saved_run(it)
    async with driven(scenario, saved=document, number=History().last()) as it:
        await it.until_shown("saved run of")
        await to_fork(it, "relu")  # of token 0: the engine dies at token 6
        await it.press("w")
        await it.until_shown(said)
        assert [s.tokens for s in it.comparison.streams] == [v.tokens for v in document.variants]
        (entry,) = History().entries()
        assert History().load(entry.id) == document


async def saved_run(it: Driven) -> ComparisonDocument:
    history = History()
    await it.until(lambda: len(history.entries()) == 1, "the run is saved", every_s=0.1)
    number = history.last()
    assert number is not None
    return history.load(number)


async def test_where_the_reference_ended_there_is_nothing_to_give() -> None:
    async with ready("five", max_tokens=40) as it:
        await finished(it)
        document = await saved_run(it)
    fork = document.variants[2].fork
    assert fork is not None
    for reason, said in (
        ("stop", "At token 10 gelu_approx ended: there is no token of it to go on from."),
        ("cancelled", "Token 10 is gelu_approx's last one: nothing follows to compare with."),
    ):
        reference = document.variants[1]
        cut = replace(
            reference,
            tokens=reference.tokens[:11],
            steps=reference.steps[:11],
            text="".join(step.text for step in reference.steps[:11]),
            finish_reason=reason,
        )
        variants = [document.variants[2], cut]
        async with driven("five", saved=replace(document, variants=variants, settings=replace(
            document.settings, activations=(FAST, "gelu_approx")))) as it:  # fmt: skip
            await it.until_shown("saved run of")
            await to_fork(it)
            await it.press("w")
            await it.until_shown(f"What if: {said}")
