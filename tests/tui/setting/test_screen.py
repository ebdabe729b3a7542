"""The palette and the field behind it: every setting with any value, and what a command will do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import SystemCommand
from textual.widgets import Input

from gelu_tui.core.errors import UsageError
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.run_settings import RunSettings, sampling_words
from gelu_tui.tui.compare.choices import setting_variations, typed
from tests.support.driving import PROMPT, Driven, driven, ready
from tests.support.fake_engine import FRESH_SEED

FIELDS = fields_of(RunSettings)
SOME = {
    "model": st.sampled_from(["demo", "google/gemma-2b", "./folder"]),
    "activations": st.sampled_from([("gelu",), ("relu", "silu", "wide=x*sigmoid(1.2*x)")]),
    "reference": st.sampled_from([None, "gelu"]),
    "max_tokens": st.integers(1, 100_000),
    "temperature": st.floats(0, 100),
    "seed": st.none() | st.integers(0, 2**63 - 1),
    "top_p": st.floats(0, 1),
    "min_p": st.floats(0, 1),
    "top_k": st.integers(0, 2**31 - 1),
}


@given(st.data())
def test_any_value_is_typed_as_it_is_shown(data: st.DataObject) -> None:
    """What the field is filled with means the value itself, and no setting is left out."""
    choices = RunSettings(activations=("gelu", "relu"))
    for field in FIELDS.values():
        if field.name in SOME:
            value = data.draw(SOME[field.name], label=field.name)
            assert getattr(typed(choices, field, field.text(value)), field.name) == value
        else:
            offered = {v.choices for v in setting_variations(choices) if v.field is field}
            assert {getattr(c, field.name) for c in offered if c} == {
                *field.values(), field.default
            } - {getattr(choices, field.name)}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [("max_tokens", "0"), ("max_tokens", "many"), ("max_tokens", ""), ("temperature", "nan"),
     ("top_p", "1.5"), ("seed", "-1"), ("activations", "nope"), ("reference", "silu"),
     ("model", " ")],
)  # fmt: skip
def test_what_no_run_would_take_is_refused(name: str, text: str) -> None:
    with pytest.raises(UsageError):
        typed(RunSettings(), FIELDS[name], text)


# --- in the app -----------------------------------------------------------------------------------


def commands(it: Driven) -> dict[str, SystemCommand]:
    return {c.title: c for c in it.app.get_system_commands(it.app.screen)}


async def choose(it: Driven, title: str) -> None:
    called = commands(it)[title].callback()
    if called is not None:
        await called


async def put(it: Driven, noun: str, value: str) -> None:
    """Type a value into the field of a setting."""
    await choose(it, f"Set {noun}…")
    await it.until_shown(f"Set {noun}")
    it.app.screen.query_one(Input).value = value
    await it.press("enter")


async def test_a_command_says_what_it_will_do_and_by_which_key() -> None:
    async with ready() as it:
        wanted = {"Run the prompt · ^r", "Choose functions · F2, a", "Turn the control on"}
        assert wanted <= set(commands(it))
        assert "Scroll each pane by itself · t" in commands(it)
        await choose(it, "Scroll each pane by itself · t")
        assert "Scroll all panes together · t" in commands(it)
        await choose(it, "Set the schedule to solo")
        await it.until_shown("tokens · solo")
        assert "Set the schedule to lockstep" in commands(it)


async def test_only_what_can_be_done_now_is_offered() -> None:
    needs_run = {"Show the fork of this pane · F7, w", "Export as JSON"}
    async with ready() as it:
        assert not needs_run & set(commands(it))
        assert not any(title.startswith("Stop") for title in commands(it))
        await it.type(PROMPT)
        await it.press("enter")
        await it.until_finished()
        assert needs_run <= set(commands(it))


async def test_a_wrong_value_is_told_and_can_be_mended() -> None:
    async with ready() as it:
        await put(it, "the number of tokens", "0")
        await it.until_shown("max_tokens must be a whole number from 1 to 100000, not 0.")
        await it.press("backspace", "1", "7", "enter")
        await it.until_shown("The number of tokens: 17, from the next run on.")
        assert it.app.compare.choices.max_tokens == 17
        await choose(it, "Set the number of tokens…")
        await it.press("9", "escape")
        await it.until(lambda: it.app.screen is it.app.compare, "back")
        assert it.app.compare.choices.max_tokens == 17


async def test_a_temperature_and_its_seed() -> None:
    async with ready() as it:
        await put(it, "the temperature", "0.73")
        await it.until_shown("T 0.73 new seed")
        await it.type("x")
        await it.press("enter")
        await it.until_finished()
        assert sampling_words(it.comparison.settings) == [
            "temperature 0.73",
            f"seed {FRESH_SEED}",
        ]
        await put(it, "top-p", "0.92")
        await put(it, "top-k", "33")
        await it.until_shown("T 0.73 new seed top-p 0.92 top-k 33")
        await choose(it, f"Set the seed to {FRESH_SEED}, as in the run shown")
        assert it.app.compare.choices.seed == FRESH_SEED
        await put(it, "the seed", "")
        await it.until(lambda: it.app.compare.choices.seed is None, "a new seed each time")
        await put(it, "the temperature", "0")
        await it.until(lambda: "new seed" not in it.flat(), "nothing is drawn")
        assert "It has no effect while the temperature is 0." in commands(it)["Set top-p…"].help


async def test_another_dtype_loads_the_model_again() -> None:
    async with driven(prompt=PROMPT) as it:
        await it.until_finished()
        await choose(it, "Set the dtype to bfloat16")
        await it.until_shown("demo · bfloat16")
        await choose(it, "Reset the dtype: as stored; float32 on a CPU")
        await it.until_shown("demo · float32")
