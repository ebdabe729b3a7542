"""What is refused before any model is needed."""

from __future__ import annotations

import math

import pytest

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import UsageError
from gelu_tui.core.requests import MAX_TOKENS_LIMIT, compare_command


def test_a_command_keeps_what_the_user_gave() -> None:
    command = compare_command(
        " Why?\n", ["swish", "a=x"], reference="a", max_tokens=3, schedule="solo", chat=False,
        activation_precision="model",
    )  # fmt: skip
    assert command == p.Compare(" Why?\n", ("swish", "a=x"), "a", 3, "solo", False, "model")


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"prompt": ""}, "empty_prompt"),
        ({"prompt": " \n\t "}, "empty_prompt"),
        ({"prompt": "a\udcffb"}, "encoding"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": MAX_TOKENS_LIMIT + 1}, "max_tokens"),
        ({"sampling": p.Sampling(-0.1)}, "sampling"),
        ({"sampling": p.Sampling(100.1)}, "sampling"),
        ({"sampling": p.Sampling(math.nan)}, "sampling"),
        ({"sampling": p.Sampling(math.inf)}, "sampling"),
        ({"sampling": p.Sampling(seed=-1)}, "sampling"),
        ({"sampling": p.Sampling(1.0, 2**63)}, "sampling"),
        ({"sampling": p.Sampling(1.0, top_p=1.01)}, "sampling"),
        ({"sampling": p.Sampling(1.0, top_p=math.nan)}, "sampling"),
        ({"sampling": p.Sampling(1.0, min_p=-0.01)}, "sampling"),
        ({"sampling": p.Sampling(1.0, top_k=-1)}, "sampling"),
        ({"sampling": p.Sampling(1.0, top_k=2**31)}, "sampling"),
        ({"activations": []}, "usage"),
        ({"activations": ["nope"]}, "unknown_activation"),
        ({"activations": ["silu", "swish"]}, "duplicate_activation"),
        ({"activations": [f"a{i}=x" for i in range(9)]}, "too_many_variants"),
        ({"activations": ["a=1/x"]}, "formula"),
        ({"activations": ["silu"], "reference": "gelu"}, "reference"),
    ],
)
def test_refusals(arguments: dict[str, object], kind: str) -> None:
    with pytest.raises(UsageError) as caught:
        compare_command(**{"prompt": "Hi", "activations": ["gelu"], **arguments})  # type: ignore[arg-type]
    assert caught.value.info.kind == kind
    assert caught.value.info.message.endswith(".")
    assert caught.value.info.hint.endswith(".")


@pytest.mark.parametrize("max_tokens", [1, MAX_TOKENS_LIMIT])
def test_limits_are_inclusive(max_tokens: int) -> None:
    assert compare_command("Hi", ["gelu"], max_tokens=max_tokens).max_tokens == max_tokens


@pytest.mark.parametrize(
    "sampling",
    [p.Sampling(0, 0, 0, 0, 0), p.Sampling(100, 2**63 - 1, 1, 2**31 - 1, 1)],
)
def test_limits_of_sampling_are_inclusive(sampling: p.Sampling) -> None:
    assert compare_command("Hi", ["gelu"], sampling=sampling).sampling == sampling
