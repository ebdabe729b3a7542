"""What is refused before any model is needed."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import UsageError
from gelu_tui.core.protocol.requests import compare_command
from gelu_tui.core.settings.run_settings import RunSettings


def command(prompt: str = "Hi", **settings: Any) -> p.Compare:
    return compare_command(prompt, RunSettings(**{"activations": ("gelu",), **settings}))


def test_a_command_keeps_what_the_user_gave() -> None:
    settings = RunSettings(
        activations=("swish", "a=x"), reference="a", max_tokens=3, schedule="solo", chat=False,
        activation_precision="model",
    )  # fmt: skip
    assert compare_command(" Why?\n", settings) == p.Compare(" Why?\n", settings)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"prompt": ""}, "empty_prompt"),
        ({"prompt": " \n\t "}, "empty_prompt"),
        ({"prompt": "a\udcffb"}, "encoding"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 100_001}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 100.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"seed": -1}, "seed"),
        ({"temperature": 1.0, "seed": 2**63}, "seed"),
        ({"temperature": 1.0, "top_p": 1.01}, "top_p"),
        ({"temperature": 1.0, "top_p": math.nan}, "top_p"),
        ({"temperature": 1.0, "min_p": -0.01}, "min_p"),
        ({"temperature": 1.0, "top_k": -1}, "top_k"),
        ({"temperature": 1.0, "top_k": 2**31}, "top_k"),
        ({"schedule": "both"}, "schedule"),
        ({"activations": ()}, "usage"),
        ({"activations": ("nope",)}, "unknown_activation"),
        ({"activations": ("silu", "swish")}, "duplicate_activation"),
        ({"activations": tuple(f"a{i}=x" for i in range(9))}, "too_many_variants"),
        ({"activations": ("a=1/x",)}, "formula"),
        ({"activations": ("silu",), "reference": "gelu"}, "reference"),
    ],
)
def test_refusals(arguments: dict[str, Any], kind: str) -> None:
    with pytest.raises(UsageError) as caught:
        command(**arguments)
    assert caught.value.info.kind == kind
    assert caught.value.info.message.endswith(".")
    assert caught.value.info.hint.endswith(".")


@pytest.mark.parametrize(
    "settings",
    [
        {"max_tokens": 1, "temperature": 0.0, "seed": 0, "top_p": 0.0, "top_k": 0, "min_p": 0.0},
        {"max_tokens": 100_000, "temperature": 100.0, "seed": 2**63 - 1, "top_p": 1.0},
        {"top_k": 2**31 - 1, "min_p": 1.0},
    ],
)
def test_limits_are_inclusive(settings: dict[str, Any]) -> None:
    asked = command(**settings)
    assert p.decode_command(p.encode(asked)) == asked
    assert {name: getattr(asked.settings, name) for name in settings} == settings
