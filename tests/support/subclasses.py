"""Any function put into mlx-lm's own models, by subclasses of the modules that apply one.

Written out here from what each module computes, without the engine's own way of doing it: what the
engine computes is compared with these.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models import gemma, gemma2, gemma3_text, gemma3n, gemma4_text, recurrent_gemma

Function = Callable[[mx.array], mx.array]

FUNCTIONS: dict[str, Function] = {
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


def _mlp(base: type, f: Function) -> type:
    class MLP(base):  # type: ignore[misc, valid-type]
        def __call__(self, x: mx.array) -> mx.array:
            return self.down_proj(f(self.gate_proj(x)) * self.up_proj(x))

    return MLP


def _sparse_mlp(base: type, f: Function) -> type:
    class MLP(base):  # type: ignore[misc, valid-type]
        def __call__(self, x: mx.array) -> mx.array:
            gate = self.gate_proj(x)
            if self.activation_sparsity > 0:
                cut = gate.mean(-1, keepdims=True) + gate.std(-1, keepdims=True) * math.sqrt(
                    2
                ) * mx.erfinv(2 * self.activation_sparsity - 1)
                gate = mx.maximum(0, gate - cut)
            return self.down_proj(f(gate) * self.up_proj(x))

    return MLP


def _gemma3n_layer(base: type, f: Function) -> type:
    class Layer(base):  # type: ignore[misc, valid-type]
        def __call__(
            self,
            x: mx.array,
            mask: Any = None,
            cache: Any = None,
            per_layer_input: Any = None,
            offset: int = 0,
        ) -> mx.array:
            predictions = self.altup.predict(x)
            active = predictions[self.config.altup_active_idx]
            normed = self.input_layernorm(active)
            attention = self.self_attn(normed, mask, cache, offset=offset)
            h = active + self.post_attention_layernorm(attention)
            h = (h + self.laurel(normed)) / math.sqrt(2)
            forward = self.mlp(self.pre_feedforward_layernorm(h))
            corrected = self.altup.correct(
                predictions, h + self.post_feedforward_layernorm(forward)
            )
            first = corrected[self.config.altup_active_idx]
            if self.config.altup_correct_scale:
                first = first * self.altup.correct_output_scale
            gated = f(self.per_layer_input_gate(first)) * per_layer_input
            added = self.post_per_layer_input_norm(self.per_layer_projection(gated))
            return mx.concatenate([corrected[:1], corrected[1:] + added])

    return Layer


def _geglu(base: type, f: Function) -> type:
    class GeGLU(base):  # type: ignore[misc, valid-type]
        def __call__(self, x: mx.array, gate: mx.array) -> mx.array:
            return f(gate) * x

    return GeGLU


def _gemma4_layer(base: type, f: Function) -> type:
    class Layer(base):  # type: ignore[misc, valid-type]
        def __call__(
            self,
            x: mx.array,
            mask: Any = None,
            cache: Any = None,
            per_layer_input: Any = None,
            shared_kv: Any = None,
            offset: Any = None,
        ) -> Any:
            scalar = self.layer_scalar
            self.layer_scalar = mx.ones((1,))  # it comes after the gate
            try:
                h, shared_kv, offset = super().__call__(x, mask, cache, None, shared_kv, offset)
            finally:
                self.layer_scalar = scalar
            if per_layer_input is not None:
                gated = f(self.per_layer_input_gate(h)) * per_layer_input
                h = h + self.post_per_layer_input_norm(self.per_layer_projection(gated))
            return h * scalar, shared_kv, offset

    return Layer


def _recurrent_block(base: type, f: Function) -> type:
    class Block(base):  # type: ignore[misc, valid-type]
        def __call__(self, x: mx.array, cache: Any = None, mask: Any = None) -> mx.array:
            y = f(self.linear_y(x))
            state = [None, None] if cache is None else cache
            x, state[0] = self.conv_1d(x=self.linear_x(x), cache=state[0])
            x, state[1] = self.rg_lru(x=x, cache=state[1])
            return self.linear_out(x * y)

    return Block


_SUBCLASSES: dict[type, Callable[[type, Function], type]] = {
    gemma.MLP: _mlp,
    gemma2.MLP: _mlp,
    gemma3_text.MLP: _mlp,
    gemma3n.MLP: _sparse_mlp,
    gemma3n.Gemma3nDecoderLayer: _gemma3n_layer,
    gemma4_text.MLP: _mlp,
    gemma4_text.GeGLU: _geglu,
    gemma4_text.DecoderLayer: _gemma4_layer,
    recurrent_gemma.MLPBlock: _mlp,
    recurrent_gemma.RecurrentBlock: _recurrent_block,
}


_WORDS = {_mlp: "mlp", _sparse_mlp: "mlp", _geglu: "experts", _recurrent_block: "recurrent"}


def _everywhere(layer: int, word: str) -> bool:
    return True


@contextmanager
def with_function(
    model: Any, function: str | Function, where: Callable[[int, str], bool] = _everywhere
) -> Iterator[None]:
    """mlx-lm's own model with a function of `FUNCTIONS`, or any other, at every site.

    Or only `where` a layer's number and a word for the kind of site are wanted.
    """
    f = FUNCTIONS[function] if isinstance(function, str) else function
    changed = [
        (module, type(module))
        for path, module in model.named_modules()
        if (made := _SUBCLASSES.get(type(module)))
        and where(int(re.search(r"[0-9]+", path)[0]), _WORDS.get(made, "gate"))
    ]
    for module, kind in changed:
        module.__class__ = _SUBCLASSES[kind](kind, f)
    try:
        yield
    finally:
        for module, kind in changed:
            module.__class__ = kind
