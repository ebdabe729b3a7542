"""Type, run, watch, stop, run again."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace
from textual import events

from gelu_tui.tui.compare.board import Board
from gelu_tui.tui.compare.prompt import Prompt
from gelu_tui.tui.engine_link.session import Phase
from gelu_tui.tui.text_view.pane import TokenPane
from tests.support.comparisons import run_document
from tests.support.driving import PROMPT, driven, ready


async def test_a_prompt_is_typed_and_run_with_enter() -> None:
    async with ready() as it:
        await it.type(PROMPT)
        await it.press("enter")
        await it.until_finished()
        assert it.comparison.prompt == PROMPT
        assert [stream.name for stream in it.comparison.streams] == [
            "gelu",
            "gelu_approx",
            "gelu_fast_approx",
            "silu",
            "relu",
        ]
        shown = it.screen()
        for text in ("the reference", "identical (40 tokens)", "diverges at 10", "diverges at 1 "):
            assert text in shown, shown
        assert "done · demo · float32 · lockstep · cpu" in shown
        assert "tok/s in all" in shown
        assert "gelu_approx ◆ native" in shown


async def test_the_first_divergent_token_is_marked_and_the_shared_prefix_is_quiet() -> None:
    async with driven(prompt=PROMPT, activations=("gelu_approx", "gelu_fast_approx")) as it:
        await it.until_finished()
        reference, variant = it.app.compare.query(TokenPane)
        line = [seg for y in range(3) for seg in variant.render_line(y)]
        quiet = "".join(seg.text for seg in line if seg.style and seg.style.dim)
        marked = [seg for seg in line if "►light" in seg.text]
        assert "Rayleigh" in quiet
        assert " scattering" not in quiet
        assert len(marked) == 1
        assert marked[0].style is not None
        assert marked[0].style.bold
        assert marked[0].style.bgcolor != reference.rich_style.bgcolor
        assert not any(seg.style and seg.style.dim for seg in reference.render_line(0))


async def test_streams_are_shown_while_they_grow() -> None:
    async with ready("long", step_s=0.05, max_tokens=2000) as it:
        await it.type("x")
        await it.press("ctrl+r")
        await it.until_shown("The sky is")
        assert it.phase is Phase.RUNNING
        await it.until_shown("same so far")
        await it.until_shown("/2000")
        assert "running" in it.screen()
        await it.until(lambda: re.search(r"\d\d\.\d tok/s · avg", it.screen()), "live rates")


async def test_a_prompt_given_on_the_command_line_runs_at_once_and_stands_in_the_field() -> None:
    async with driven(prompt=PROMPT) as it:
        await it.until_finished()
        assert it.app.compare.query_one(Prompt).text == PROMPT
        assert it.comparison.prompt == PROMPT


async def test_a_run_pressed_while_the_model_loads_is_queued() -> None:
    async with driven("slow_load", step_s=0.1) as it:
        await it.type("hello")
        await it.press("enter")
        await it.until_shown("The run is queued: it starts as soon as the model is ready.")
        await it.until_shown("Downloading model.safetensors")
        assert "MB of 243 MB" in it.screen()
        assert "12.5 MB/s" in it.screen()
        await it.until_finished()
        assert "queued" not in it.screen()
        assert it.comparison.prompt == "hello"


async def test_a_run_that_takes_the_place_of_another_says_so() -> None:
    async with ready("long", step_s=0.05, max_tokens=2000) as it:
        await it.type("x")
        await it.press("enter")
        await it.until_shown("same so far")
        await it.type("y")
        await it.press("enter")
        await it.until_shown(
            "A run is going on. Enter again replaces it; the old one is kept in the history."
        )
        await it.press("enter")
        await it.until(lambda: it.comparison.prompt == "xy", "the second run")
        await it.until_shown("The previous run was stopped for this one; it is in the history.")
        await it.press("ctrl+g")
        await it.until(lambda: it.phase is Phase.READY, "stopped")
        await it.press("enter")
        await it.until(lambda: it.phase is Phase.RUNNING, "the third run")
        assert "was stopped for this one" not in it.screen()


async def test_a_queued_run_can_be_withdrawn() -> None:
    async with driven("slow_load", step_s=0.1) as it:
        await it.type("hello")
        await it.press("enter", "ctrl+g")
        await it.until_shown("The queued run is withdrawn")
        await it.until(lambda: it.phase is Phase.READY, "the model is loaded")
        assert it.app.compare.comparison is None


async def test_stop_keeps_what_was_shown_and_run_starts_again() -> None:
    async with ready("long", step_s=0.05, max_tokens=2000) as it:
        await it.type("x")
        await it.press("enter")
        await it.until_shown("The sky is")
        await it.press("ctrl+g")
        await it.until_finished()
        assert it.comparison.status is not None
        assert it.comparison.status == "cancelled"
        assert "stopped" in it.screen()
        assert "The sky is" in it.screen()
        first = it.comparison
        await it.press("enter")
        await it.until(lambda: it.app.compare.comparison is not first, "a second run")
        await it.until_shown("The sky is")


async def test_ctrl_c_stops_a_run_and_only_tells_how_to_quit_without_one() -> None:
    async with ready("long", step_s=0.05, max_tokens=2000) as it:
        await it.press("ctrl+c")
        await it.until_shown("Ctrl+Q quits")
        await it.type("x")
        await it.press("enter")
        await it.until_shown("The sky")
        await it.press("ctrl+c")
        await it.until_finished()
        assert it.comparison.status is not None
        assert it.comparison.status == "cancelled"


async def test_run_while_running_stops_and_runs_the_new_prompt() -> None:
    async with ready("long", step_s=0.05, max_tokens=2000) as it:
        await it.type("one")
        await it.press("enter")
        await it.until_shown("The sky")
        await it.type(" two")
        await it.press("ctrl+r")
        await it.until_shown("Ctrl+R again replaces it;")
        await it.press("ctrl+r")
        await it.until(lambda: it.comparison.prompt == "one two", "the new prompt is running")
        await it.press("ctrl+g")
        await it.until_finished()


@pytest.mark.parametrize(("key", "about"), [("enter", "replace"), ("f5", "reload")])
async def test_one_key_ends_no_run(key: str, about: str) -> None:
    async with driven("long", prompt="one", step_s=0.05, max_tokens=2000, save_runs=False) as it:
        notice = it.app.compare.notice
        await it.until(lambda: it.comparison.total_tokens, "tokens")
        first = it.comparison
        await it.press(key)
        await it.until(lambda: notice.about == about, "a question")
        assert "not saved." in str(notice.content)
        assert it.phase is Phase.RUNNING and it.app.engine.pending is None
        await it.press("ctrl+g")
        await it.until_finished()
        assert it.comparison is first
        assert not notice.about, "the run has ended by itself"


async def test_escape_stops_nothing() -> None:
    async with driven("long", prompt="one", step_s=0.05, max_tokens=2000) as it:
        await it.until(lambda: it.comparison.total_tokens, "tokens")
        await it.press("escape", "escape", "f6", "escape", "escape", "tab", "escape", "escape")
        seen = it.comparison.total_tokens
        await it.until(lambda: it.comparison.total_tokens > seen, "it goes on")
        assert it.phase is Phase.RUNNING
        await it.press("ctrl+g")
        await it.until_finished()


async def test_escape_leaves_a_load_alone() -> None:
    async with driven("slow_load", prompt="hello", step_s=0.1) as it:
        await it.until_shown("The run is queued")
        await it.press("escape", "escape")
        await it.until_finished()


async def test_the_forks_out_of_view_are_told_when_a_run_ends() -> None:
    names = ("gelu_approx", "silu", "relu")
    async with driven("long", prompt="x", activations=names, size=(80, 24), max_tokens=400) as it:
        await it.until_finished()
        await it.until_shown("2 forks are out of view: Ctrl+F goes through them.")
        await it.press("ctrl+f")
        await it.until(lambda: it.app.compare.board.forks_out_of_view() == 0, "they are in view")


async def test_at_another_size_the_forks_out_of_view_are_counted_again() -> None:
    async with driven(prompt="x", size=(80, 24)) as it:
        await it.until_shown("out of view")
        await it.pilot.resize_terminal(200, 50)
        await it.until_gone("out of view")
        assert not it.app.compare.board.forks_out_of_view()


async def test_forks_in_view_are_not_told() -> None:
    async with driven(prompt="x", size=(120, 36)) as it:
        await it.until_finished()
        assert not it.app.compare.board.forks_out_of_view()
        assert "out of view" not in it.flat()


async def test_an_empty_prompt_is_refused_in_a_sentence() -> None:
    async with ready() as it:
        await it.press("enter")
        await it.until_shown("The prompt is empty. Give some text to continue.")
        assert it.phase is Phase.READY


async def test_line_breaks_are_kept() -> None:
    async with ready() as it:
        await it.type("one")
        await it.press("ctrl+n")
        await it.type("two")
        assert it.app.compare.query_one(Prompt).text == "one\ntwo"
        await it.press("enter")
        await it.until_finished()
        assert it.comparison.prompt == "one\ntwo"


async def test_a_pane_becomes_the_reference_of_the_next_run() -> None:
    async with driven(prompt="x") as it:
        await it.until_finished()
        assert it.comparison.reference.name == "gelu_approx"
        await it.press("tab")
        await it.until(lambda: isinstance(it.app.focused, TokenPane), "a pane has the focus")
        await it.press("r")
        await it.until_shown("reference: gelu ·")
        await it.until(lambda: it.app.compare.board.perspective.reference == 0, "seen from gelu")
        await it.until_shown("the reference")
        await it.press("ctrl+r")
        await it.until(lambda: it.comparison.reference.name == "gelu", "the new reference")
        await it.until_finished()


async def test_a_function_with_limits_is_no_reference_of_the_next_run() -> None:
    names = ("gelu_approx", "relu@0-5,12", "silu@mlp")
    async with driven(prompt="x", activations=names, size=(80, 24)) as it:
        await it.until_finished()
        await it.until_shown("relu@0-5,12", "silu@mlp")
        await it.press("tab", "2", "r")
        await it.until_shown("Compared with relu@0-5,12 here; it has limits, so")
        await it.until(lambda: it.app.compare.board.perspective.reference == 1, "seen from it")
        assert it.app.compare.choices.reference is None
        await it.press("ctrl+r")
        await it.until_finished()
        assert it.comparison.reference.name == "gelu_approx"
    async with ready(activations=names) as it:
        await it.press("tab", "2", "r")
        await it.until_shown("relu@0-5,12 has limits, so it cannot be the reference.")


async def test_one_to_eight_panes() -> None:
    eight = ("gelu", "gelu_approx", "gelu_fast_approx", "silu", "relu", "relu2", "mish", "identity")
    for count in (1, 2, 8):
        async with driven(prompt="x", activations=eight[:count], size=(80, 24)) as it:
            await it.until_finished()
            assert len(it.app.compare.query_one(Board).panes) == count
            for name in eight[:count]:
                assert name in it.screen()


async def test_the_view_follows_the_tail_until_the_user_scrolls_up() -> None:
    async with ready(
        "long", step_s=0.002, activations=("gelu",), size=(60, 24), max_tokens=2000
    ) as it:
        await it.type("x")
        await it.press("enter")
        view = it.app.compare.query_one(TokenPane)
        await it.until(lambda: len(view.buffer) > 400, "a long text")
        assert view.view.at_end
        await it.press("tab")
        await it.until(lambda: view.has_focus, "the view has the focus")
        await it.press("pageup")
        await it.until(lambda: not view.view.follows, "scrolled up")
        place = view.view.offset
        longer = len(view.buffer) + 100
        await it.until(lambda: len(view.buffer) > longer, "more text")
        assert view.view.offset == place
        await it.press("end")
        await it.until(lambda: view.view.follows, "the end again")
        longer = len(view.buffer) + 100
        await it.until(lambda: len(view.buffer) > longer, "more text")
        assert view.view.at_end


async def test_a_maximised_pane_gives_way_to_another_number_of_panes() -> None:
    async with driven(prompt="x") as it:
        await it.until_finished()
        await it.press("tab")
        await it.until(lambda: isinstance(it.app.focused, TokenPane), "a pane has the focus")
        await it.press("z")
        await it.until(lambda: "2 gelu_approx" not in it.screen(), "one pane alone", every_s=0.1)
        assert "identical (40 tokens)" in it.screen()
        await it.app.compare.choose(replace(it.app.compare.choices, activations=("relu", "silu")))
        await it.press("ctrl+r")
        await it.until(lambda: len(it.comparison.streams) == 2, "two streams")
        await it.until_finished()
        assert "silu" in it.screen()
        assert "x" in it.screen().splitlines()[0]


async def test_help_lists_the_keys() -> None:
    async with ready() as it:
        await it.press("f1")
        await it.until_shown("From the prompt to the panes.")
        await it.press("enter")
        await it.until_shown("Type a prompt")


async def test_a_very_long_paste_stands_by_its_name_and_is_run_whole() -> None:
    long = "some words of a line\n" * 50_000
    async with ready() as it:
        field = it.app.compare.query_one(Prompt)
        await it.type("a ")
        field.post_message(events.Paste(long))
        await it.type("z")
        await it.until(lambda: field.text.endswith("z"), "the key after the paste")
        assert field.text == "a [text 1: 1,050,000 characters]z"
        await it.press("enter")
        await it.until_finished()
        assert it.comparison.prompt == f"a {long}z"
        await it.type("x")
        await it.press("up")
        await it.until(lambda: field.prompt == f"a {long}z", "the prompt before")
        assert "[text 2: 1,050,003 characters]" in it.screen()


async def test_a_long_text_that_holds_the_name_of_another_stays_as_it_is() -> None:
    first = "[text 2: 30,000 characters] ".ljust(30_000, "a")
    second = "b" * 30_000
    async with ready() as it:
        field = it.app.compare.query_one(Prompt)
        for text in (first, second):
            field.post_message(events.Paste(text))
        await it.until(lambda: "text 2" in field.text, "both are pasted")
        assert field.prompt == first + second


async def test_a_pasted_line_break_does_not_run() -> None:
    async with ready() as it:
        field = it.app.compare.query_one(Prompt)
        field.post_message(events.Paste("one\r\ntwo"))
        await it.until(lambda: field.text == "one\ntwo", "both lines")
        assert it.phase is Phase.READY


async def test_opening_a_saved_run_says_that_it_stopped_the_one_that_went_on() -> None:
    async with driven("long", prompt=PROMPT, step_s=0.05, max_tokens=2000) as it:
        await it.until(lambda: it.phase is Phase.RUNNING, "a run")
        await it.until(lambda: it.comparison.total_tokens, "tokens")
        await it.app.compare.show_saved(run_document("another prompt"))
        await it.until_shown("The present run was stopped. This is a saved run.")
        await it.app.compare.show_saved(run_document("a third one"))
        await it.until(lambda: "was stopped" not in it.flat(), "nothing was running")


async def test_opening_a_saved_run_withdraws_the_one_that_waits_for_the_model() -> None:
    async with driven("slow_load", prompt=PROMPT, step_s=1) as it:
        await it.until(lambda: it.app.engine.pending, "a queued run")
        await it.app.compare.show_saved(run_document("another prompt"))
        assert it.app.engine.pending is None
        await it.until_shown("The queued run is withdrawn. This is a saved run.")
