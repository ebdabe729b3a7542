"""The JSON document of a scoring: the contract with scripts."""

from __future__ import annotations

from typing import Literal

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.functions.registry import Precision
from gelu_tui.core.own_files import schema_of
from gelu_tui.core.scoring.tokens import ScoredTokens

SCORE_SCHEMA = "gelu-tui.score/1"


class KlStatistics(msgspec.Struct, frozen=True):
    """KL against the reference over all positions, nats.

    `clustered_se` is the standard error of the mean; `se` the one that would be right if positions
    were independent. Percentiles interpolate linearly between the two nearest positions (numpy's
    default).
    """

    mean: float
    se: float | None
    median: float
    p90: float
    p95: float
    p99: float
    p99_9: float
    max: float
    clustered_se: float | None = None


class KlBucket(msgspec.Struct, frozen=True):
    """Mean KL where the reference's top probability is between the last `below` and this one."""

    below: float | None
    positions: int
    mean_kl: float | None


class DeltaP(msgspec.Struct, frozen=True):
    """p_v − p_r of the text's own tokens, in percentage points."""

    mean: float
    rms: float


class ScoredVariant(p.VariantInfo, frozen=True):
    """Statistics of one function over the text; those against the reference are None for itself.

    Standard errors that are called clustered take the positions of one cluster for dependent; they
    are None for a single cluster. The others assume independent positions, and are None for a
    single one. Perplexities are None where they overflow. `ln_ppl_ratio` is ln(PPL_v / PPL_r), its
    standard errors are those of the mean difference at a position (paired). `same_top_1` is in per
    cent. `times_noise_floor` is the mean KL as a multiple of the control's; None without a control,
    or where the control's is 0. `error` is why there are no statistics.
    """

    perplexity: float | None = None
    perplexity_se: float | None = None
    ln_ppl_ratio: float | None = None
    ln_ppl_ratio_se: float | None = None
    kl: KlStatistics | None = None
    kl_buckets: tuple[KlBucket, ...] = ()
    same_top_1: float | None = None
    same_top_1_se: float | None = None
    delta_p: DeltaP | None = None
    times_noise_floor: float | None = None
    error: ErrorInfo | None = None
    perplexity_clustered_se: float | None = None
    ln_ppl_ratio_clustered_se: float | None = None
    same_top_1_clustered_se: float | None = None


class ScoredYardstick(p.YardstickInfo, frozen=True):
    """A change of the model under the reference function, against the unchanged model.

    The statistics are those of `ScoredVariant`: `mean_kl` in nats, `same_top_1` in per cent,
    `times_floor` a multiple of the control's mean KL. They are None with an `error`.
    """

    mean_kl: float | None = None
    se: float | None = None
    clustered_se: float | None = None
    times_floor: float | None = None
    same_top_1: float | None = None
    same_top_1_clustered_se: float | None = None
    ln_ppl_ratio: float | None = None
    ln_ppl_ratio_clustered_se: float | None = None
    error: ErrorInfo | None = None


class ScoreSource(msgspec.Struct, frozen=True):
    """The source of the tokens: a text or several, or the reference's stream of a saved run."""

    kind: Literal["text", "run"]
    name: str


class ScoreSettings(msgspec.Struct, frozen=True):
    """Settings of a scoring; `context` is the length of a window in tokens, BOS included."""

    activation_precision: Precision
    control: bool
    context: int


class ScoreTiming(msgspec.Struct, frozen=True):
    """Seconds, and tokens a second through all functions together."""

    load_s: float
    score_s: float | None
    tokens_per_second: float | None


class ScoreDocument(msgspec.Struct, frozen=True):
    """A scoring. `tokens` and `windows` are those of the text, `positions` how many were scored.

    Every token of the text is scored that has one before it in its window, BOS included.
    `clusters` is how many windows, or documents, the standard errors are clustered by; 0 in a
    scoring of a version without them. `text` has every token with its numbers, where they were
    asked for.
    """

    schema: str
    created: str
    versions: dict[str, str]
    device: str
    model: p.ModelInfo
    settings: ScoreSettings
    source: ScoreSource
    tokens: int
    windows: int
    positions: int
    reference: str
    status: p.Status
    error: ErrorInfo | None
    timing: ScoreTiming
    peak_memory_bytes: int | None
    variants: list[ScoredVariant]
    clusters: int = 0
    cluster: Literal["window", "document"] = "window"
    documents: int = 1
    text: ScoredTokens | None = None
    yardsticks: list[ScoredYardstick] = []


def read_score(data: bytes) -> ScoreDocument | None:
    """Parse and check a scoring that was saved as JSON; None if it is something else.

    Raises `GeluError` if it contradicts itself, or is of a newer version.
    """
    schema = schema_of(data)
    if not schema.startswith("gelu-tui.score/"):
        return None
    hint = "Give a file that `gelu-tui score --format json` wrote."
    try:
        if schema != SCORE_SCHEMA:
            raise ValueError(f"its schema is not {SCORE_SCHEMA}")
        document = msgspec.json.decode(data, type=ScoreDocument)
        _check(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        message = f"This is not a saved scoring: {str(error)[:200]}."
        raise GeluError("not_a_document", message, hint) from None
    return document


def _check(document: ScoreDocument) -> None:
    """Raise `ValueError` where the parts contradict each other."""
    if document.reference not in (variant.name for variant in document.variants):
        raise ValueError("its reference is none of its variants")
    bounds = {
        tuple(bucket.below for bucket in variant.kl_buckets)
        for variant in document.variants
        if variant.kl is not None
    }
    if len(bounds) > 1 or any(len(each) < 2 or None in each[:-1] for each in bounds):
        raise ValueError("its variants have not the same ranges of probability")
    if document.text is not None:
        document.text.check()
        if len(document.text.variants) != len(document.variants):
            raise ValueError("its tokens are of other variants")
