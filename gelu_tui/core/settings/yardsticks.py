"""Yardsticks: changes of a model whose size people know, to hold functions against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from gelu_tui.core.settings.field import about
from gelu_tui.core.settings.run_settings import RunSettings

YardstickName = Literal["q8", "q4", "bf16", "embed-scale", "again"]

# What reports call them, as in "1/1,300 of what 8-bit weights do".
YARDSTICKS: Mapping[YardstickName, str] = {
    "q8": "8-bit weights",
    "q4": "4-bit weights",
    "bf16": "bfloat16",
    "embed-scale": "embedding scale",
    "again": "other order of sums",
}


class WithYardsticks(RunSettings, frozen=True, kw_only=True):
    """Settings of what can be held against a known change of the model."""

    yardsticks: Annotated[
        tuple[YardstickName, ...],
        about(
            "Also measure a change of the model whose size people know, with the reference "
            "function: weights of 8 or 4 bit (q8, q4), bfloat16 (bf16), the embedding scale "
            "rounded or exact (embed-scale), sums in another order (again).",
            metavar="NAME",
            options=("--yardstick",),
            form="q8, q4, bf16, embed-scale or again, or some of them with commas",
        ),
    ] = ()
