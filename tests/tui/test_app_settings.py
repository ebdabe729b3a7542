"""What the settings file brings into the app, and what the app writes: keys, theme, saved runs."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from msgspec.structs import replace

from gelu_tui.core import paths
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.runs.history import Entry, History
from gelu_tui.tui.compare.key_line import KeyLine
from gelu_tui.tui.engine_link.session import Phase
from tests.support.driving import Driven, driven, ready
from tests.support.still import Still, still

FORKS = {
    "gelu_approx": ["The", " sky", " is", " blue", "."],
    "silu": ["The", " sky", " was", " grey", "."],
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GELU_TUI_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setattr(paths, "data_dir", lambda: tmp_path / "data")
    return tmp_path


def entries() -> list[Entry]:
    return History().entries("", 10)


# --- keys -----------------------------------------------------------------------------------------


async def test_keys_of_ones_own_work_and_are_shown() -> None:
    keys = {"zoom": "m", "colours": "ctrl+x", "fork": "f12", "export_json": "f11"}
    async with still(FORKS, keys=keys, size=(120, 70)) as it:
        pane = await it.go(1)
        await it.press("z")
        await it.press("ctrl+x")
        await it.until_shown("Colours: KL against gelu_approx")
        assert it.app.compare.maximized is None
        await it.press("m")
        await it.until(lambda: it.app.compare.maximized is it.panes[1], "zoomed")
        await it.press("m")
        await it.until(lambda: it.app.compare.maximized is None, "restored")
        line = str(it.app.compare.query_one(KeyLine).content)
        assert "F12 Fork" in line
        assert "F7" not in line
        await it.press("f7")
        await it.press("f12")
        await it.until(lambda: type(it.app.screen).__name__ == "ForkScreen", "the fork")
        await it.press("q")
        await it.until(lambda: it.app.screen is it.app.compare, "back")
        await it.until(lambda: pane.has_focus, "the pane")
        await it.press("f1")
        await it.until(lambda: type(it.app.screen).__name__ == "HelpScreen", "help")
        await it.until_shown("F12 Why a stream leaves the reference")


async def test_an_action_without_a_key_can_have_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    async with still(FORKS, keys={"export_json": "f11"}) as it:
        await it.press("f11")
        await it.until(lambda: list(home.glob("*.json")), "the file")


async def test_keys_that_cannot_be_had_are_told() -> None:
    async with ready(keys={"zoom": "ctrl+m"}) as it:
        await it.until_shown("In [keys], zoom cannot have the key 'ctrl+m'")


async def test_a_letter_is_typed_whatever_the_users_keys_are() -> None:
    async with ready(keys={"activations": "d"}) as it:
        await it.until_shown("activations cannot have the key 'd'")
        await it.type("dad")
        await it.until(lambda: it.app.compare.prompt.prompt == "dad", "the letters")


async def test_warnings_of_the_settings_file_are_shown_and_stay_until_a_run() -> None:
    warnings = (
        ErrorInfo("settings", "The theme 'x' is not known.", "Write another."),
        ErrorInfo("settings", "Another.", ""),
    )
    async with ready(warnings=warnings) as it:
        await it.until_shown("The theme 'x' is not known.")
        await it.until_shown("There are 1 more")
        await it.type("x")
        await it.press("enter")
        await it.until_finished()
        assert "The theme" not in it.screen()


# --- theme and refresh ----------------------------------------------------------------------------


def kept(home: Path) -> object:
    path = home / "config.toml"
    return tomllib.loads(path.read_text()).get("theme") if path.exists() else None


async def test_a_theme_is_kept_in_the_settings_file_with_what_stands_there(home: Path) -> None:
    (home / "config.toml").write_text("# mine\nmax_tokens = 7\n")
    async with ready() as it:
        assert kept(home) is None, "the theme that it opens with is not a choice"
        it.app.theme = "textual-light"
        await it.until(lambda: kept(home) == "textual-light", "the theme is kept")
        text = (home / "config.toml").read_text()
        assert "# mine" in text
        assert "max_tokens = 7" in text


async def test_a_settings_file_that_cannot_be_written_is_told(home: Path) -> None:
    (home / "config.toml").mkdir()
    async with ready() as it:
        it.app.theme = "textual-light"
        await it.until_shown("The settings cannot be saved")
        assert it.app.theme == "textual-light"


async def test_the_rate_of_drawing_is_the_users() -> None:
    async with driven("long", prompt="x", refresh=2, step_s=0.01, max_tokens=500) as it:
        made = Still(it.app, it.pilot)
        assert it.app.services.settings.refresh == 2
        await it.until(lambda: it.app.compare.comparison is not None, "a run")
        await it.until(lambda: made.panes[0].tokens.tokens > 60, "it is drawn")
        await it.press("ctrl+g")
        await it.until(lambda: it.finished, "stopped")
        await it.until(
            lambda: made.panes[0].tokens.tokens == len(it.comparison.streams[0].tokens), "all of it"
        )


# --- saved runs -----------------------------------------------------------------------------------


async def until_saved(it: Driven, *statuses: str) -> None:
    await it.until(lambda: [e.status for e in entries()] == list(statuses), f"saved: {statuses}")


async def test_a_run_is_saved_when_it_finishes_and_when_it_is_stopped() -> None:
    async with ready("long", step_s=0.02) as it:
        await it.type("one")
        await it.press("enter")
        await it.until(lambda: it.finished, "a run")
        await until_saved(it, "completed")
        first = it.comparison
        await it.app.compare.choose(replace(it.app.compare.choices, max_tokens=2000))
        await it.press("enter")
        await it.until(lambda: it.comparison is not first, "another")
        await it.until(lambda: it.comparison.total_tokens > 10, "tokens")
        await it.press("ctrl+g")
        await until_saved(it, "cancelled", "completed")


async def test_a_run_is_saved_when_its_engine_dies() -> None:
    async with driven("dies", prompt="x") as it:
        await it.until(lambda: it.phase is Phase.LOST, "the engine is dead")
        await until_saved(it, "failed")
        assert entries()[0].total_tokens == 6 * 5


async def test_a_run_is_saved_when_the_app_quits_in_the_middle_of_it() -> None:
    async with driven("long", prompt="x", step_s=0.02, max_tokens=600) as it:
        await it.until(lambda: it.app.compare.comparison is not None, "a run")
        await it.until(lambda: it.comparison.total_tokens > 20, "tokens")
    assert [entry.status for entry in entries()] == ["cancelled"]
    assert entries()[0].total_tokens >= 20


async def test_nothing_is_saved_if_the_user_does_not_want_it() -> None:
    async with driven(prompt="x", save_runs=False) as it:
        await it.until_finished()
        await it.press("f6")
        await it.until(lambda: type(it.app.screen).__name__ == "HistoryScreen", "the history")
    assert not entries()
