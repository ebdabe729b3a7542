"""What was chosen comes back at the next start; what was written stays in the list."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gelu_tui.core.settings.remembered import as_remembered, recall, remembered_path
from gelu_tui.core.settings.user_file import Settings, load_settings
from gelu_tui.tui.functions.screen import ActivationsScreen
from tests.support.app_terminal import opened
from tests.support.command import COMMAND, gelu
from tests.support.comparisons import run_document
from tests.support.driving import Driven, fake_engine, ready
from tests.support.engine_process import environment
from tests.support.still import still
from tests.tui.functions.test_screen import closed, open_picker


def next_start() -> dict[str, Any]:
    """The functions that the app begins with where nothing else is said."""
    found, problem = as_remembered(Settings(), ())
    assert problem is None
    return {"activations": found.activations, "reference": found.reference}


def said(it: Driven) -> str:
    return str(it.app.compare.notice.content)


def listed(it: Driven) -> tuple[str, ...]:
    assert isinstance(it.app.screen, ActivationsScreen)
    return it.app.screen.picking.formulas


async def test_choices_and_formulas_survive_a_restart() -> None:
    async with ready(activations=("gelu", "silu")) as it:
        await open_picker(it)
        await it.press("down", "u", "r", "tab")
        await it.type("x*x")
        await it.press("enter")
        await it.until_shown("f1 is chosen.")
        await it.type("mine=x*tanh(x)")
        await it.press("enter")
        await it.until_shown("mine is chosen.")
        await it.press("shift+tab", "space", "f2")
        await closed(it)
    assert next_start() == {"activations": ("silu", "gelu", "f1=x*x"), "reference": "silu"}
    async with ready(**next_start()) as it:
        await it.until_shown("3 f1 · x*x")
        await open_picker(it)
        assert listed(it) == ("f1=x*x", "mine=x*tanh(x)")
        assert it.app.screen.query_one("#formula")
        await it.press("tab")
        await it.type("2*x")
        await it.until_shown("f2: 2*x is usable.")
        await it.press("ctrl+u")
        await it.type("mine")
        await it.until_shown("mine: Enter chooses it.")
        await it.press("shift+tab", "x")
        await it.until_shown("mine is deleted; Z brings it back.")
        await it.press("f2")
        await closed(it)
    assert recall()[0].formulas == ("f1=x*x",)


async def test_nothing_is_remembered_of_what_was_only_looked_at() -> None:
    async with ready(activations=("gelu", "silu")) as it:
        await open_picker(it)
        await it.press("space", "escape", "escape")
        await closed(it)
    assert not remembered_path().exists()


async def test_the_reference_and_the_order_of_the_panes_are_choices_too() -> None:
    async with ready(activations=("gelu", "silu"), prompt="x") as it:
        await it.until_finished()
        it.app.compare.board.action_choose(1)
        await it.settle()
        await it.press("r")
        await it.until(lambda: next_start()["reference"] == "silu", "the reference")
        assert next_start()["activations"] == ("gelu", "silu")
        await it.press("less_than_sign")
        await it.until(lambda: next_start()["activations"] == ("silu", "gelu"), "the order")


async def test_a_saved_run_is_only_looked_at() -> None:
    async with still({"gelu": ["The", " sky"], "silu": ["The", " sea"]}) as it:
        await it.go(1)
        await it.press("r", "less_than_sign")
        await it.until(lambda: it.app.compare.choices.activations == ("silu", "gelu"), "the order")
        assert it.app.compare.choices.reference == "silu"
        assert not remembered_path().exists()


async def test_what_is_no_longer_valid_is_told_in_the_picker() -> None:
    remembered_path().parent.mkdir(parents=True, exist_ok=True)
    remembered_path().write_text(json.dumps({"formulas": ["f1=1/x", "f2=x*x"]}))
    async with ready(activations=("gelu", "silu")) as it:
        await open_picker(it)
        await it.until_shown("✗ The remembered function 'f1=1/x' is left out")
        assert listed(it) == ("f2=x*x",)
        await it.press("f2")
        await closed(it)
    assert recall()[0].formulas == ("f2=x*x",)


async def test_where_nothing_can_be_stored_formulas_hold_until_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    async with ready(activations=("gelu",)) as it:
        await open_picker(it)
        await it.press("tab")
        await it.type("x*x")
        await it.press("enter")
        await it.until_shown("f1 is chosen.")
        await it.press("shift+tab", "space", "f2")
        await closed(it)
        await it.until_shown("✗ The chosen functions cannot be remembered in")
        await open_picker(it)
        assert listed(it) == ("f1=x*x",)
        await it.press("escape")
        await closed(it)


def test_the_command_line_and_the_file_come_first(tmp_path: Path) -> None:
    env = environment(tmp_path)
    state = Path(env["XDG_STATE_HOME"]) / "gelu-tui" / "remembered.json"
    state.parent.mkdir(parents=True)
    chosen = {"activations": ["mish", "f1=x*x", "old=1/x"], "reference": "mish"}
    state.write_text(json.dumps(chosen))
    config = tmp_path / "config.toml"
    config.write_text("")
    env |= {"GELU_TUI_CONFIG": str(config), "TERM": "xterm-256color", "PATH": os.environ["PATH"]}
    engine = fake_engine("five")
    app = (*COMMAND, "--engine-command", engine)
    with opened(app, tmp_path, (120, 36), env) as it:
        it.until_shown("2 f1 · x*x")
        it.until_shown("The remembered function 'old=1/x' is left out")
        assert "1 mish" in it.text
    with opened((*app, "-a", "silu,x*x*x"), tmp_path, (120, 36), env) as it:
        it.until_shown("2 f1 · x*x*x")
        assert "1 silu" in it.text
    config.write_text('activations = ["relu", "identity"]\n')
    with opened(app, tmp_path, (120, 36), env) as it:
        it.until_shown("2 identity")
    config.write_text("")
    done = gelu(env, "run", "x", "--engine-command", engine, "--format", "json", "--no-save")
    names = [variant["name"] for variant in json.loads(done.out)["variants"]]
    assert "mish" not in names, "a script gets what is written down"
    assert json.loads(state.read_text()) == chosen


async def test_the_settings_of_the_app_are_kept_as_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    file.write_text("# mine\nmax_tokens = 7  # short\n")
    monkeypatch.setenv("GELU_TUI_CONFIG", str(file))
    async with ready(activations=("gelu", "silu"), max_tokens=40) as it:
        await it.press("tab", "c", "t", "shift+tab", "ctrl+p")
        await it.until_shown("Search for commands")
        await it.type("keep these")
        await it.until_gone("Choose functions")
        await it.press("enter")
        await it.until(lambda: "Kept as your defaults" in said(it), "it is told")
        assert said(it).endswith("config.toml: activations, max_tokens, token_style, scroll.")
        text = file.read_text()
        assert text.startswith("# mine\nmax_tokens = 40  # short\n")
        assert load_settings().settings == Settings(
            activations=("gelu", "silu"), max_tokens=40, token_style="kl", scroll="free"
        )
        await open_picker(it)
        await it.press("space", "f2")
        await closed(it)
        await it.until(lambda: "The next start has those of" in said(it), "it is told")


async def test_what_a_saved_run_had_settled_is_no_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    monkeypatch.setenv("GELU_TUI_CONFIG", str(file))
    saved = run_document("another prompt")
    settled = msgspec.structs.replace(saved.settings, chat=False, seed=7, max_tokens=9)
    async with ready(activations=("gelu", "silu")) as it:
        await it.app.compare.show_saved(msgspec.structs.replace(saved, settings=settled))
        assert it.app.compare.choices.chat is False
        await it.app.navigation.keep_defaults()
        await it.until(lambda: "Kept as your defaults" in said(it), "it is told")
        kept = load_settings().settings
        assert (kept.chat, kept.seed, kept.max_tokens) == ("auto", None, 9)
