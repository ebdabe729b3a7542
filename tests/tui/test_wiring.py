"""The screens beside the comparison: opened by their keys, and what they bring taken back."""

from __future__ import annotations

import contextlib
import resource
import signal
import sqlite3
from pathlib import Path

import pytest
from textual.widgets import Input

from gelu_tui.core import paths
from gelu_tui.core.runs.history import History
from gelu_tui.core.runs.restore import read_document
from gelu_tui.tui.compare.prompt import Prompt
from gelu_tui.tui.engine_link import shown_run
from gelu_tui.tui.engine_link.session import Phase
from gelu_tui.tui.prompts.presets import PRESETS
from tests.support.comparisons import run_document
from tests.support.driving import FIVE, Driven, driven, ready
from tests.support.model_folders import model_folder
from tests.support.still import Still, still

GB = 1_000_000_000
FORKS = {
    "gelu_approx": ["The", " sky", " is", " blue", "."],
    "silu": ["The", " sky", " was", " grey", "."],
    "relu": ["The", " sky", " is", " red", "."],
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data and working directory of the test's own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(paths, "data_dir", lambda: tmp_path / "data")
    return tmp_path


async def until_screen(it: Driven, name: str) -> None:
    await it.until(lambda: type(it.app.screen).__name__ == name, f"{name} is shown")


def prompt(it: Driven) -> str:
    return it.app.compare.query_one(Prompt).text


# --- prompts --------------------------------------------------------------------------------------


async def test_a_preset_is_taken_into_the_prompt() -> None:
    async with ready() as it:
        await it.press("f3")
        await until_screen(it, "PromptsScreen")
        await it.until_shown(PRESETS[0].title)
        await it.press("enter")
        await until_screen(it, "CompareScreen")
        await it.until(lambda: prompt(it) == PRESETS[0].prompt, "the preset is in the field")
        await it.until(lambda: it.app.compare.query_one(Prompt).has_focus, "ready to run")
        await it.press("enter")
        await it.until_finished()
        assert it.comparison.prompt == PRESETS[0].prompt


async def test_leaving_the_prompts_keeps_what_was_typed() -> None:
    async with ready() as it:
        await it.type("mine")
        await it.press("f3")
        await until_screen(it, "PromptsScreen")
        await it.press("escape")
        await until_screen(it, "CompareScreen")
        assert prompt(it) == "mine"


# --- models ---------------------------------------------------------------------------------------


async def test_another_model_is_loaded_and_what_was_shown_stays(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))
    folder = model_folder(home / "other-gemma")
    async with driven(prompt="x") as it:
        await it.until_finished()
        before = it.comparison
        await it.press("f4")
        await until_screen(it, "ModelsScreen")
        await it.press("slash")
        await it.until(lambda: isinstance(it.app.focused, Input), "the field")
        field = it.app.focused
        assert isinstance(field, Input)
        field.value = str(folder)
        await it.press("enter")
        await it.until_shown("other-gemma")
        await it.until(lambda: not isinstance(it.app.focused, Input), "the list")
        await it.press("enter")
        await until_screen(it, "CompareScreen")
        await it.until(
            lambda: it.app.engine.loaded and it.app.engine.loaded.model.id == str(folder),
            "the other model is loaded",
        )
        assert it.app.engine.model == str(folder)
        assert it.comparison is before
        await it.press("ctrl+r")
        await it.until(lambda: it.comparison is not before, "a run on it")
        await it.until_finished()


# --- history --------------------------------------------------------------------------------------


async def test_a_saved_run_is_reopened_from_the_history_and_run_again() -> None:
    History().save(run_document("An older prompt", texts=FORKS))
    async with ready() as it:
        await it.press("f6")
        await until_screen(it, "HistoryScreen")
        await it.until_shown("An older prompt")
        await it.press("enter")
        await until_screen(it, "CompareScreen")
        await it.until(lambda: prompt(it) == "An older prompt", "its prompt")
        await it.until_shown("saved run of 2025-11-22")
        await it.until_shown("The sky ►was grey.")
        assert it.app.compare.shown.saved is not None
        await it.press("f6")
        await until_screen(it, "HistoryScreen")
        await it.until_shown("An older prompt")
        await it.press("r")
        await until_screen(it, "CompareScreen")
        await it.until_finished()
        assert it.app.compare.shown.saved is None
        assert [stream.name for stream in it.comparison.streams] == list(FORKS)
        assert it.comparison.settings.max_tokens == 256
        await it.until(lambda: len(History().entries("", 10)) == 2, "saved as a run of its own")


async def test_a_run_that_could_not_be_saved_is_saved_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shown_run, "_SAVE_AGAIN_S", 0.05)
    async with ready() as it:
        history = History(patience_s=0.05)
        it.app.services.history = history
        first = history.save(run_document("first"))
        with contextlib.closing(sqlite3.connect(history.path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            await it.type("later")
            await it.press("enter")
            await it.until_shown("The run could not be saved: another program has kept")
            await it.until(lambda: it.finished, "the run has ended")
            await it.type("last")
            await it.press("enter")
            await it.until(lambda: it.finished and it.comparison.prompt != "later", "the next")
        await it.until_shown("The run that could not be saved is saved now.")
        await it.until(lambda: len(history.entries()) == 3, "both are saved")
        assert history.last() == first + 2


async def test_what_is_not_saved_when_the_app_ends_is_tried_once_more() -> None:
    async with ready() as it:
        history = History(patience_s=0.05)
        it.app.services.history = history
        history.save(run_document("first"))
        with contextlib.closing(sqlite3.connect(history.path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            for prompt in ("one", "two"):
                await it.type(prompt)
                await it.press("enter")
                await it.until(
                    lambda p=prompt: it.finished and it.comparison.prompt.endswith(p), prompt
                )
    assert len(history.entries()) == 3


async def test_a_run_that_ends_meanwhile_comes_into_the_open_history() -> None:
    History().save(run_document("An older prompt", texts=FORKS))
    async with driven("long", prompt="new", step_s=0.2, max_tokens=600) as it:
        await it.until(lambda: it.app.compare.comparison is not None, "a run")
        await it.until(lambda: it.comparison.total_tokens, "a token")
        await it.press("f6")
        await until_screen(it, "HistoryScreen")
        await it.until_shown("History · 1 run ")
        await it.press("f1")
        await until_screen(it, "HelpScreen")
        await it.app.compare.action_stop()
        await it.until(lambda: len(History().entries()) == 2, "saved")
        await it.press("q")
        await it.until_shown("History · 2 runs")
        await it.press("enter")
        await it.until(lambda: prompt(it) == "An older prompt", "the chosen run stayed chosen")


async def test_reopening_while_a_run_goes_on_stops_and_saves_it() -> None:
    History().save(run_document("An older prompt", texts=FORKS))
    async with driven("long", prompt="new", step_s=0.1, max_tokens=600) as it:
        await it.until(lambda: it.app.compare.comparison is not None, "a run")
        await it.until(lambda: it.comparison.total_tokens > 20, "tokens")
        await it.press("f6")
        await until_screen(it, "HistoryScreen")
        await it.until_shown("An older prompt")
        await it.press("enter")
        await it.until_shown("saved run of 2025-11-22")
        await it.until(lambda: it.phase is Phase.READY, "the run has ended")

        def entries() -> list[tuple[str, str]]:
            return [(entry.prompt, entry.status) for entry in History().entries("", 10)]

        await it.until(lambda: ("new", "cancelled") in entries(), "the part that there was")
        assert it.app.compare.shown.saved is not None
        assert it.comparison.prompt == "An older prompt"


async def test_a_saved_run_opens_without_an_engine_and_a_run_starts_one() -> None:
    async with still(FORKS, activations=tuple(FORKS)) as it:
        assert it.phase is Phase.ASLEEP
        assert it.app.engine.client is None
        await it.until_shown("saved run of 2025-11-22")
        await it.press("tab")
        await it.press("ctrl+r")
        await it.until(lambda: it.finished, "a run")
        assert it.app.compare.shown.saved is None
        assert it.comparison.prompt == "Why is the sky blue?"
        await it.until(lambda: len(History().entries("", 10)) == 1, "the new run alone is saved")


# --- fork and matrix ------------------------------------------------------------------------------


async def test_the_fork_screen_goes_back_to_the_stream_that_was_looked_at() -> None:
    async with still(FORKS) as it:
        await it.go(1)
        await it.press("f7")
        await until_screen(it, "ForkScreen")
        await it.until_shown("silu against gelu_approx")
        await it.press("n")
        await it.until_shown("relu against gelu_approx")
        await it.press("q")
        await until_screen(it, "CompareScreen")
        await it.until(lambda: it.board.chosen == 2, "that pane")


async def test_the_matrix_opens_forks_and_chooses_the_reference() -> None:
    async with still(FORKS) as it:
        await it.go(0)
        await it.press("f8")
        await until_screen(it, "MatrixScreen")
        await it.press("enter")
        await until_screen(it, "ForkScreen")
        await it.press("q")
        await until_screen(it, "CompareScreen")
        await it.press("f8")
        await until_screen(it, "MatrixScreen")
        await it.press("down", "r")
        await until_screen(it, "CompareScreen")
        await it.until(lambda: not it.board.perspective.of_run, "another reference")
        assert "the reference" in it.head(it.board.perspective.reference)


@pytest.mark.parametrize("key", ["f7", "f8"])
async def test_without_a_comparison_there_is_no_fork_and_no_matrix(key: str) -> None:
    async with ready() as it:
        await it.press(key)
        await it.type("still typing")
        await it.until(lambda: prompt(it) == "still typing", "nothing was opened")


# --- what the model is fed ------------------------------------------------------------------------


async def test_the_fed_text_before_and_after_a_run() -> None:
    async with ready() as it:
        await it.press("f9")
        await it.until_shown("The prompt is empty.")
        await it.type("Why is")
        for _ in ("before", "after"):
            await it.press("f9")
            await until_screen(it, "FedTextScreen")
            await it.until_shown("<bos>Why·is")
            await it.press("q")
            await until_screen(it, "CompareScreen")
            await it.press("enter")
            await it.until_finished()


async def test_the_fed_text_of_the_prompt_that_runs_and_of_another() -> None:
    async with driven("long", prompt="Why is", step_s=0.2, max_tokens=600) as it:
        await it.until(lambda: it.app.compare.comparison is not None, "a run")
        await it.until(lambda: it.phase is Phase.RUNNING, "it runs")
        await it.press("f9")
        await until_screen(it, "FedTextScreen")
        await it.until_shown("Why·is")
        assert it.phase is Phase.RUNNING
        await it.press("q")
        await until_screen(it, "CompareScreen")
        await it.type(" it")
        await it.press("f9")
        await until_screen(it, "FedTextScreen")
        await it.until_shown("What the model is fed")
        await it.press("q")
        await until_screen(it, "CompareScreen")
        await it.press("ctrl+g")
        await it.until(lambda: it.phase is Phase.READY, "stopped")
        await it.press("f9")
        await it.until_shown("<bos>Why·is·it")


async def test_the_fed_text_is_there_when_help_over_it_is_closed() -> None:
    async with driven("long", prompt="Why is", step_s=0.2, max_tokens=600) as it:
        await it.until(lambda: it.app.compare.comparison is not None, "a run")
        await it.type(" it")
        await it.press("f9")
        await it.until_shown("it answers when the run has ended")
        await it.press("f1")
        await until_screen(it, "HelpScreen")
        await it.app.compare.action_stop()
        await it.until(lambda: it.phase is Phase.READY, "stopped")
        await it.press("q")
        await until_screen(it, "FedTextScreen")
        await it.until_shown("<bos>Why·is·it")


async def test_a_lost_engine_is_told_where_its_answer_is_waited_for() -> None:
    async with driven("long", prompt="Why is", step_s=0.2, max_tokens=600) as it:
        await it.until(lambda: it.app.compare.comparison is not None, "a run")
        await it.type(" it")
        await it.press("f9")
        await it.until_shown("it answers when the run has ended")
        it.engines.started[0].kill()
        await it.until_shown("✗ The engine was killed (SIGKILL)")
        assert type(it.app.screen).__name__ == "FedTextScreen"


async def test_the_fed_text_needs_a_model() -> None:
    async with driven("slow_load", step_s=0.05) as it:
        await it.until(lambda: it.phase is Phase.LOADING, "it loads")
        await it.type("x")
        await it.press("f9")
        await it.until_shown("The text is known once a model is loaded.")


# --- files ----------------------------------------------------------------------------------------


def written(home: Path, kind: str) -> list[Path]:
    return sorted((home / "work").glob(f"gelu-tui-*.{kind}"))


async def export(it: Still, kind: str, home: Path, count: int) -> list[str]:
    await it.app.run_action(f"export('{kind}')")
    await it.until_notice("Written to")
    await it.until(lambda: len(written(home, kind)) == count, f"{count} {kind} files")
    return [path.read_text(encoding="utf-8") for path in written(home, kind)]


async def test_exports_write_files_and_never_over_another(home: Path) -> None:
    async with still(FORKS) as it:
        for count in (1, 2, 3):
            texts = await export(it, "json", home, count)
            assert all(read_document(t.encode()).prompt == "Why is the sky blue?" for t in texts)
        (report,) = await export(it, "md", home, 1)
        assert "silu" in report
        (page,) = await export(it, "html", home, 1)
        assert page.startswith("<!DOCTYPE html>")
        (picture,) = await export(it, "svg", home, 1)
        assert picture.lstrip().startswith("<svg")


async def test_an_export_that_cannot_be_written_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with still(FORKS) as it:
        (home / "gone").mkdir()
        monkeypatch.chdir(home / "gone")
        (home / "gone").rmdir()
        await it.app.run_action("export('json')")
        await it.until_notice("cannot be written")


async def test_an_export_to_a_full_disk_leaves_no_half_of_a_file(home: Path) -> None:
    async with still(FORKS) as it:
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
        try:
            await it.app.run_action("export('json')")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            signal.signal(signal.SIGXFSZ, handler)
        await it.until_notice("cannot be written")
        assert not written(home, "json")


# --- while the terminal changes its size ----------------------------------------------------------


async def test_screens_over_a_run_survive_resizing() -> None:
    async with driven("long", prompt="x", step_s=0.05, max_tokens=900, activations=FIVE) as it:
        await it.until(lambda: it.app.compare.comparison is not None, "a run")
        await it.until(lambda: it.comparison.total_tokens > 20, "tokens")
        for key, name in (("f8", "MatrixScreen"), ("f7", "ForkScreen"), ("f6", "HistoryScreen")):
            await it.press(key)
            await until_screen(it, name)
            for size in ((50, 16), (120, 36)):
                await it.pilot.resize_terminal(*size)
            await it.press("f10")
            await until_screen(it, "CompareScreen")
        await it.press("ctrl+g")
        await it.until(lambda: it.finished, "stopped")
        assert it.comparison.status == "cancelled"
