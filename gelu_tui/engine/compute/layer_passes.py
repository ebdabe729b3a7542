"""Forward passes that share what they have in common: each begins at a layer of its own.

A pass that differs from an earlier one from layer k on is mlx-lm's own forward pass, in which a
layer before k is not computed: it returns what it returned in the earlier pass. Each is computed at
batch 1, in equal shapes, so that equal functions give equal bits. The output head runs by itself,
over as many positions as there is memory for their logits.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from gelu_tui.core.errors import GeluError
from gelu_tui.engine.compute.elsewhere import LayersElsewhere
from gelu_tui.engine.failures import IsCancelled, stop_if

Cache = list[Any]  # mlx-lm's: one for each layer that has keys or a state of its own
Output = Any  # of a layer, as mlx-lm's code returns it: hidden states, in Gemma 4 with keys


@dataclass
class Pass:
    """A forward pass: what its layers returned, or only the last one, and its cache after it."""

    cache: Cache
    outputs: list[Output] = field(default_factory=list)

    @property
    def last(self) -> Output:
        """What the last layer returned, without keys: no layer follows that could read them."""
        output = self.outputs[-1]
        return (
            (_hidden(output), *[None] * (len(output) - 1)) if isinstance(output, tuple) else output
        )


class LayerPasses:
    """Runs passes of one model. `layer_passes` makes it."""

    def __init__(self, model: Any, cancelled: IsCancelled) -> None:
        self._model, self._cancelled = model, cancelled
        self._count = len(model.layers)
        self._first, self._keep = 0, False
        self._earlier: Sequence[Output] = ()  # of the layers before the first
        self._caches: Cache = []  # of the earlier pass
        self._now = Pass([])

    def new_cache(self) -> Cache:
        """The cache of a row that has been fed nothing."""
        return list(make_prompt_cache(self._model))

    def whole(self, tokens: list[int], cache: Cache) -> Pass:
        """Feed tokens through all layers. Raises `Interrupted` between two of them.

        `cache` is the row's own, and holds what it was fed before.
        """
        return self._run(tokens, cache, 0, [], [], keep=True)

    def branch(self, tokens: list[int], cache: Cache, earlier: Pass, first: int) -> Output:
        """Feed the tokens of an `earlier` whole pass; the layers before `first` are as there.

        Returns what the last layer returned. Raises `Interrupted` between two layers.
        """
        return self._run(tokens, cache, first, earlier.outputs, earlier.cache, keep=False).last

    def logits(self, tokens: list[int], last: Output) -> mx.array:
        """The logits after a last layer's output, of shape (positions, vocabulary), in float32."""
        layers = [last] * self._count
        self._first, self._earlier, self._caches = self._count, layers, []
        self._now, self._keep = Pass([]), False
        logits: mx.array = self._model(mx.array([tokens]))[0]
        return logits.astype(mx.float32)

    def _run(
        self,
        tokens: list[int],
        cache: Cache,
        first: int,
        outputs: Sequence[Output],
        caches: Cache,
        *,
        keep: bool,
    ) -> Pass:
        self._first, self._earlier, self._caches = first, outputs, caches
        self._now, self._keep = Pass(cache), keep
        self._model(mx.array([tokens]), cache=cache)  # the output head is not evaluated
        return self._now

    def layer(self, number: int, compute: Callable[[], Output]) -> Output:
        """What a layer returns in the present pass; `compute` is mlx-lm's own code."""
        if number < self._first:
            if number < len(self._caches):  # later layers may read the keys of this one
                self._now.cache[number] = copy.copy(self._caches[number])
            output = self._earlier[number]
        else:
            output = compute()
            mx.eval(_hidden(output))
            stop_if(self._cancelled())
        if not self._keep:
            self._now.outputs.clear()
        self._now.outputs.append(output)
        # Another array object of the same values: Gemma 3n changes what its last layer returned.
        return _with_hidden(output, _hidden(output)[...])


@contextmanager
def layer_passes(model: Any, cancelled: IsCancelled) -> Iterator[LayerPasses]:
    """Within this context passes can branch; afterwards the model is as it was.

    Raises `GeluError` where other processes hold a part of the model.
    """
    if LayersElsewhere.of(model):
        raise GeluError(
            "pipeline",
            "Layers can be swapped one at a time only where one process holds the whole model.",
            "Start gelu-tui without mlx.launch.",
        )
    passes = LayerPasses(model, cancelled)
    layers = [(layer, type(layer)) for layer in model.layers]
    try:
        for number, (layer, kind) in enumerate(layers):
            layer.__class__ = _in_passes(kind, number, passes)
        yield passes
    finally:
        for layer, kind in layers:
            layer.__class__ = kind


def _in_passes(base: type, number: int, passes: LayerPasses) -> type:
    def call(self: Any, *of: Any, **more: Any) -> Output:
        return passes.layer(number, lambda: base.__call__(self, *of, **more))

    return type(base.__name__, (base,), {"__call__": call})


def at_positions(output: Output, start: int, end: int) -> Output:
    """A layer's output at some positions only."""
    return _with_hidden(output, _hidden(output)[..., start:end, :])


def _hidden(output: Output) -> mx.array:
    hidden: mx.array = output[0] if isinstance(output, tuple) else output
    return hidden


def _with_hidden(output: Output, hidden: mx.array) -> Output:
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden
