"""The user's keys: what is accepted works in an app, what is not is told."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events
from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.widgets import Input

from gelu_tui.tui.compare.board import Board
from gelu_tui.tui.compare.prompt import Prompt
from gelu_tui.tui.fed_text.screen import FedTextScreen
from gelu_tui.tui.fork.screen import ForkScreen
from gelu_tui.tui.functions.screen import ActivationsScreen, FunctionList
from gelu_tui.tui.history.run_table import RunTable
from gelu_tui.tui.history.screen import HistoryScreen
from gelu_tui.tui.keys.actions import ACTIONS as APP_ACTIONS
from gelu_tui.tui.keys.actions import shown_key
from gelu_tui.tui.keys.keymap import RESERVED, keymap
from gelu_tui.tui.matrix.screen import MatrixScreen
from gelu_tui.tui.matrix.view import MatrixView
from gelu_tui.tui.models.screen import ModelsScreen
from gelu_tui.tui.models.table import ModelTable
from gelu_tui.tui.prompts.screen import PromptsScreen
from gelu_tui.tui.text_view.pane import TokenPane


@dataclass(frozen=True)
class Action:
    name: str
    keys: str
    while_typing: bool = False


ACTIONS = (
    Action("run", "ctrl+r"),
    Action("stop", "ctrl+g,escape"),
    Action("help", "f1,question_mark"),
)


def mapped(**wanted: str) -> dict[str, str]:
    found, problems = keymap(wanted, ACTIONS)
    assert not problems
    return found


def refused(**wanted: str) -> tuple[dict[str, str], list[str]]:
    found, problems = keymap(wanted, ACTIONS)
    assert all("\n" not in problem.message for problem in problems)
    return found, [f"{problem.message} {problem.hint}" for problem in problems]


def test_keys_are_named_as_textual_names_them() -> None:
    found = mapped(run="f4, Ctrl+T,R,r,Insert, comma")
    assert found == {"run": "f4,ctrl+t,R,r,insert,comma"}
    assert mapped(stop="!, /,-,]") == {"stop": "exclamation_mark,slash,minus,right_square_bracket"}


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        ("]", "]"),
        ("/", "/"),
        ("-", "-"),
        ("ctrl+r", "^r"),
        ("f12", "F12"),
        ("R", "Shift+R"),
        ("insert", "Insert"),
    ],
)
def test_keys_are_shown_as_people_write_them(wanted: str, shown: str) -> None:
    assert shown_key(mapped(run=wanted)["run"]) == shown


def test_an_action_without_a_key_of_its_own() -> None:
    keyless = (*ACTIONS, Action("export", ""))
    assert keymap({"export": ""}, keyless) == ({}, ())
    assert keymap({"export": "f4"}, keyless) == ({"export": "f4"}, ())


def test_nothing_wanted_is_nothing_changed() -> None:
    assert keymap({}, APP_ACTIONS) == ({}, ())


def test_an_action_may_take_a_key_that_another_gives_up() -> None:
    assert mapped(run="ctrl+g", stop="ctrl+r") == {"run": "ctrl+g", "stop": "ctrl+r"}
    assert mapped(help="f11", run="f1") == {"help": "f11", "run": "f1"}


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("ctrl+m", "terminals send it as Enter. Letters, F1 to F12"),
        ("ctrl+[", "terminals send it as Escape."),
        ("ctrl+b", "tmux keeps it for itself."),
        ("alt+r", "not every terminal sends it."),
        ("ctrl+enter", "not every terminal sends it."),
        ("ctrl+left", "not every terminal sends it."),
        ("shift+f4", "not every terminal sends it."),
        ("f13", "not every terminal sends it."),
        ("é", "not every terminal sends it."),
        ("pagedow", "there is no such key. Did you mean 'pagedown'?"),
        ("ctrl+", "there is no such key."),
        ("f0", "there is no such key."),
        ("\x1b[31m", "there is no such key."),
        ("ctrl+q", "it quits."),
        ("enter", "it runs the prompt and chooses."),
        ("1", "it chooses a pane."),
        ("home", "it moves in the panes."),
        ("", "an action needs a key."),
    ],
)
def test_a_key_that_cannot_be_had_is_refused(key: str, why: str) -> None:
    found, (sentence,) = refused(run=key, stop="f8")
    assert found == {"stop": "f8"}
    assert sentence.startswith("In [keys], run cannot have the key '")
    assert "\x1b" not in sentence
    assert why in sentence


def test_the_usable_keys_of_a_list_count() -> None:
    found, sentences = refused(run="alt+r,f4,ctrl+i")
    assert found == {"run": "f4"}
    assert len(sentences) == 2


def test_an_unknown_action_is_refused_with_the_nearest_name() -> None:
    found, (sentence,) = refused(stopp="f8")
    assert not found
    assert sentence == "In [keys] there is no action named 'stopp'. Did you mean 'stop'?"


def test_a_key_that_another_action_has_is_refused() -> None:
    found, (sentence,) = refused(run="escape,f4")
    assert found == {"run": "f4"}
    assert "run cannot have the key 'escape': 'stop' has it." in sentence


def test_two_actions_that_want_one_key() -> None:
    found, (sentence,) = refused(run="f4", stop="f4")
    assert found == {"run": "f4"}
    assert "stop cannot have the key 'f4': 'run' has it." in sentence


def test_an_action_that_gets_its_own_keys_back_gets_them_from_who_took_them() -> None:
    # `stop` cannot have f1, so it keeps escape, which `run` then cannot have.
    found, sentences = refused(run="escape", stop="f1")
    assert not found
    assert len(sentences) == 2


def test_every_default_key_is_one_that_a_user_could_choose() -> None:
    for action in filter(lambda action: action.keys, APP_ACTIONS):
        others = [other for other in APP_ACTIONS if other is not action]
        _, problems = keymap({action.name: action.keys}, [Action(action.name, "f12"), *others])
        assert not [p for p in problems if "has it" not in p.message], problems


def test_an_action_of_the_whole_screen_leaves_typing_alone() -> None:
    fields = bound(Prompt, Input) - {"escape", "f6", "f7"}
    letters = {"d", "?", "comma", "ctrl+n", "shift+enter", "space"}
    for key in sorted((fields | letters) - RESERVED.keys()):
        for name in ("run", "history", "export_json"):
            found, problems = keymap({name: key}, APP_ACTIONS)
            assert not found and problems, (name, key)
    _, (problem,) = keymap({"history": "ctrl+e"}, APP_ACTIONS)
    assert "it belongs to typing the prompt" in problem.message
    assert "F1 to F12" in problem.hint


def test_what_typing_leaves_free_and_the_keys_of_panes() -> None:
    wanted = {"history": "f12,ctrl+t", "zoom": "d", "help": "question_mark", "layout": "ctrl+e"}
    assert keymap(wanted, APP_ACTIONS) == (wanted, ())


def test_a_letter_of_ones_own_is_taken_from_an_action_that_has_other_keys() -> None:
    found, problems = keymap({"zoom": "m,h", "colours": "question_mark"}, APP_ACTIONS)
    assert not problems
    assert found["zoom"] == "m,h"
    assert (found["models"], found["history"], found["help"]) == ("f4", "f6", "f1,ctrl+o")
    found, (problem,) = keymap({"zoom": "f"}, APP_ACTIONS)
    assert not found and "'to_fork' has it" in problem.message


def test_every_function_key_has_a_letter_or_a_ctrl_key_too() -> None:
    for action in APP_ACTIONS:
        keys = action.keys.split(",")
        if any(re.fullmatch(r"f\d+", key) for key in keys):
            assert any(len(key) == 1 or key.startswith("ctrl+") for key in keys), action.name


def test_two_actions_may_share_a_key_only_as_they_do_by_default() -> None:
    defaults = {action.name: action.keys for action in APP_ACTIONS}
    accepted = {name: keys for name, keys in defaults.items() if keys}
    assert keymap(defaults, APP_ACTIONS) == (accepted, ())
    for wanted in ({"zoom": "escape"}, {"run": "escape"}, {"clear": "ctrl+g"}):
        _, (problem,) = keymap(wanted, APP_ACTIONS)
        assert "has it" in problem.message


_NAMES = st.sampled_from([action.name for action in APP_ACTIONS])
_SOME_KEYS = st.sampled_from(
    [*"adeFgz?,/1", "f1", "f2", "f6", "f12", "escape", "insert", "delete", "ctrl+e", "ctrl+g",
     "ctrl+n", "ctrl+o", "ctrl+r", "ctrl+t", "ctrl+i", "alt+x", "nothing"]
)  # fmt: skip


@given(st.dictionaries(_NAMES, st.lists(_SOME_KEYS, min_size=1, max_size=3), max_size=5))
def test_whatever_is_wanted_every_key_has_one_use(wanted: dict[str, list[str]]) -> None:
    found, problems = keymap({name: ",".join(keys) for name, keys in wanted.items()}, APP_ACTIONS)
    assert problems or found.keys() >= wanted.keys()
    defaults = {action.name: action.keys.split(",") for action in APP_ACTIONS}
    used: dict[str, str] = {}
    for action in APP_ACTIONS:
        keys = found.get(action.name, action.keys).split(",")
        for key in filter(None, keys):
            other = used.setdefault(key, action.name)
            shared = key in defaults[action.name] and key in defaults[other]
            assert other == action.name or shared, (key, other, action.name)
    assert keymap(found, APP_ACTIONS) == (found, ())


def bound(*nodes: type[DOMNode]) -> set[str]:
    own = (binding for node in nodes for binding in Binding.make_bindings(node.BINDINGS))
    return {binding.key for binding in own if binding.id != "help"}


def test_help_leaves_the_keys_of_other_screens_to_them() -> None:
    nodes = [
        *(ActivationsScreen, FedTextScreen, ForkScreen, HistoryScreen, MatrixScreen, ModelsScreen),
        *(PromptsScreen, FunctionList, MatrixView, ModelTable, RunTable),
    ]
    for key in bound(*nodes):
        assert keymap({"help": key}, APP_ACTIONS)[1], key
    found, (problem,) = keymap({"help": "d,f12"}, APP_ACTIONS)
    assert found == {"help": "f12"}
    assert "help cannot have the key 'd': other screens use it." in problem.message


def test_what_moves_in_the_panes_is_no_actions() -> None:
    for key in bound(Board, TokenPane) - {"z"}:
        assert keymap({"zoom": key}, APP_ACTIONS)[1], key


def test_what_is_reserved_is_named_as_textual_names_it() -> None:
    for key in RESERVED:
        _, (problem,) = keymap({"run": key.upper()}, ACTIONS)
        assert RESERVED[key] in problem.message


class KeysApp(App[None]):
    BINDINGS: ClassVar = [Binding(a.keys, a.name, a.name, id=a.name) for a in ACTIONS]

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []

    def action_run(self) -> None:
        self.done.append("run")

    def action_stop(self) -> None:
        self.done.append("stop")

    def action_help(self) -> None:
        self.done.append("help")


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_textual_takes_the_keymap() -> None:
    app = KeysApp()
    async with app.run_test():
        app.set_keymap(mapped(run="f4,?", stop="ctrl+r", help="h"))
        for key in ("f4", "question_mark", "ctrl+r", "h", "escape", "ctrl+g", "f1"):
            app.post_message(events.Key(key, None))
        app.post_message(events.Key("f4", None))
        await until(lambda: len(app.done) >= 5)
        assert app.done == ["run", "run", "stop", "help", "run"]
