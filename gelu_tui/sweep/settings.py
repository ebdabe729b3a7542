"""The settings of a sweep: those of its runs, and its own."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gelu_tui.core.settings.field import about
from gelu_tui.core.settings.run_settings import Text
from gelu_tui.core.settings.yardsticks import WithYardsticks


class SweepSettings(WithYardsticks, frozen=True, kw_only=True):
    """What a sweep file may hold. `models` are run one after the other, instead of `model`.

    With several models the same function on the first one is what each is compared with, besides
    its own reference function.
    """

    name: Annotated[
        str, about("What the sweep is called.", unset="as its file", metavar="NAME")
    ] = ""
    prompts: Annotated[
        Text | tuple[Text, ...],
        about(
            "Prompts, a file of them, or builtin:notebook, builtin:mixed, builtin:facts.",
            metavar="FILE",
        ),
    ] = ()
    models: Annotated[
        tuple[Text, ...],
        about(
            "A model: demo, a folder, or an id on the hub. Several run one after the other, the "
            "first is the one that the others are compared with.",
            unset="the one of the settings",
            metavar="MODEL",
            options=("--model",),
        ),
    ] = ()
    control: Annotated[
        bool,
        about(
            "Add the reference once more in another order of operations: the effect of rounding "
            "alone.",
            noun="the control",
        ),
    ] = True
    limit: Annotated[
        int,
        Meta(ge=0),
        about("Only so many of the prompts, evenly spread over them; 0: all.", metavar="N"),
    ] = 0
    batch: Annotated[
        int,
        Meta(ge=0, le=4096),
        about(
            "At most this many rows (prompts times functions) in one batch; 0: as many as fit "
            "into memory, 64 at most. Results do not depend on it.",
            metavar="ROWS",
        ),
    ] = 0
    margin_pp: Annotated[
        float,
        Meta(gt=0, le=100),
        about("Accuracies within so many percentage points are equivalent.", metavar="PP"),
    ] = 1.0
    full_kl: Annotated[
        bool,
        about("Also measure KL over the whole stream of the reference, not only until the fork."),
    ] = False
