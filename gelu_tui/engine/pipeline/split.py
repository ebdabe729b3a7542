"""Which rank has which layers of a model, and a model cut down to them."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.models.base import create_attention_mask
from mlx_lm.models.cache import ArraysCache, make_prompt_cache

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.configuration import Configuration
from gelu_tui.core.models.families import FAMILIES, Family
from gelu_tui.engine.models.loading import first_not_finite

# Their layers share nothing with each other, and know their mask by the kind of their cache.
_SERVED = ("gemma", "gemma2", "gemma3_text", "gemma3", "recurrent_gemma")


def decoder_of(model: Any) -> Any:
    """The module of a served model that has embedding, layers and the last norm."""
    return getattr(model, "language_model", model).model


def borders_of(model: Any, family: Family, ranks: int) -> tuple[int, ...]:
    """The first layer of each rank, and the number of layers at the end.

    Every rank has about as many bytes; rank 0 also has the embedding and the output head. Raises
    `GeluError` for a family that is not served or a model with too few layers.
    """
    if family.name not in _SERVED:
        others = ", ".join(name for name in FAMILIES if name in _SERVED)
        raise GeluError(
            "pipeline",
            f"A {family.name} cannot be split by layers: some of its layers need others' results.",
            f"Run it on one machine. Served in a pipeline are {others}.",
        )
    decoder = decoder_of(model)
    sizes = [_bytes_of(layer) for layer in decoder.layers]
    # mlx-lm looks up the cache of the first layer of each kind, so rank 0 has all before these.
    least = getattr(decoder, "sliding_window_pattern", 1) - 1
    least = max(1, least, getattr(decoder, "swa_idx", 0))
    if len(sizes) - least < ranks - 1:
        message = f"A model of {len(sizes)} layers cannot be split over {ranks} ranks."
        raise GeluError("pipeline", message, "Choose fewer ranks.")
    total = _bytes_of(model)
    ends = list(itertools.accumulate(sizes, initial=total - sum(sizes)))  # of rank 0's first layers
    borders = [0]
    for rank in range(1, ranks):
        held = ends[borders[-1]] if rank > 1 else 0  # by the ranks before the last border
        wanted = held + (total - held) / (ranks - rank + 1)
        border = min(range(len(ends)), key=lambda at: abs(ends[at] - wanted))
        first = least if rank == 1 else borders[-1] + 1
        borders.append(min(max(border, first), len(sizes) - (ranks - rank)))
    return (*borders, len(sizes))


def _bytes_of(module: Any) -> int:
    return sum(value.nbytes for _, value in tree_flatten(module.parameters()))


def digest_of(configuration: Configuration) -> str:
    """What is equal where two ranks have the same config.json."""
    text = json.dumps(configuration.values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class Part(nn.Module):
    """Some layers of a model and their caches."""

    def __init__(self, model: Any, first: int, end: int) -> None:
        """Take layers `first` to `end` of a model whose weights are not read yet."""
        super().__init__()
        decoder = decoder_of(model)
        self.layers = decoder.layers[first:end]
        self._first = first
        self._window = getattr(decoder, "window_size", None)
        self._mask_is_array = type(decoder).__module__.endswith(".gemma2")
        self._empty = make_prompt_cache(model)[first:end]

    def make_cache(self) -> list[Any]:
        """An empty cache of each layer."""
        return copy.deepcopy(self._empty)

    def first_not_finite(self) -> str | None:
        """As `loading.first_not_finite`; the name counts the layers of the whole model."""
        for number, layer in enumerate(self.layers, self._first):
            if (name := first_not_finite(layer)) is not None:
                return f"layers.{number}.{name}"
        return None

    def __call__(self, hidden: mx.array, cache: list[Any] | None) -> mx.array:
        """The hidden states behind the last layer, with mlx-lm's own masks."""
        if cache is None:
            # An empty one has the same masks.
            cache = self.make_cache()
        masks: dict[type, Any] = {ArraysCache: None}  # of layers without attention
        for layer, its in zip(self.layers, cache, strict=True):
            kind = type(its)
            if kind not in masks:
                window = self._window if "Rotating" in kind.__name__ else None
                masks[kind] = create_attention_mask(
                    hidden, its, window_size=window, return_array=self._mask_is_array
                )
            hidden = layer(hidden, mask=masks[kind], cache=its)
        return hidden
