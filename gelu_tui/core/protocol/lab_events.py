"""Events of the commands that read a text or look at functions: scorings and the lab."""

from __future__ import annotations

from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.functions.registry import Precision
from gelu_tui.core.protocol.events import Event
from gelu_tui.core.protocol.input_values import FunctionOnInputs, InputStatistics, SiteInputs
from gelu_tui.core.protocol.values import (
    Candidate,
    Count,
    FunctionCurve,
    FunctionSpeed,
    Index,
    Moved,
    Name,
    Number,
    Place,
    ScoredRow,
    Seconds,
    Status,
    SwappedRow,
    TokenChance,
    TokenText,
    VariantInfo,
    YardstickInfo,
)
from gelu_tui.core.settings.run_settings import Dtype


class TextStarted(Event, frozen=True):
    """A text begins to be read."""

    variants: tuple[VariantInfo, ...]
    reference: int
    tokens: Count  # of the text, without BOS
    windows: Count
    positions: Count  # tokens that will be fed
    context: Count  # length of a window in tokens, BOS included
    documents: Count = 1  # texts; positions are clustered by them, or by the windows of one


class FunctionFailed(Event, frozen=True):
    """One variant cannot be measured any further; the others continue."""

    variant: Index
    error: ErrorInfo


class TextFinished(Event, frozen=True):
    """A text is read, or no further; `seconds` do not include loading."""

    last = True
    status: Status
    seconds: Seconds
    peak_memory_bytes: Count
    error: ErrorInfo | None = None


class ScoreStarted(TextStarted, frozen=True, tag="score_started"):
    """A scoring begins."""

    bos: tuple[Index, ...] = ()  # the tokens in front of each window that are not of the text
    yardsticks: tuple[YardstickInfo, ...] = ()


class ScoreChunk(Event, frozen=True, tag="score_chunk"):
    """The next positions of a scoring: of the reference, and in `rows` of each variant.

    All of them are of one cluster, whose number grows: positions of one cluster are not
    independent of each other. `tokens` and `texts` (what each token completes, as in `StreamStep`)
    are those of the positions; where no BOS is in front of a window, its first token, which has no
    statistics, comes before them.
    """

    logprob: tuple[float, ...]
    top_probability: tuple[float, ...]  # of the reference's most probable token
    rows: tuple[ScoredRow, ...]
    cluster: Count = 0
    window: Count = 0
    tokens: tuple[Index, ...] = ()
    texts: tuple[TokenText, ...] = ()


class ScoreFailed(FunctionFailed, frozen=True, tag="score_failed"):
    """One variant or yardstick cannot be scored any further; `variant` is as in `ScoredRow`."""


class ScoreFinished(TextFinished, frozen=True, tag="score_finished"):
    """A scoring ended."""


class FunctionValuesFound(Event, frozen=True, tag="function_values_found"):
    """The answer to `FunctionValues`: x grows, and is exact in the dtype.

    `speeds` is empty unless they were asked for; `elements` is how many values each call made.
    """

    last = True
    dtype: Dtype
    precision: Precision
    device: Name
    x: tuple[Number, ...]
    functions: tuple[FunctionCurve, ...]
    speeds: tuple[FunctionSpeed, ...] = ()
    elements: Count = 0


class CandidatesFound(Event, frozen=True, tag="candidates_found"):
    """The most probable tokens at one place under the reference and a variant, best first.

    `reference` and `other` are the chances of the text's own `token`; `kl` (nats) and `same_top`
    are as in `ScoredRow`.
    """

    last = True
    variant: int
    token: Index
    reference_top: tuple[Candidate, ...]
    variant_top: tuple[Candidate, ...]
    reference: TokenChance
    other: TokenChance
    kl: float
    same_top: bool


class InputsStarted(TextStarted, frozen=True, tag="inputs_started"):
    """A text begins to be read for the inputs of the activation."""


class InputsFound(Event, frozen=True, tag="inputs_found"):
    """All inputs of the positions until now; it takes the place of the event before it.

    `layers` are in the order of the layers. Functions that have failed are missing.
    """

    positions: Count
    layers: tuple[SiteInputs, ...]
    all: InputStatistics
    functions: tuple[FunctionOnInputs, ...]


class InputsKl(Event, frozen=True, tag="inputs_kl"):
    """One function in the place of the reference; it takes the place of the event before it.

    `bins` has the mean KL for each of the function's bins, `kl` that of the function everywhere.
    """

    variant: Count
    positions: Count
    kl: Number
    bins: tuple[Number, ...]


class InputsFailed(FunctionFailed, frozen=True, tag="inputs_failed"):
    """One function's errors cannot be measured any further."""


class InputsFinished(TextFinished, frozen=True, tag="inputs_finished"):
    """All inputs are read."""


class LayersStarted(TextStarted, frozen=True, tag="layers_started"):
    """Swaps of single layers begin; figures that were kept of an earlier time come at once."""

    places: tuple[Place, ...] = ()
    kept: Name = ""  # the file that keeps the figures until they are complete, if one can


class LayersChunk(Event, frozen=True, tag="layers_chunk"):
    """The next positions of one variant, all of one cluster: sums over them.

    `rows` has the site of each of the places, in their order.
    """

    variant: Index
    window: Count
    first: Count  # position in its window
    positions: Count
    cluster: Count
    no_swap: Moved  # a row like all others, but without a swap
    all: Moved  # the variant at every site
    rows: tuple[SwappedRow, ...]


class LayersFailed(FunctionFailed, frozen=True, tag="layers_failed"):
    """One variant's swaps cannot be measured any further."""


class FreeRan(Event, frozen=True, tag="free_ran"):
    """First divergent tokens of one variant's rows in greedy generation; None: no divergence.

    `rows` has those of each place, `all` that of the variant at every site. `steps` were decoded.
    """

    variant: Index
    all: Index | None
    rows: tuple[Index | None, ...]
    steps: Count


class LayersFinished(TextFinished, frozen=True, tag="layers_finished"):
    """Swaps of single layers ended."""
