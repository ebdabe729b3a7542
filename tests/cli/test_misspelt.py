"""A command that is nearly right is not taken for a prompt; prompts are."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.cli import options as o
from gelu_tui.cli.tree import tree
from gelu_tui.core.errors import UsageError
from tests.support.command import complaint, gelu

COMMANDS = tuple(tree.list_commands(click.Context(tree)))
NEEDS_A_TERMINAL = "The app needs a terminal on stdin, stdout and stderr."


def asked(*words: str) -> str | None:
    """The sentence that refuses the words, None if they are a prompt."""
    context = click.Context(tree)
    context.meta[o.MAY_BE_A_COMMAND] = COMMANDS
    try:
        o.refuse_misspelt(context, words)
    except UsageError as error:
        return error.info.message
    return None


@st.composite
def slips(draw: st.DrawFn) -> tuple[str, str]:
    """A command, and the same with two letters swapped, one left out or one typed twice."""
    name = draw(st.sampled_from(COMMANDS))
    at = draw(st.integers(0, len(name) - 2))
    swapped = name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    out, twice = name[:at] + name[at + 1 :], name[:at] + name[at] + name[at:]
    kinds = [swapped, twice, out] if len(name) > 3 else [swapped, twice]
    return name, draw(st.sampled_from(kinds))


@given(slips())
def test_a_slip_of_the_finger_is_asked_about(slip: tuple[str, str]) -> None:
    name, typed = slip
    said = asked(typed)
    assert said is not None
    assert name in said or typed in COMMANDS, (typed, said)


@given(st.lists(st.sampled_from(["hsitory", "modles", "why", "?", "sky"]), min_size=2, max_size=4))
def test_a_prompt_of_several_words_is_a_prompt(words: list[str]) -> None:
    assert asked(" ".join(words)) is None


@pytest.mark.parametrize("word", ["hello", "why?", "sky", "Gemma", "空", "", "42", "demo"])
def test_a_word_that_is_near_no_command_is_a_prompt(word: str) -> None:
    assert asked(word) is None


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        (
            ("hsitory",),
            "There is no command `hsitory`: did you mean `gelu-tui history`?",
            "As a prompt: `gelu-tui -- hsitory`.",
        ),
        (
            ("shwo", "last"),
            "There is no command `shwo`: did you mean `gelu-tui show`?",
            "As a prompt: `gelu-tui 'shwo last'`.",
        ),
        (
            ("hsitory", "--limit", "3"),
            "There is no command `hsitory`: did you mean `gelu-tui history`?",
            "As a prompt: `gelu-tui 'hsitory --limit 3'`.",
        ),
        (
            ("--model", "demo", "hsitory"),
            "There is no command `hsitory`: did you mean `gelu-tui history`?",
            "As a prompt: `gelu-tui -- hsitory`.",
        ),
        (
            ("--model", "demo", "history"),
            "`history` is a command, and an option precedes it.",
            "Options follow their command: see `gelu-tui history --help`.",
        ),
        (
            ("help",),
            "There is no command `help`: did you mean `gelu-tui --help`?",
            "As a prompt: `gelu-tui -- help`.",
        ),
    ],
)
def test_what_is_said(
    env: dict[str, str], words: tuple[str, ...], sentence: str, hint: str
) -> None:
    assert complaint(gelu(env, *words), 2) == (sentence, hint)


@pytest.mark.parametrize("words", [("--", "hsitory"), ("app", "hsitory"), ("hsitory of Rome",)])
def test_what_is_a_prompt_goes_to_the_app(env: dict[str, str], words: tuple[str, ...]) -> None:
    assert complaint(gelu(env, *words), 2)[0] == NEEDS_A_TERMINAL
