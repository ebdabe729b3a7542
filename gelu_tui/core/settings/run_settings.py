"""The one list of run settings: everything that reads, shows or stores them uses its fields."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal, TypeVar, cast, get_args

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from gelu_tui.core.functions.registry import DEFAULT_SET, Precision
from gelu_tui.core.settings.field import about, fields_of

Schedule = Literal["lockstep", "solo"]
Dtype = Literal["float32", "bfloat16", "float16"]
Chat = bool | Literal["auto"]
Text = Annotated[str, Meta(min_length=1)]
Probability = Annotated[float, Meta(ge=0, le=1)]


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a run besides its prompt; `activations` are specs.

    In `Started` and in documents they are resolved: `max_tokens` fits the context, `seed` is set
    if tokens are sampled, `chat` is a bool, `reference` is a name, and `model` and `dtype` are
    those of the loaded model (`dtype` None if it is not one of `Dtype`).
    """

    model: Annotated[
        Text,
        about(
            "demo, a folder, or the id of a model on the hub.", metavar="MODEL", noun="the model"
        ),
    ] = "demo"
    activations: Annotated[
        tuple[str, ...],
        about(
            "Functions to compare, in the order of the panes; x*sigmoid(1.7*x), or "
            "NAME=x*sigmoid(1.7*x), is one of your own; relu@0-5,12 is relu in these layers only.",
            metavar="NAMES",
            options=("-a", "--activations"),
            noun="the functions",
        ),
    ] = DEFAULT_SET
    reference: Annotated[
        Text | None,
        about(
            "The function that the others are compared with.",
            unset="the model's own if it is chosen, else the first",
            example="gelu",
            metavar="NAME",
            noun="the reference",
        ),
    ] = None
    max_tokens: Annotated[
        int,
        Meta(ge=1, le=100_000),
        about(
            "At most this many tokens in each stream.",
            metavar="N",
            noun="the number of tokens",
        ),
    ] = 256
    schedule: Annotated[
        Schedule,
        about(
            "All functions as rows of one batch (lockstep), or each alone at batch size 1 (solo).",
            noun="the schedule",
        ),
    ] = "lockstep"
    chat: Annotated[
        Chat,
        about(
            "Use the model's chat template, or feed the prompt as it is.",
            unset="the template if there is one",
            options=("--chat/--raw",),
            noun="the chat template",
        ),
    ] = "auto"
    activation_precision: Annotated[
        Precision,
        about(
            "Compute the functions in float32, or in the model's dtype as mlx-lm does.",
            noun="the precision of the functions",
        ),
    ] = "float32"
    temperature: Annotated[
        float,
        Meta(ge=0, le=100),
        about(
            "0 takes the most probable token; above 0 tokens are sampled, for all functions with "
            "the same random numbers.",
            metavar="T",
            noun="the temperature",
        ),
    ] = 0.0
    seed: Annotated[
        Annotated[int, Meta(ge=0, le=2**63 - 1)] | None,
        about(
            "The seed of the random numbers.",
            unset="random; shown with the run",
            example=42,
            metavar="S",
            noun="the seed",
            needs="temperature",
        ),
    ] = None
    top_p: Annotated[
        Probability,
        about(
            "Sample from the most probable tokens that together have this probability; 1 is off, "
            "and 0 too.",
            metavar="P",
            noun="top-p",
            needs="temperature",
        ),
    ] = 1.0
    min_p: Annotated[
        Probability,
        about(
            "Sample from tokens that are at least this probable, relative to the most probable; "
            "0 is off.",
            metavar="P",
            noun="min-p",
            needs="temperature",
        ),
    ] = 0.0
    top_k: Annotated[
        int,
        Meta(ge=0, le=2**31 - 1),
        about(
            "Sample from the K most probable tokens; 0 is off.",
            metavar="K",
            noun="top-k",
            needs="temperature",
        ),
    ] = 0
    stop_repeats: Annotated[
        bool,
        about(
            "End a stream that repeats itself: the same up to 64 tokens, three times or more, and "
            "at least 32 tokens together.",
            noun="stopping at repetition",
        ),
    ] = False
    control: Annotated[
        bool,
        about(
            "Add the reference once more in another order of operations: the effect of rounding "
            "alone.",
            noun="the control",
        ),
    ] = False
    replay: Annotated[
        bool,
        about(
            "Replay each fork in float32 at the end, to decide whether the formula or rounding "
            "made it.",
            noun="the replay of forks",
        ),
    ] = True
    what_if: Annotated[
        bool,
        about(
            "Try each fork at the end: give the function the reference's token there, and see "
            "whether and where it parts again.",
            noun="trying what if at forks",
        ),
    ] = False
    dtype: Annotated[
        Dtype | None,
        about(
            "Convert floating-point weights to this dtype.",
            unset="as stored; float32 on a CPU",
            example="bfloat16",
            noun="the dtype",
        ),
    ] = None

    def of_run(self) -> RunSettings:
        """Return the settings of runs alone, without what a subclass adds."""
        return RunSettings(**{name: getattr(self, name) for name in RunSettings.__struct_fields__})


_Settings = TypeVar("_Settings", bound=RunSettings)


def with_functions_of(
    settings: _Settings, run: RunSettings, but: Collection[str] = ()
) -> _Settings:
    """The settings with a run's model, functions and their precision, but for the fields named."""
    names = ("model", "dtype", "activations", "reference", "activation_precision")
    return replace(settings, **{name: getattr(run, name) for name in names if name not in but})


def known_dtype(name: str) -> Dtype | None:
    """Return the dtype of that name if a model can be loaded with it."""
    return cast(Dtype, name) if name in get_args(Dtype) else None


def sampling_words(settings: RunSettings) -> list[str]:
    """Return `temperature 0.7`, `seed 42` and the limits that are on; empty at temperature 0."""
    if not settings.temperature:
        return []
    seed = "new seed" if settings.seed is None else f"seed {settings.seed}"
    words = [f"temperature {settings.temperature:.12g}", seed]
    for field in fields_of(type(settings)).values():
        value = getattr(settings, field.name)
        if field.needs == "temperature" and field.name != "seed" and value != field.default:
            words.append(f"{field.name.replace('_', '-')} {field.word(value)}")
    return words


def short_sampling(settings: RunSettings) -> str:
    """Return the same for a screen, like `T 0.7 seed 42`; empty at temperature 0."""
    return " ".join(sampling_words(settings)).replace("temperature", "T", 1)
