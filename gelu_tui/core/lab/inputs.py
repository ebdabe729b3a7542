"""What a model gives to its activation, as a document: the contract with scripts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

import msgspec
from msgspec.structs import asdict, replace

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.functions.registry import Precision
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.scoring.document import ScoreSource

INPUTS_SCHEMA = "gelu-tui.inputs/1"


class InputsSettings(msgspec.Struct, frozen=True):
    """How the text was read; `context` is the length of a window in tokens, BOS included."""

    activation_precision: Precision
    causal: bool
    context: int


class InputsFunction(p.VariantInfo, frozen=True, kw_only=True):
    """A function on the model's inputs, by the names of `FunctionOnInputs`.

    `kl` is the mean KL of the function in the reference's place everywhere; each bin has its own.
    All figures are None if there are none; `error` says why.
    """

    max_abs_error: p.Number | None = None
    at: p.Number | None = None
    inner_max_abs_error: p.Number | None = None
    inner_at: p.Number | None = None
    weighted_rmse: p.Number | None = None
    geglu_relative_error: p.Number | None = None
    differs_in_dtype: p.Number | None = None
    differs_in_bfloat16: p.Number | None = None
    layers: tuple[p.ErrorAtSite, ...] = ()
    bins: tuple[p.ErrorBin, ...] = ()
    kl: p.Number | None = None
    kl_positions: p.Count | None = None
    error: ErrorInfo | None = None


class InputsDocument(msgspec.Struct, frozen=True):
    """The inputs of a model's activation on a text, and the functions on them.

    `positions` are the tokens that were fed: each of the text but the last one of its window, BOS
    included. `all` and `summary` are of all sites together.
    """

    schema: str
    created: str
    versions: dict[str, str]
    device: str
    model: p.ModelInfo
    settings: InputsSettings
    source: ScoreSource
    tokens: p.Count
    windows: p.Count
    positions: p.Count
    reference: str
    status: p.Status
    error: ErrorInfo | None
    load_s: p.Seconds
    seconds: p.Seconds | None
    peak_memory_bytes: p.Count | None
    layers: tuple[p.SiteInputs, ...]
    all: p.InputStatistics | None
    functions: tuple[InputsFunction, ...]
    summary: str


class ReadInputs:
    """A text while it is read: `apply` every event; `document` works at any time.

    Raises `ProtocolError` for events that contradict each other.
    """

    def __init__(self, started: p.InputsStarted) -> None:
        if not 0 <= started.reference < len(started.variants):
            raise p.ProtocolError("The engine began to read inputs without a reference.")
        self.started = started
        self.found: p.InputsFound | None = None
        self.finished: p.InputsFinished | None = None
        self._kl: dict[int, p.InputsKl] = {}
        self._errors: dict[int, ErrorInfo] = {}

    def apply(self, event: p.Event) -> None:
        """Apply an event; those of other commands are ignored. Raises `ProtocolError`."""
        known = range(len(self.started.variants))
        match event:
            case p.InputsFound():
                if any(function.variant not in known for function in event.functions):
                    raise p.ProtocolError("The engine measured a function that was not chosen.")
                if not all(map(_is_whole, (event.all, *event.layers))):
                    raise p.ProtocolError("The engine sent inputs that contradict themselves.")
                self.found = event
            case p.InputsKl() if event.variant in known:
                self._kl[event.variant] = event
            case p.InputsFailed() if event.variant in known:
                self._errors[event.variant] = event.error
            case p.InputsFinished():
                self.finished = event

    @property
    def functions(self) -> tuple[InputsFunction, ...]:
        """The functions with what is known of them now."""
        measured = {each.variant: each for each in self.found.functions} if self.found else {}
        return tuple(
            self._function(number, info, measured.get(number))
            for number, info in enumerate(self.started.variants)
        )

    def _function(
        self, number: int, info: p.VariantInfo, measured: p.FunctionOnInputs | None
    ) -> InputsFunction:
        fields = asdict(info)
        error = self._errors.get(number)
        if measured is None:
            return InputsFunction(**fields, error=error)
        fields |= {k: v for k, v in asdict(measured).items() if k != "variant"}
        kl = self._kl.get(number)
        if kl is not None and len(kl.bins) == len(measured.bins):
            pairs = zip(measured.bins, kl.bins, strict=True)
            fields["bins"] = tuple(replace(bin_, kl=mean) for bin_, mean in pairs)
            fields |= {"kl": kl.kl, "kl_positions": kl.positions}
        return InputsFunction(**fields, error=error)

    def document(
        self,
        loaded: p.Loaded,
        source: ScoreSource,
        *,
        causal: bool = False,
        status: p.Status,
        error: ErrorInfo | None = None,
    ) -> InputsDocument:
        """The document of what is read so far."""
        started, found, finished = self.started, self.found, self.finished
        reference = started.variants[started.reference]
        functions = self.functions
        return InputsDocument(
            schema=INPUTS_SCHEMA,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            versions=loaded.versions,
            device=loaded.device,
            model=loaded.model,
            settings=InputsSettings(reference.precision, causal, started.context),
            source=source,
            tokens=started.tokens,
            windows=started.windows,
            positions=found.positions if found else 0,
            reference=reference.name,
            status=status,
            error=error,
            load_s=loaded.load_s,
            seconds=finished.seconds if finished else None,
            peak_memory_bytes=finished.peak_memory_bytes if finished else None,
            layers=found.layers if found else (),
            all=found.all if found else None,
            functions=functions,
            summary=summary(found.all, functions) if found else "",
        )


def _is_whole(inputs: p.InputStatistics) -> bool:
    """Whether there is all that is shown, and edges and counts fit each other."""
    edges, counts = inputs.histogram.edges, inputs.histogram.counts
    grow = all(a < b for a, b in pairwise(edges))
    known = {"0.001", "0.005", "0.5", "0.995", "0.999"} <= inputs.quantiles.keys()
    return known and inputs.count > 0 and len(edges) == len(counts) + 1 > 1 and grow


def summary(inputs: p.InputStatistics, functions: Sequence[InputsFunction]) -> str:
    """One sentence: where 99 % of the inputs lie, and how far the functions are off there."""
    low, high = (_short(inputs.quantiles[share]) for share in ("0.005", "0.995"))
    sentence = f"99 % of this model's gate inputs lie in [{low}, {high}]"
    off = [
        (f.inner_max_abs_error, f.inner_at, f.name)
        for f in functions
        if f.inner_max_abs_error is not None and f.inner_at is not None
    ]
    wrong = sorted((each for each in off if each[0] >= _ROUNDING), reverse=True)
    if not off:
        return f"{sentence}."
    if not wrong:
        return f"{sentence}; there the functions differ from exact GELU by rounding alone."
    (error, at, name), *others = wrong
    parts = [f"{visible_line(name)} is off by up to {error:#.2g}, at x = {_short(at)}"]
    parts += [
        f"{visible_line(name)} by {error:#.2g}, at {_short(at)}" for error, at, name in others[:2]
    ]
    return f"{sentence}; there {', '.join(parts)}."


_ROUNDING = 1e-6  # of float32 results up to 8


def _short(x: float) -> str:
    return f"{x:.3g}".replace("-", "−")
