"""The JSON document of a sweep: the contract with scripts."""

from __future__ import annotations

from typing import Literal

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.sweep.outcomes import FailedPrompt, Outcome
from gelu_tui.sweep.settings import SweepSettings

SWEEP_SCHEMA = "gelu-tui.sweep/1"


class Interval(msgspec.Struct, frozen=True):
    """An estimate with its 95 % interval; None where it cannot be computed or was not reached."""

    value: float | None
    low: float | None
    high: float | None


class Outcomes(msgspec.Struct, frozen=True):
    """The share of prompts with an outcome; Wilson's interval."""

    count: int
    share: float
    low: float
    high: float


class Incidence(msgspec.Struct, frozen=True):
    """The share of prompts that have diverged at `token` (counted from 0) or before.

    A curve has a point where it changes, and at its first and last token; it is flat in between.
    """

    token: int
    share: float
    low: float
    high: float


class SweepKl(msgspec.Struct, frozen=True):
    """Mean KL over positions, nats; its standard error clustered by prompt.

    `times_floor` is the multiple of the control's mean; None without a control, or where it is 0.
    """

    mean: float
    se: float | None
    positions: int
    clusters: int
    times_floor: float | None = None


class WhoWhatBench(msgspec.Struct, frozen=True):
    """Means over prompts of OpenVINO who-what-bench's metrics, on token ids.

    `fdt_norm` is the mean FDT by the mean length of the references, as there.
    """

    fdt: float
    fdt_norm: float
    sdt: float
    sdt_norm: float


class TaskResult(msgspec.Struct, frozen=True):
    """Answers against the reference's, for the prompts that have one.

    Shares are from 0 to 1, the difference (this function's accuracy less the reference's) is in
    percentage points. `equivalent`: two one-sided tests at 5 % within ±`margin_pp`. `acc_norm` is
    by length-normalised log-probability, None unless all have choices.
    """

    n: int
    acc: float
    acc_norm: float | None
    reference_acc: float
    reference_acc_norm: float | None
    gained: int
    lost: int
    p_mcnemar: float
    difference_pp: Interval
    margin_pp: float
    equivalent: bool


class WhatIfEstimate(msgspec.Struct, frozen=True):
    """Streams that were given the reference's token at their fork, of the prompts that diverged.

    `parts_again` is the share of those `tried` that part again before the reference's stream ends;
    Wilson's interval. `distance` is the median number of tokens after the one given until then,
    where streams that do not part are censored; None where fewer than half part.
    """

    tried: int
    parts_again: Outcomes
    distance: Interval


class WorstPrompt(msgspec.Struct, frozen=True):
    """A prompt whose stream diverged early, formula before others; `run` is what `show` takes."""

    id: str
    prompt: str
    fdt: int
    verdict: p.Verdict
    run: str


class VariantEstimates(msgspec.Struct, frozen=True):
    """The statistics of one function against the reference over some prompts.

    Intervals are 95 %, each by itself. `tokens` is up to where `incidence` and the mean speak: the
    limit, or less where no prompt was compared so far. `mean_tokens_to_divergence` counts streams
    that never diverge as `tokens`.
    """

    prompts: int
    diverged: int
    identical: int
    close_calls: int
    outcomes: dict[Outcome, Outcomes]
    incidence: tuple[Incidence, ...]
    median_fdt: Interval
    mean_tokens_to_divergence: Interval
    kl: SweepKl | None
    full_kl: SweepKl | None
    wwb: WhoWhatBench | None
    task: TaskResult | None
    tokens: int = 0
    what_if: WhatIfEstimate | None = None  # where forks were tried


class SweepResult(VariantEstimates, frozen=True, kw_only=True):
    """The statistics of one function on one model, and of each category of prompts.

    Against the same model's reference function, or, where `reference_model` is given, against the
    same function on the first model.

    A `yardstick` is the reference function in the model after a known change, whose name `variant`
    is: the first token of which the changed model finds another one more probable, and the KL. It
    does not decode, so that nothing is known of what follows; `error` is why it has no prompts.
    """

    model: str
    variant: str
    reference: str
    control: bool
    reference_model: str | None = None
    yardstick: bool = False
    error: str = ""
    by_category: dict[str, VariantEstimates] = {}
    worst: tuple[WorstPrompt, ...] = ()


class PairedDifference(msgspec.Struct, frozen=True):
    """How much later (tokens) one function parts from the reference than another, by prompt."""

    model: str
    variant: str
    other: str
    mean_tokens: Interval


class Machine(msgspec.Struct, frozen=True):
    """Where prompts were computed: backend, device and versions, and the self-check there."""

    device: str
    versions: dict[str, str]
    prompts: int
    self_check: p.SelfCheckReport | None = None


class SweepDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A sweep so far; `prompts` is the number in the set, and the others count model by model.

    `summary` answers in plain words; reports begin with it.
    """

    schema: str
    id: str  # what `show` and `open` take
    created: str
    versions: dict[str, str]
    name: str
    settings: SweepSettings
    models: tuple[p.ModelInfo, ...]
    functions: tuple[p.VariantInfo, ...]
    reference: str
    prompts: int
    completed: int
    failed: tuple[FailedPrompt, ...]
    status: Literal["completed", "incomplete", "failed"]
    error: ErrorInfo | None
    results: tuple[SweepResult, ...]
    differences: tuple[PairedDifference, ...] = ()
    machines: tuple[Machine, ...] = ()
    categories: dict[str, int] = {}  # prompts of each
    tokens: int = 0  # of all streams
    seconds: float = 0.0  # that engines worked, without loading
    summary: tuple[str, ...] = ()
