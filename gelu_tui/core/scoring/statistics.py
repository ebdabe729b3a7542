"""Statistics of a text from the numbers of each position.

Percentiles interpolate linearly between the two nearest positions (numpy's default).

Positions of one window read the same words, so that their numbers are alike. Standard errors are
clustered therefore: CR1 of a mean m over N positions in G clusters (windows, or documents),

    √(G/(G−1) · Σ_g (Σ_{i in g} (x_i − m))²) / N

which is Liang and Zeger's (Biometrika 73, 1986, 13) with the usual factor for few clusters. With
each position a cluster it is the naive one, std(ddof=1)/√N, which llama.cpp prints.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec.structs import asdict, replace

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.scoring.document import (
    SCORE_SCHEMA,
    DeltaP,
    KlBucket,
    KlStatistics,
    ScoreDocument,
    ScoredVariant,
    ScoredYardstick,
    ScoreSettings,
    ScoreSource,
    ScoreTiming,
)
from gelu_tui.core.scoring.tokens import ScoredText, ScoredTokens, TokenColumns

Numbers = npt.NDArray[np.float64]  # one for each position

# Upper bounds of the reference's top probability in each bucket of positions.
_BUCKETS_BELOW = (0.25, 0.5, 0.75, 0.95, None)


# What a yardstick has of the statistics against the reference, besides those of KL.
_OF_A_YARDSTICK = (
    "same_top_1",
    "same_top_1_clustered_se",
    "ln_ppl_ratio",
    "ln_ppl_ratio_clustered_se",
)


class Row:
    """The numbers of one function: one in each column for each position."""

    def __init__(self) -> None:
        self.logprob = array("d")
        self.kl = array("d")
        self.same_top = array("d")
        self.error: ErrorInfo | None = None


class Scoring:
    """A text while it is scored: `apply` every event; `document` works at any time.

    Raises `ProtocolError` for events that contradict each other.
    """

    def __init__(self, started: p.ScoreStarted) -> None:
        if not 0 <= started.reference < len(started.variants):
            raise p.ProtocolError("The engine started a scoring without its reference.")
        self.started = started
        self.finished: p.ScoreFinished | None = None
        self.rows = [Row() for _ in started.variants]
        self.yardsticks = [Row() for _ in started.yardsticks]
        self._all = [*self.rows, *self.yardsticks]  # as chunks count them
        self.text = ScoredText(started.bos)
        self._top_probability = array("d")
        self._cluster = array("q")

    @property
    def positions(self) -> int:
        return len(self._top_probability)

    def apply(self, event: p.Event) -> None:
        """Apply an event; those of other commands are ignored. Raises `ProtocolError`."""
        match event:
            case p.ScoreChunk():
                self._check(event)
                self.text.take(event)
                self.rows[self.started.reference].logprob.extend(event.logprob)
                self._top_probability.extend(event.top_probability)
                self._cluster.extend([event.cluster] * len(event.logprob))
                for scored in event.rows:
                    row = self._all[scored.variant]
                    row.logprob.extend(scored.logprob)
                    row.kl.extend(scored.kl)
                    row.same_top.extend(scored.same_top)
            case p.ScoreFailed() if 0 <= event.variant < len(self._all):
                self._all[event.variant].error = event.error
            case p.ScoreFinished():
                self.finished = event

    def _check(self, chunk: p.ScoreChunk) -> None:
        """Check that every function that has not failed has every number at every position."""
        going = {index for index, row in enumerate(self._all) if row.error is None}
        columns = [chunk.logprob, chunk.top_probability]
        for row in chunk.rows:
            columns += [row.logprob, row.kl, row.same_top]
        if going - {self.started.reference} != {row.variant for row in chunk.rows} or (
            len({len(column) for column in columns}) > 1
        ):
            raise p.ProtocolError("The engine scored other functions than it started with.")

    def document(
        self,
        loaded: p.Loaded,
        source: ScoreSource,
        *,
        status: p.Status,
        error: ErrorInfo | None = None,
        activations: Sequence[str] = (),
    ) -> ScoreDocument:
        """The document of what is scored so far.

        With `activations`, the functions as they were chosen, it has the text with all tokens.
        """
        started, finished = self.started, self.finished
        seconds = finished.seconds if finished else None
        reference = started.variants[started.reference]
        has_control = any(variant.control for variant in started.variants)
        clusters = Clusters(np.array(self._cluster, dtype=np.int64))
        scored = [self._variant(index, clusters) for index in range(len(self.rows))]
        floor = next((v.kl.mean for v in scored if v.control and v.kl), 0.0)
        variants = [
            replace(v, times_noise_floor=v.kl.mean / floor) if v.kl and floor else v for v in scored
        ]
        return ScoreDocument(
            schema=SCORE_SCHEMA,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            versions=loaded.versions,
            device=loaded.device,
            model=loaded.model,
            settings=ScoreSettings(reference.precision, has_control, started.context),
            source=source,
            tokens=started.tokens,
            windows=started.windows,
            positions=self.positions,
            reference=reference.name,
            status=status,
            error=error,
            timing=ScoreTiming(loaded.load_s, seconds, seconds and self.positions / seconds),
            peak_memory_bytes=finished.peak_memory_bytes if finished else None,
            variants=variants,
            clusters=clusters.count,
            cluster="document" if started.documents > 1 else "window",
            documents=started.documents,
            text=self._tokens(activations) if activations else None,
            yardsticks=[
                self._yardstick(info, row, clusters, floor)
                for info, row in zip(started.yardsticks, self.yardsticks, strict=True)
            ],
        )

    def _tokens(self, activations: Sequence[str]) -> ScoredTokens:
        text = self.text
        columns = [
            TokenColumns(
                text.column(row.logprob),
                text.column(row.kl),
                [None if same is None else same > 0 for same in text.column(row.same_top)],
            )
            for row in self.rows
        ]
        return ScoredTokens(
            list(text.bos), list(text.ids), text.texts, list(text.windows), columns,
            list(activations),
        )  # fmt: skip

    def _variant(self, index: int, clusters: Clusters) -> ScoredVariant:
        row, reference = self.rows[index], self.rows[self.started.reference]
        fields = asdict(self.started.variants[index])
        if row.error is not None or not self.positions:
            return ScoredVariant(**fields, error=row.error)
        fields |= _perplexity(np.array(row.logprob), clusters)
        if row is not reference:
            fields |= self._against_reference(row, clusters)
        return ScoredVariant(**fields)

    def _yardstick(
        self, info: p.YardstickInfo, row: Row, clusters: Clusters, floor: float
    ) -> ScoredYardstick:
        if row.error is not None or not self.positions:
            return ScoredYardstick(info.name, info.description, error=row.error)
        found = self._against_reference(row, clusters)
        kl = found["kl"]
        shared = {name: found[name] for name in _OF_A_YARDSTICK}
        return ScoredYardstick(
            info.name,
            info.description,
            kl.mean,
            kl.se,
            kl.clustered_se,
            kl.mean / floor if floor else None,
            **shared,
        )

    def _against_reference(self, row: Row, clusters: Clusters) -> dict[str, Any]:
        reference = self.rows[self.started.reference]
        columns = (
            row.logprob, reference.logprob, row.kl, row.same_top, self._top_probability,
        )  # fmt: skip
        return against_reference(clusters, *map(np.array, columns))


def mean_and_error(values: Numbers) -> tuple[float, float | None]:
    """The mean and its naive standard error, std(ddof=1)/√n; None for a single value."""
    n = len(values)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else None


class Clusters:
    """Which positions belong together: `of` has the number of each position's cluster."""

    def __init__(self, of: npt.NDArray[np.int64]) -> None:
        names, self._of = np.unique(of, return_inverse=True)
        self.count = len(names)

    def error(self, values: Numbers) -> float | None:
        """The clustered standard error of the mean of values; None for a single cluster."""
        if self.count < 2:
            return None
        sums = np.bincount(self._of, values - values.mean())
        factor = self.count / (self.count - 1)
        return float(np.sqrt(factor * (sums**2).sum())) / len(values)


def _perplexity(logprob: Numbers, clusters: Clusters) -> dict[str, Any]:
    """exp(−mean ln p), and its standard errors by the delta method: PPL · se(mean)."""
    mean, error = mean_and_error(-logprob)
    with np.errstate(over="ignore"):
        perplexity = float(np.exp(mean))
    if not np.isfinite(perplexity):
        return {}
    errors = {"perplexity_se": error, "perplexity_clustered_se": clusters.error(logprob)}
    return {"perplexity": perplexity} | {
        name: None if each is None else perplexity * each for name, each in errors.items()
    }


def against_reference(
    clusters: Clusters,
    logprob: Numbers,
    reference_logprob: Numbers,
    kl: Numbers,
    same_top: Numbers,
    top_probability: Numbers,
) -> dict[str, Any]:
    """All statistics against the reference, by the fields of `ScoredVariant`.

    All arrays have shape (positions,), with at least one position.
    """
    ratio, ratio_error = mean_and_error(reference_logprob - logprob)
    same, same_error = mean_and_error(100 * same_top)
    delta = 100 * (np.exp(logprob) - np.exp(reference_logprob))
    return {
        "ln_ppl_ratio": ratio,
        "ln_ppl_ratio_se": ratio_error,
        "ln_ppl_ratio_clustered_se": clusters.error(reference_logprob - logprob),
        "kl": kl_statistics(kl, clusters),
        "kl_buckets": kl_buckets(kl, top_probability),
        "same_top_1": same,
        "same_top_1_se": same_error,
        "same_top_1_clustered_se": clusters.error(100 * same_top),
        "delta_p": DeltaP(float(delta.mean()), float(np.sqrt((delta**2).mean()))),
    }


def kl_statistics(kl: Numbers, clusters: Clusters) -> KlStatistics:
    """Mean and percentiles of KL, shape (positions,)."""
    mean, error = mean_and_error(kl)
    found = map(float, np.percentile(kl, [50, 90, 95, 99, 99.9, 100]))
    percentiles = dict(zip(("median", "p90", "p95", "p99", "p99_9", "max"), found, strict=True))
    return KlStatistics(mean, error, clustered_se=clusters.error(kl), **percentiles)


def kl_buckets(kl: Numbers, top_probability: Numbers) -> tuple[KlBucket, ...]:
    """Positions and mean KL by the reference's top probability; arrays of shape (positions,)."""
    bucket = np.digitize(top_probability, [b for b in _BUCKETS_BELOW if b is not None])
    parts = [kl[bucket == index] for index in range(len(_BUCKETS_BELOW))]
    return tuple(
        KlBucket(below, len(part), float(part.mean()) if len(part) else None)
        for below, part in zip(_BUCKETS_BELOW, parts, strict=True)
    )
