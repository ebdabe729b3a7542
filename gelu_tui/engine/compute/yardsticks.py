"""Yardsticks: a model with a change whose size people know, its functions left as they are.

Within a yardstick's context the model computes with the change; afterwards its weights, modules and
classes are the very objects that they were. A changed matrix is made when it is multiplied, a large
one in slices, and freed with the product. So memory is needed for a few changed matrices at once,
however many layers there are, and each forward pass makes all of them again.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.models.switch_layers import SwitchLinear

from gelu_tui.core.errors import GeluError
from gelu_tui.core.protocol import ModelInfo
from gelu_tui.core.settings.yardsticks import YardstickName
from gelu_tui.engine import device
from gelu_tui.engine.compute.activation_sites import key_of, with_meanings
from gelu_tui.engine.compute.elsewhere import LayersElsewhere
from gelu_tui.engine.compute.float32 import in_float32

_GROUP = 64  # mlx-lm's default, of `affine`, its default mode
_BITS: Mapping[str, int] = {"q8": 8, "q4": 4}
_SLICE = 16 * 1024 * 1024  # bytes of an embedding's matrix that are changed at once
_PARTS = 4  # of the tokens that are fed at once, to compute the same in another order


class Yardstick(NamedTuple):
    """A change of one loaded model; within `applied()` the model computes with it."""

    name: str
    description: str  # what is changed, for reports
    applied: Callable[[], AbstractContextManager[None]]


def yardstick(name: YardstickName, model: Any, info: ModelInfo) -> Yardstick:
    """The yardstick of this name for a loaded model.

    Raises `GeluError` where it would change nothing, or cannot be applied to this model.
    """
    if LayersElsewhere.of(model) and name in (*_BITS, "bf16"):
        message = f"{name} cannot be measured here: other processes hold layers of this model."
        raise GeluError("yardstick", message, "Score with an engine of one process.")
    if name in _BITS:
        return _quantized(name, model, info)
    if name == "bf16":
        return _bfloat16(model, info)
    if name == "embed-scale":
        return _embedding_scale(model, info)
    about = f"the same text, fed in {_PARTS} parts where others are fed at once"
    return Yardstick(name, about, lambda: _in_parts(model))


@contextmanager
def _with_classes(classes: Iterable[tuple[Any, type]]) -> Iterator[None]:
    """Give modules other classes, and their own back."""
    before: list[tuple[Any, type]] = []
    try:
        for module, kind in classes:
            before.append((module, type(module)))
            module.__class__ = kind
        yield
    finally:
        for module, kind in reversed(before):
            module.__class__ = kind


# --- matrices that are changed when they are used -------------------------------------------------


class _How(NamedTuple):
    """How a matrix is changed. If `wide`, products are summed in float32, then rounded."""

    changed: Callable[[mx.array], mx.array]  # some rows of a matrix of shape (outputs, inputs)
    wide: bool = False

    def operand(self, rows: mx.array, after: mx.array) -> mx.array:
        """The changed rows, which are not made before `after` is there."""
        made = self.changed(mx.depends([rows], [after])[0])
        return made.astype(mx.float32) if self.wide else made


def _changing(base: type, how: _How) -> type:
    """A subclass of a module with a matrix, that computes with the changed one."""
    return _embedding(base, how) if issubclass(base, nn.Embedding) else _linear(base, how)


def _linear(base: type, how: _How) -> type:
    def call(self: Any, x: mx.array, *more: Any, **named: Any) -> mx.array:
        weight = self.weight
        self.weight = how.operand(weight, x)
        try:
            wide = x.astype(mx.float32) if how.wide else x
            y: mx.array = base.__call__(self, wide, *more, **named)
        finally:
            self.weight = weight
        return y.astype(x.dtype) if how.wide else y

    return type(base.__name__, (base,), {"__call__": call})


def _embedding(base: type, how: _How) -> type:
    def call(self: Any, x: mx.array) -> mx.array:
        return how.changed(self.weight[x])

    def as_linear(self: Any, x: mx.array) -> mx.array:
        rows = max(1, _SLICE // self.weight[0].nbytes)
        wide = x.astype(mx.float32) if how.wide else x
        parts = [wide[..., :0]]
        for at in range(0, self.weight.shape[0], rows):
            parts.append(wide @ how.operand(self.weight[at : at + rows], parts[-1]).T)
        return mx.concatenate(parts[1:], axis=-1).astype(x.dtype)

    return type(base.__name__, (base,), {"__call__": call, "as_linear": as_linear})


# --- weights of fewer bits ------------------------------------------------------------------------


def _quantized(name: str, model: Any, info: ModelInfo) -> Yardstick:
    if info.quantization:
        message = f"{name} cannot be measured: the weights of this model are {info.bits} already."
        hint = "Choose the model that it was quantized from."
        raise GeluError("yardstick", message, hint)
    bits = _BITS[name]
    chosen = list(_quantizable(model, bits))
    if not chosen:
        why = f"none of this model's matrices has rows that groups of {_GROUP} fit into"
        message = f"{name} would change nothing: {why}."
        raise GeluError("yardstick", message, f"Leave {name} out.")
    changed = sum(module.weight.size for module, _ in chosen)
    share = 100 * changed / sum(array.size for _, array in tree_flatten(model.parameters()))
    description = (
        f"weights rounded to {bits} bit in groups of {_GROUP}, as mlx-lm quantizes "
        f"({len(chosen)} matrices, {share:.3g} % of the weights)"
    )

    def applied() -> AbstractContextManager[None]:
        return _with_classes((m, _changing(type(m), _rounding(how))) for m, how in chosen)

    return Yardstick(name, description, applied)


def _quantizable(model: Any, bits: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The modules that `mlx_lm.utils.quantize_model` quantizes by default, and how."""
    asks = getattr(model, "quant_predicate", None)
    leaves = tree_flatten(model.leaf_modules(), is_leaf=nn.Module.is_module)
    for path, module in leaves:
        if not hasattr(module, "to_quantized") or module.weight.shape[-1] % _GROUP:
            continue
        answer = True if asks is None else asks(path, module)
        if answer:
            own = answer if isinstance(answer, dict) else {}
            yield module, {"group_size": _GROUP, "bits": bits, **own}


def _rounding(how: dict[str, Any]) -> _How:
    """Return the function that quantizes a matrix and dequantizes it again.

    It may be applied to any of its rows alone: a group of weights lies within a row.
    """

    def changed(rows: mx.array) -> mx.array:
        return mx.dequantize(*mx.quantize(rows, **how), **how)

    return _How(changed)


# --- bfloat16 -------------------------------------------------------------------------------------


def _bfloat16(model: Any, info: ModelInfo) -> Yardstick:
    if info.dtype == "bfloat16":
        about = "hidden states in float32 instead of bfloat16; the weights stay in bfloat16"
        return Yardstick("bf16", about, lambda: in_float32(model))
    about = f"weights and hidden states in bfloat16 instead of {info.dtype}"
    return Yardstick("bf16", about, lambda: _in_bfloat16(model))


@contextmanager
def _in_bfloat16(model: Any) -> Iterator[None]:
    """What `model.set_dtype(mx.bfloat16)` computes, as mlx-lm does with a model of that dtype.

    MLX's own multiplication of bfloat16 is very slow on a CPU, and of experts there is none. There
    the same numbers are multiplied in float32 and the sums rounded: it adds up in float32 too.
    """
    how = _How(_narrow, wide=not device.on_gpu())
    modules = [module for _, module in model.named_modules()]
    large = [module for module in modules if isinstance(module, _WITH_MATRIX)]
    before: list[tuple[nn.Module, str, mx.array]] = []
    with _with_classes((module, _changing(type(module), how)) for module in large):
        try:
            for module in modules:
                for name, array in list(module.items()):
                    if _is_floating(module, name, array) and not (
                        name == "weight" and isinstance(module, _WITH_MATRIX)
                    ):
                        before.append((module, name, array))
                        module[name] = _narrow(array)
            yield
        finally:
            for module, name, array in reversed(before):
                module[name] = array


_WITH_MATRIX = (nn.Embedding, nn.Linear, SwitchLinear)


def _narrow(array: mx.array) -> mx.array:
    return array.astype(mx.bfloat16)


def _is_floating(module: nn.Module, name: str, value: Any) -> bool:
    """Whether it is a parameter that `set_dtype` casts."""
    is_parameter = nn.Module.valid_parameter_filter(module, name, value)
    return is_parameter and isinstance(value, mx.array) and mx.issubdtype(value.dtype, mx.floating)


# --- the embedding normalizer ---------------------------------------------------------------------


def _embedding_scale(model: Any, info: ModelInfo) -> Yardstick:
    found = [(module, _SCALES[key_of(type(module))]) for module in model.modules()
             if key_of(type(module)) in _SCALES]  # fmt: skip
    if not found or getattr(found[0][0], "scale_by_sqrt_dim", True) is False:
        message = "embed-scale would change nothing: this model does not scale its embeddings."
        raise GeluError("yardstick", message, "Leave embed-scale out.")
    module, (scaled_by, rounds) = found[0]
    hidden = module.embed_tokens(mx.array([[0]])).shape[-1]
    exact = math.sqrt(hidden)
    rounded = float(mx.array(exact, mx.bfloat16))
    dtype = getattr(mx, info.dtype, mx.float32)
    if mx.array(exact, dtype).item() == mx.array(rounded, dtype).item():
        reason = "which is exact" if exact == rounded else f"since {info.dtype} rounds it so too"
        message = (
            f"embed-scale would change nothing: √{hidden} is {rounded:g} in this model whether it "
            f"is rounded to bfloat16 or not, {reason}."
        )
        raise GeluError("yardstick", message, "Leave embed-scale out.")
    own, other = (rounded, exact) if rounds else (exact, rounded)
    words = {exact: "exact", rounded: "rounded to bfloat16"}
    about = (
        f"embeddings times {other:.6g} (√{hidden}, {words[other]}) instead of {own:.6g} "
        f"({words[own]})"
    )
    return Yardstick("embed-scale", about, lambda: scaled_by(module, other))


@contextmanager
def _with_attribute(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    try:
        setattr(module, name, value)
        yield
    finally:
        setattr(module, name, before)


def _by_arguments(module: Any, scale: float) -> AbstractContextManager[None]:
    """Where mlx-lm computes `args.hidden_size**0.5`: the root of scale² is exact."""
    arguments = copy.copy(module.args)
    arguments.hidden_size = scale * scale
    return _with_attribute(module, "args", arguments)


def _by_hidden_size(module: Any, scale: float) -> AbstractContextManager[None]:
    return _with_attribute(module, "hidden_size", scale * scale)


def _by_attribute(module: Any, scale: float) -> AbstractContextManager[None]:
    return _with_attribute(module, "embed_scale", scale)


def _by_name(name: str, **meanings: Any) -> Callable[[Any, float], AbstractContextManager[None]]:
    """Where mlx-lm calls a function of the module `name`: its code with another function there."""

    def scaled_by(module: Any, scale: float) -> AbstractContextManager[None]:
        known = type(module).__call__.__globals__[name]
        own = {key: meaning(scale) for key, meaning in meanings.items()}
        namespace = SimpleNamespace(**{**vars(known), **own})
        kind = with_meanings(type(module), {name: namespace})
        return _with_classes([(module, kind)])

    return scaled_by


# How the scale of each of mlx-lm's models is changed, and whether it rounds it to bfloat16.
_SCALES: dict[str, tuple[Callable[[Any, float], AbstractContextManager[None]], bool]] = {
    "gemma.GemmaModel": (_by_arguments, False),
    "gemma2.GemmaModel": (_by_arguments, False),
    "gemma3_text.Gemma3Model": (
        _by_name("mx", array=lambda scale: lambda _, __: mx.array(scale, mx.float32)),
        True,
    ),
    "gemma3n.LanguageModel": (_by_hidden_size, False),
    "gemma4_text.Gemma4TextModel": (_by_attribute, False),
    "recurrent_gemma.Griffin": (_by_name("math", sqrt=lambda scale: lambda _: scale), False),
}


# --- another order of operations ------------------------------------------------------------------


def _in_parts(model: Any) -> AbstractContextManager[None]:
    """Feed some tokens after the other, so that kernels of other shapes add up."""
    base = type(model)

    def call(self: Any, inputs: mx.array, cache: Any = None) -> mx.array:
        length = inputs.shape[1]
        size = math.ceil(length / _PARTS)
        parts = [inputs[:, at : at + size] for at in range(0, length, size)]
        return mx.concatenate([base.__call__(self, part, cache=cache) for part in parts], axis=1)

    return _with_classes([(model, type(base.__name__, (base,), {"__call__": call}))])
