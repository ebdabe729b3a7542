"""Which layer does it: the JSON document, and how it grows while the engine measures.

Standard errors are clustered as those of a scoring (`core.scoring.statistics`), from the sums of
each cluster: √(G/(G−1) · Σ_g (s_g − n_g m)²) / N.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, UsageError
from gelu_tui.core.functions.registry import Precision, names
from gelu_tui.core.functions.variants import (
    Variant,
    all_limited,
    check_variants,
    named,
    parse_variant,
    resolve_reference,
)
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.run_settings import RunSettings

LAYERS_SCHEMA = "gelu-tui.layers/1"

# Σ of the single layers ÷ all together: within these they add up, nearly enough.
_ADDITIVE = (0.8, 1.25)


class Swap(msgspec.Struct, frozen=True):
    """Means over positions of what a swap does, against the reference in all layers.

    `kl` is in nats; `logit_difference` the mean change of (logit of the text's next token − mean of
    all logits). Standard errors are clustered; None for a single cluster.
    """

    kl: float
    logit_difference: float
    kl_se: float | None = None
    logit_difference_se: float | None = None


class LayerSwap(msgspec.Struct, frozen=True):
    """One site of a layer: swapped alone, and kept while all others are swapped.

    `first_divergent_token` is that of the single swap in greedy generation; None where there is
    none, or where nothing was generated.
    """

    layer: int
    site: str
    noising: Swap
    denoising: Swap
    first_divergent_token: int | None = None


class FreeRun(msgspec.Struct, frozen=True):
    """Greedy generation with each swap: the steps, and where the full swap diverges."""

    steps: int
    first_divergent_token: int | None


class VariantLayers(msgspec.Struct, frozen=True, kw_only=True):
    """One variant, site by site. Without positions there are no figures.

    `additivity` is Σ noising kl ÷ all kl, None where the latter is 0, and `adds_up` says it in a
    word. `no_swap` is a row that is computed like all others, but without a swap.
    """

    variant: str
    formula: str
    positions: int
    clusters: int
    layers: list[LayerSwap]
    all: Swap | None
    additivity: float | None
    adds_up: Literal["adds up", "less than the whole", "more than the whole"] | None
    no_swap_kl: float | None
    no_swap_logit_difference: float | None
    free_running: FreeRun | None = None
    error: ErrorInfo | None = None


class LayersSettings(msgspec.Struct, frozen=True):
    """Settings of the measurement; `context` is the length of a window in tokens, BOS included."""

    activation_precision: Precision
    context: int


class LayersDocument(VariantLayers, frozen=True, kw_only=True):
    """A measurement. Its own figures are the first variant's, `others` has those of the others.

    `tokens` and `windows` are those of the text, `all_positions` how many a complete measurement
    has; `seconds` are those of this time, without loading, where it went on from an earlier one.
    `kept` is whether an incomplete one goes on where it stopped.
    """

    schema: str
    created: str
    versions: dict[str, str]
    device: str
    model: p.ModelInfo
    settings: LayersSettings
    source: ScoreSource
    tokens: int
    windows: int
    documents: int
    cluster: Literal["window", "document"]
    all_positions: int
    reference: str
    status: p.Status
    error: ErrorInfo | None = None
    seconds: float | None = None
    peak_memory_bytes: int | None = None
    others: list[VariantLayers] = []
    kept: bool = True

    @property
    def variants(self) -> list[VariantLayers]:
        """All variants, the first included."""
        return [self, *self.others]


def chosen_variants(settings: RunSettings, native: str) -> tuple[Variant, list[Variant]]:
    """The reference, which need not be chosen, and the functions that are compared with it.

    The reference is the named one, else the model's own. Raises `UsageError` where nothing is left
    to compare with it.
    """
    chosen = [parse_variant(spec) for spec in named(settings.activations)]
    name = settings.reference or native
    canonical = names().get(name, name)
    found = next((variant for variant in chosen if variant.name == canonical), None)
    reference = parse_variant(name) if found is None else found
    others = [variant for variant in chosen if variant.name != reference.name]
    resolve_reference([reference, *chosen], reference.name, None)
    if not others:
        message = f"'{reference.name}' is the reference, so there is nothing to swap."
        raise UsageError(message, "Give another function with -a.", kind="no_variant")
    check_variants([reference, *others])
    return reference, others


def with_reference(settings: RunSettings) -> RunSettings:
    """The settings with the named reference among the functions, which need not be chosen.

    Raises `UsageError`.
    """
    if settings.reference is None:
        variants = [parse_variant(spec) for spec in named(settings.activations)]
        if variants and all(variant.limits is not None for variant in variants):
            raise all_limited(", or name it as the reference")
        return settings
    reference, _others = chosen_variants(settings, settings.reference)
    chosen = {parse_variant(spec).name for spec in named(settings.activations)}
    if reference.name in chosen:
        return settings
    return replace(settings, activations=(settings.reference, *settings.activations))


class _Sums:
    """Sums of one row, for each cluster."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[int, float, float]] = {}

    def add(self, cluster: int, positions: int, moved: p.Moved) -> None:
        n, kl, difference = self._of.get(cluster, (0, 0.0, 0.0))
        self._of[cluster] = (
            n + positions,
            kl + moved.kl,
            difference + moved.logit_difference,
        )

    @property
    def clusters(self) -> int:
        return len(self._of)

    def means(self) -> Swap:
        kl, kl_se = self._mean(1)
        difference, difference_se = self._mean(2)
        return Swap(kl, difference, kl_se, difference_se)

    def _mean(self, which: Literal[1, 2]) -> tuple[float, float | None]:
        """Mean and clustered standard error."""
        sums = [(cluster[0], cluster[which]) for cluster in self._of.values()]
        count, clusters = sum(n for n, _ in sums), len(sums)
        mean = math.fsum(each for _, each in sums) / count
        if clusters < 2:
            return mean, None
        squares = math.fsum((each - n * mean) ** 2 for n, each in sums)
        return mean, math.sqrt(clusters / (clusters - 1) * squares) / count


class _OfVariant:
    """What is known of one variant."""

    def __init__(self, places: int) -> None:
        self.positions = 0
        self.no_swap, self.all = _Sums(), _Sums()
        self.noising = [_Sums() for _ in range(places)]
        self.denoising = [_Sums() for _ in range(places)]
        self.ran: p.FreeRan | None = None
        self.error: ErrorInfo | None = None

    def add(self, chunk: p.LayersChunk) -> None:
        self.positions += chunk.positions
        rows = [(self.no_swap, chunk.no_swap), (self.all, chunk.all)]
        rows += zip(self.noising, (row.noising for row in chunk.rows), strict=True)
        rows += zip(self.denoising, (row.denoising for row in chunk.rows), strict=True)
        for sums, moved in rows:
            sums.add(chunk.cluster, chunk.positions, moved)


class LayersState:
    """A measurement while it grows: `apply` every event; `document` works at any time.

    Raises `ProtocolError` for events that contradict each other.
    """

    def __init__(self, started: p.LayersStarted) -> None:
        if started.reference != 0 or len(started.variants) < 2:
            raise p.ProtocolError("The engine swaps layers without a reference.")
        self.started = started
        self.finished: p.LayersFinished | None = None
        self._variants = [_OfVariant(len(started.places)) for _ in started.variants[1:]]

    @property
    def positions(self) -> int:
        """Positions of all variants so far."""
        return sum(variant.positions for variant in self._variants)

    def apply(self, event: p.Event) -> None:
        """Apply an event; those of other commands are ignored. Raises `ProtocolError`."""
        match event:
            case p.LayersChunk():
                if len(event.rows) != len(self.started.places):
                    raise p.ProtocolError("The engine swapped other layers than it started with.")
                self._of(event.variant).add(event)
            case p.LayersFailed():
                self._of(event.variant).error = event.error
            case p.FreeRan():
                if len(event.rows) != len(self.started.places):
                    raise p.ProtocolError("The engine swapped other layers than it started with.")
                self._of(event.variant).ran = event
            case p.LayersFinished():
                self.finished = event

    def _of(self, variant: int) -> _OfVariant:
        if not 1 <= variant <= len(self._variants):
            raise p.ProtocolError("The engine swapped a function that it did not start with.")
        return self._variants[variant - 1]

    def document(
        self,
        loaded: p.Loaded,
        source: ScoreSource,
        *,
        status: p.Status,
        error: ErrorInfo | None = None,
    ) -> LayersDocument:
        """The document of what is measured so far."""
        started, finished = self.started, self.finished
        reference = started.variants[0]
        first, *others = map(self._variant, range(len(self._variants)))
        return LayersDocument(
            **msgspec.structs.asdict(first) | {"error": first.error or error},
            schema=LAYERS_SCHEMA,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            versions=loaded.versions,
            device=loaded.device,
            model=loaded.model,
            settings=LayersSettings(reference.precision, started.context),
            source=source,
            tokens=started.tokens,
            windows=started.windows,
            documents=started.documents,
            cluster="document" if started.documents > 1 else "window",
            all_positions=started.positions,
            reference=reference.name,
            status=status,
            seconds=finished.seconds if finished else None,
            peak_memory_bytes=finished.peak_memory_bytes if finished else None,
            others=others,
            kept=bool(self.started.kept),
        )

    def _variant(self, index: int) -> VariantLayers:
        info, of = self.started.variants[index + 1], self._variants[index]
        ran = of.ran
        if not of.positions:
            return VariantLayers(
                variant=info.name, formula=info.formula, positions=0, clusters=0, layers=[],
                all=None, additivity=None, adds_up=None, no_swap_kl=None,
                no_swap_logit_difference=None, error=of.error,
            )  # fmt: skip
        diverged: Sequence[int | None] = ran.rows if ran else [None] * len(self.started.places)
        layers = [
            LayerSwap(place.layer, place.site, noising.means(), denoising.means(), token)
            for place, noising, denoising, token in zip(
                self.started.places, of.noising, of.denoising, diverged, strict=True
            )
        ]
        everywhere, no_swap = of.all.means(), of.no_swap.means()
        total = math.fsum(layer.noising.kl for layer in layers)
        additivity = total / everywhere.kl if everywhere.kl > 0 else None
        return VariantLayers(
            variant=info.name,
            formula=info.formula,
            positions=of.positions,
            clusters=of.all.clusters,
            layers=layers,
            all=everywhere,
            additivity=additivity,
            adds_up=_in_a_word(additivity),
            no_swap_kl=no_swap.kl,
            no_swap_logit_difference=no_swap.logit_difference,
            free_running=FreeRun(ran.steps, ran.all) if ran else None,
            error=of.error,
        )


def _in_a_word(
    additivity: float | None,
) -> Literal["adds up", "less than the whole", "more than the whole"] | None:
    if additivity is None:
        return None
    low, high = _ADDITIVE
    if additivity < low:
        return "less than the whole"
    return "adds up" if additivity <= high else "more than the whole"
