"""What goes wrong is a sentence; what was shown stays; one key goes on."""

from __future__ import annotations

import asyncio

import pytest

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.tui.app import GeluApp
from gelu_tui.tui.compare import screen, status_line
from gelu_tui.tui.engine_link.session import EngineEvent, Phase
from tests.support.driving import PROMPT, Driven, driven, ready


async def lost(it: Driven) -> None:
    await it.until(lambda: it.phase is Phase.LOST, "the engine is lost")


async def test_a_load_that_fails_is_told_and_f5_loads_again() -> None:
    async with driven("load_error") as it:
        await it.until_shown("There is no model named 'demo'. Check the name on the hub. F5 loads")
        assert it.phase is Phase.NO_MODEL
        await it.type("typing still works")
        # A fresh process would fail again; a run asks the living engine to load once more.
        await it.press("enter")
        await it.until_finished()


async def test_a_warning_of_a_loaded_model_is_told() -> None:
    async with ready("warns") as it:
        await it.until_shown("hidden_act in config.json is ignored.")


async def test_an_engine_that_dies_leaves_the_text_and_f5_starts_another() -> None:
    async with driven("dies", prompt=PROMPT) as it:
        await lost(it)
        await it.until_shown(
            "The engine was killed (SIGKILL): libc++abi: terminating",
            "F5 or a run starts a new engine.",
            "The sky is blue because of",
            "cut off",
        )
        it.engines.scenario = "five"
        await it.press("f5")
        await it.until(lambda: it.phase is Phase.READY, "the new engine is ready")
        await it.until_gone("killed")
        assert "The sky is blue because of" in it.flat()


async def test_after_a_death_a_run_restarts_the_engine_and_runs() -> None:
    async with driven("dies", prompt=PROMPT) as it:
        await lost(it)
        it.engines.scenario = "five"
        await it.press("enter")
        await it.until_finished()
        assert "diverges at 10" in it.screen()


async def test_garbage_is_told_safely_and_the_engine_is_ended() -> None:
    async with driven("garbage", prompt=PROMPT) as it:
        await lost(it)
        await it.until_shown("The engine sent a line it should not", "The sky is blue because of")
        assert "\x1b" not in it.screen()
        await it.until(lambda: not it.engines.started[0].running, "the engine is gone")


async def test_an_event_about_no_stream_counts_as_garbage() -> None:
    async with driven("bad_stream", prompt=PROMPT) as it:
        await lost(it)
        await it.until_shown("The engine sent an event about stream 99")
        await it.until(lambda: not it.engines.started[0].running, "the engine is gone")


async def test_an_engine_that_hangs_is_ended_by_one_more_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(screen, "_STOP_GRACE_S", 0.3)
    async with driven("hangs", prompt=PROMPT) as it:
        await it.until_shown("The sky is blue because")
        await it.press("ctrl+g")
        assert it.phase is Phase.STOPPING
        await it.until_shown("Ctrl+G once more ends it and starts a new one.")
        await it.press("ctrl+g")
        await it.until(lambda: not it.engines.started[0].running, "the hung engine is gone")
        await it.until(lambda: it.phase is Phase.READY, "the new engine is ready")
        assert "The sky is blue because" in it.flat()


async def test_silence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_line, "_SILENCE_S", 0.2)
    async with driven("hangs", prompt=PROMPT) as it:
        await it.until_shown("silent for")


async def test_an_engine_command_that_cannot_be_started_is_told() -> None:
    async with driven(engine_command="/no/such/engine --fast") as it:
        await it.until_shown("cannot be started")
        assert it.phase is Phase.LOST
        await it.type("x")
        assert "x" in it.screen()


async def test_another_protocol_version_is_told() -> None:
    async with driven("old_protocol") as it:
        await it.until_shown("The engine speaks protocol version 999")


async def test_a_run_that_is_refused_leaves_the_engine_ready() -> None:
    async with ready("compare_error") as it:
        await it.type("x")
        await it.press("enter")
        await it.until_shown("The prompt has 40000 tokens, the model reads 32768. Shorten it.")
        assert it.phase is Phase.READY


async def test_one_stream_may_fail_alone() -> None:
    async with driven("stream_error", prompt=PROMPT) as it:
        await it.until_finished()
        assert "The logits are not finite. Try float32." in it.flat()
        assert "same so far (40 tokens)" in it.screen()


async def test_a_load_can_be_stopped_and_done_again() -> None:
    async with driven("slow_load", step_s=0.1) as it:
        await it.until_shown("Downloading")
        await it.press("ctrl+g")
        await it.until_shown("The load was stopped. F5 loads the model again.")
        assert it.phase is Phase.NO_MODEL
        it.engines.step_s = 0.0
        await it.press("f5")
        await it.until(lambda: it.phase is Phase.READY, "the model is loaded")


async def test_a_run_that_is_stopped_before_it_began_is_not_told_as_a_load() -> None:
    async with ready() as it:
        client = it.app.engine.client
        assert client is not None
        it.app.post_message(EngineEvent(client, p.Cancelled("compare")))
        await it.until_shown("The run was stopped before it began.")
        assert it.phase is Phase.READY


async def test_a_run_that_made_room_for_the_present_one_is_not_told_as_stopped() -> None:
    async with driven("long", prompt=PROMPT, step_s=0.05, max_tokens=2000) as it:
        await it.until_shown("The sky")
        compare = it.app.compare
        compare.notice.clear()
        await compare.engine_event(p.Cancelled("compare"))
        assert it.phase is Phase.RUNNING
        assert not compare.notice.has_class("-shown")


async def test_a_late_answer_to_an_older_command_does_not_end_the_run() -> None:
    async with driven("long", prompt=PROMPT, step_s=0.05, max_tokens=2000) as it:
        await it.until_shown("The sky")
        client = it.app.engine.client
        assert client is not None
        error = ErrorInfo("internal", "An older command failed.")
        for late in (p.Failed(error, "compare", id=1), p.Cancelled("compare", id=1)):
            it.app.post_message(EngineEvent(client, late))
        tokens = it.comparison.total_tokens
        await it.until(lambda: it.comparison.total_tokens > tokens, "the run goes on")
        assert it.phase is Phase.RUNNING
        assert it.app.compare.live
        assert "An older command failed" not in it.flat()
        run = it.app.engine.job
        it.app.post_message(EngineEvent(client, p.Failed(error, "compare", id=run)))
        await it.until_shown("An older command failed")


async def test_a_late_word_of_a_replaced_engine_is_ignored() -> None:
    async with driven("long", prompt=PROMPT, step_s=0.05, max_tokens=2000) as it:
        await it.until_shown("The sky")
        await it.press("f5")
        await it.until(lambda: it.app.compare.notice.about == "reload", "a question")
        await it.press("f5")
        await it.until(lambda: it.phase is Phase.READY, "the new engine is ready")
        tokens = it.comparison.total_tokens
        await asyncio.sleep(0.3)
        assert it.comparison.total_tokens == tokens
        assert "cut off" in it.screen()


async def test_the_engine_starts_even_if_nothing_is_called_after_the_first_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(GeluApp, "call_after_refresh", lambda *_: False)
    async with driven(prompt="x") as it:
        await it.until(lambda: it.phase is not Phase.STARTING, "the engine has answered")
