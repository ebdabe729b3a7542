"""Running a comparison in this process, and the same stream by mlx-lm alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm import stream_generate
from mlx_lm.models import gemma, gemma2, gemma3_text

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison import Comparison
from gelu_tui.engine import loading
from gelu_tui.engine.compare import Run, resolve


def load(folder: Path | str, dtype: str | None = None) -> loading.LoadedModel:
    return loading.load(str(folder), dtype, lambda _: None, lambda: False)


def compare(loaded: loading.LoadedModel, command: p.Compare) -> Comparison:
    """Run a comparison to its end; the events have been through the wire format."""
    events: list[p.AnyEvent] = []

    def emit(event: p.AnyEvent) -> None:
        events.append(p.decode_event(p.encode(event)))

    Run(loaded, resolve(loaded, command), emit, lambda: False, 0.0).run({})
    assert isinstance(events[0], p.Started)
    comparison = Comparison.begin(events[0])
    for event in events:
        comparison.apply(event)
    assert comparison.finished is not None
    return comparison


# Written here a second time, on purpose: what the engine computes is compared with these.
FUNCTIONS: dict[str, Callable[[mx.array], mx.array]] = {
    "gelu": lambda x: x * (1 + mx.erf(x / math.sqrt(2))) / 2,
    "gelu_approx": lambda x: (
        0.5 * x * (1 + mx.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    ),
    "gelu_fast_approx": lambda x: x * mx.sigmoid(1.702 * x),
    "keras_gelu_approx": lambda x: (
        0.5 * x * (1 + mx.tanh(math.sqrt(2 / math.pi) * x * (1 + 0.044715 * x * x)))
    ),
    "relu": lambda x: mx.maximum(x, 0),
    "silu": lambda x: x * mx.sigmoid(x),
    "relu2": lambda x: mx.square(mx.maximum(x, 0)),
    "mish": lambda x: x * mx.tanh(nn.softplus(x)),
    "identity": lambda x: x,
}

_MLP = {type_.MLP: type_ for type_ in (gemma, gemma2, gemma3_text)}


def _subclass(base: type, function: Callable[[mx.array], mx.array]) -> type:
    class MLPWithFunction(base):  # type: ignore[misc, valid-type]
        def __call__(self, x: mx.array) -> mx.array:
            return self.down_proj(function(self.gate_proj(x)) * self.up_proj(x))

    return MLPWithFunction


@contextmanager
def with_function(model: Any, name: str) -> Any:
    """mlx-lm's own model with `name` put into its MLP by a subclass."""
    layers = model.layers
    originals = [type(layer.mlp) for layer in layers]
    assert all(original in _MLP for original in originals)
    for layer, original in zip(layers, originals, strict=True):
        layer.mlp.__class__ = _subclass(original, FUNCTIONS[name])
    try:
        yield
    finally:
        for layer, original in zip(layers, originals, strict=True):
            layer.mlp.__class__ = original


def plain_tokens(model: Any, tokenizer: Any, name: str, prompt: list[int], count: int) -> list[int]:
    """What `mlx_lm.stream_generate` emits, the end token included."""
    with with_function(model, name):
        return [
            response.token
            for response in stream_generate(model, tokenizer, prompt, max_tokens=count)
        ]
