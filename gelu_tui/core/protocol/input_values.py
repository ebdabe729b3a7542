"""The values inside events about a model's own inputs of its activation."""

from __future__ import annotations

import msgspec

from gelu_tui.core.protocol.values import Count, Name, Number


class Histogram(msgspec.Struct, frozen=True):
    """Counts between edges, one edge more than counts.

    All histograms have the same edges wherever they overlap: 1/32 apart up to 4, and twice as far
    apart from each power of two on; each is moved to the middle between two values of the 16-bit
    dtype that inputs are counted by, so that counts are exact.
    """

    edges: tuple[Number, ...]
    counts: tuple[Count, ...]


class InputStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs x of the activation; `std` is that of these values themselves (ddof=0).

    A quantile is exact for a 16-bit model. Else it lies in the right bin, which is at most 0.8 % of
    the value wide.
    """

    count: Count
    mean: Number
    std: Number
    minimum: Number
    maximum: Number
    quantiles: dict[Name, Number]
    histogram: Histogram


class SiteInputs(InputStatistics, frozen=True, kw_only=True):
    """The inputs at one site; `site` is its kind."""

    layer: Count
    site: Name


class ErrorAtSite(msgspec.Struct, frozen=True, kw_only=True):
    """A function against exact GELU on one site's inputs, by the names of `FunctionOnInputs`."""

    layer: Count
    site: Name
    max_abs_error: Number
    at: Number
    weighted_rmse: Number
    geglu_relative_error: Number | None


class ErrorBin(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs from `low` to `high`; shares are parts of 1, None where the whole is 0.

    `share_of_error` is of Σ(f−g)², g exact GELU, `share_of_geglu_error` of Σ((f−g)u)², and
    `share_of_difference` of Σ(f−r)², r the reference. `kl` is the mean KL in nats against the
    reference of the model in which f is in r's place for these inputs alone; None if not asked for.
    """

    low: Number
    high: Number
    share_of_inputs: Number
    share_of_error: Number | None
    share_of_geglu_error: Number | None
    share_of_difference: Number | None
    kl: Number | None = None


class FunctionOnInputs(msgspec.Struct, frozen=True, kw_only=True):
    """A function f against exact GELU g on all inputs x of the sites where it is used.

    `at` is the x of the largest error, `weighted_rmse` √E[(f−g)²], and `geglu_relative_error`
    √(E[((f−g)u)²] / E[(gu)²]) with u what the site multiplies its result with. `differs_in_dtype`
    is the share of inputs whose result is not that of GELU where both are evaluated in the model's
    dtype, as mlx-lm does; `differs_in_bfloat16` the same in bfloat16. `inner_…` are of those
    among the middle 99 % of the inputs of all sites; 0 where none is.
    """

    variant: Count
    max_abs_error: Number
    at: Number
    inner_max_abs_error: Number
    inner_at: Number
    weighted_rmse: Number
    geglu_relative_error: Number | None
    differs_in_dtype: Number
    differs_in_bfloat16: Number
    layers: tuple[ErrorAtSite, ...]
    bins: tuple[ErrorBin, ...]
