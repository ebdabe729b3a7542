"""The control in the app: asked for, shown, told from the chosen functions."""

from __future__ import annotations

import pytest
from textual.app import SystemCommand

from gelu_tui.tui.compare import labels
from tests.support.comparisons import run_comparison
from tests.support.driving import PROMPT, Driven, driven, ready

THREE = ("gelu", "gelu_approx", "silu")


def commands(it: Driven) -> dict[str, SystemCommand]:
    return {command.title: command for command in it.app.get_system_commands(it.app.screen)}


def names(it: Driven) -> list[str]:
    return [stream.name for stream in it.comparison.streams]


async def test_the_palette_puts_it_on_and_off() -> None:
    async with ready(activations=THREE, max_tokens=5) as it:
        await it.type(PROMPT)
        await it.press("ctrl+r")
        await it.until_finished()
        assert names(it) == [*THREE]
        await commands(it)["Turn the control on"].callback()
        await it.until_shown("The control: on, from the next run on.")
        await it.press("ctrl+r")
        await it.until(lambda: len(it.comparison.streams) == 4, "four streams")
        await it.until_finished()
        assert names(it) == [*THREE, "control"]
        await it.until_shown("4 control · 0.5*x*(1+tanh(")
        assert "next:" not in it.flat(), "the control is no other choice"
        assert it.app.compare.choices.activations == THREE
        await commands(it)["Turn the control off"].callback()
        await it.press("ctrl+r")
        await it.until(lambda: len(it.comparison.streams) == 3, "three streams")
        await it.until_finished()


async def test_a_chosen_control_is_marked_and_nothing_is_added() -> None:
    chosen = ("gelu_approx", "keras_gelu_approx")
    async with driven(prompt=PROMPT, activations=chosen, control=True, size=(160, 36)) as it:
        await it.until_finished()
        assert names(it) == [*chosen]
        assert "keras_gelu_approx · control ·" in it.flat()


async def test_an_added_control_is_neither_the_next_reference_nor_a_choice() -> None:
    async with driven(prompt=PROMPT, activations=THREE, control=True, size=(160, 36)) as it:
        await it.until_finished()
        await it.press("tab", "4", "r")
        await it.until_shown("Compared with control from here on.")
        await it.press("less_than_sign")
        assert it.app.compare.choices.reference is None
        await it.press("1", "greater_than_sign")
        changed = it.app.compare.choices.activations
        assert changed == ("gelu_approx", "gelu", "silu"), "moving the others still counts"
        await it.press("ctrl+r")
        await it.until(lambda: names(it) == [*changed, "control"], "a run in that order")
        await it.until_finished()
        assert it.comparison.reference.name == "gelu_approx"


async def test_a_function_without_effect_is_told_when_the_run_ends() -> None:
    async with driven("no_kl", prompt=PROMPT, activations=("gelu_approx", "gelu")) as it:
        await it.until_finished()
        await it.until_shown("KL of gelu is exactly 0 at all 40 steps although its formula differs")
        assert "KL 0 throughout: engaged?" in it.flat()


# --- what a pane says of its KL -------------------------------------------------------------------

FOUR = ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("width", "control", "gelu"),
    [
        (
            60,
            "mean KL 2.0e-10 nats · floor 2.0e-10 nats",
            "mean KL 2.0e-06 nats · 10,000 × floor",
        ),
        (48, "mean KL 2.0e-10 nats · floor 2e-10", "mean KL 2.0e-06 nats · floor 2e-10"),
        (40, "mean KL 2.0e-10 nats", "mean KL 2.0e-06 nats"),
        (25, "mean KL 2e-10", "mean KL 2e-06"),
    ],
)
def test_a_pane_tells_the_floor_or_a_multiple_of_it(width: int, control: str, gelu: str) -> None:
    comparison = run_comparison(
        texts={"gelu_approx": FOUR, "control": FOUR, "gelu": FOUR},
        kls={"control": [1e-10, 3e-10, 0.0, 4e-10], "gelu": [1e-6, 2e-6, 3e-6, 2e-6]},
        control="control",
    )
    said = [labels.divergence_numbers(s, comparison, width) for s in comparison.streams[1:]]
    assert [text.partition(" ")[2] for text in said] == [control, gelu]
    assert max(map(len, said)) <= width


async def test_replays_can_be_left_out() -> None:
    async with ready(activations=THREE, max_tokens=5) as it:
        await it.type(PROMPT)
        await it.press("ctrl+r")
        await it.until_finished()
        assert it.comparison.streams[2].fork.verdict == "tie"
        await it.until_shown("► diverges at 1 · tie")
        await commands(it)["Turn the replay of forks off"].callback()
        await it.press("ctrl+r")
        await it.until(lambda: not it.comparison.settings.replay, "a run without replays")
        await it.until_finished()
        assert it.comparison.streams[2].fork.verdict == "unverified"
