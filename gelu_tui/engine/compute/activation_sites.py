"""Where a Gemma applies its activation, and how every batch row has its own function there.

mlx-lm's modules call the function by its name. While a comparison runs, these modules have a
subclass whose `__call__` is mlx-lm's own code in which that name means something else: function i
on batch row i, as it is at this site. Modules, weights, classes and module globals stay what they
are, and afterwards each module has its class back.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType, SimpleNamespace
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from gelu_tui.core.errors import GeluError
from gelu_tui.engine.compute.elsewhere import LayersElsewhere
from gelu_tui.engine.compute.row_functions import RowFunctions, Site

# Modules whose code names the function, by mlx-lm's file and class, with the name of the site as in
# `core.models.families`. `_meanings` lists the names that are replaced.
SITES = {
    "gemma.MLP": "feed-forward",
    "gemma2.MLP": "feed-forward",
    "gemma3_text.MLP": "feed-forward",
    "gemma3n.MLP": "feed-forward",
    "gemma3n.Gemma3nDecoderLayer": "per-layer gate",
    "gemma4_text.MLP": "feed-forward",
    "gemma4_text.GeGLU": "experts",
    "gemma4_text.DecoderLayer": "per-layer gate",
    "recurrent_gemma.MLPBlock": "feed-forward",
    "recurrent_gemma.RecurrentBlock": "recurrent block",
}

# Sorts tokens by expert, so that there are no rows inside: it is called block by block.
_BLOCK_BY_BLOCK = "gemma4_text.Experts"


def _meanings(functions: RowFunctions, site: Site) -> dict[str, Any]:
    """The replacements of names in mlx-lm's code at a site while row functions are installed."""
    here = functools.partial(functions.apply, site)

    def geglu(gate: mx.array, x: mx.array) -> mx.array:
        return here(gate) * x

    def gelu_topk(inputs: mx.array, std_multiplier: mx.array) -> mx.array:
        # Gemma 3n's sparse layers: inputs that are not far above the mean become 0 first.
        mean = mx.mean(inputs, axis=-1, keepdims=True)
        std = mx.std(inputs, axis=-1, keepdims=True)
        cutoff = mean + std * std_multiplier.astype(std.dtype)
        return here(mx.maximum(0, inputs - cutoff))

    return {
        "nn": SimpleNamespace(**{**vars(nn), "gelu": here, "gelu_approx": here}),
        "geglu": geglu,
        "gelu_topk": gelu_topk,
    }


def with_meanings(base: type, meanings: dict[str, Any]) -> type:
    """A subclass whose `__call__` is the base's own code with some names replaced.

    Raises `GeluError` where the code has none of them.
    """
    call = base.__call__
    names = {name: meanings[name] for name in call.__code__.co_names if name in meanings}
    if not names:
        message = f"This version of mlx-lm computes {base.__name__} in another way."
        raise GeluError("mlx_lm", message, "Install the version of mlx-lm that gelu-tui requires.")
    namespace = {**call.__globals__, **names}
    own = FunctionType(call.__code__, namespace, call.__name__, call.__defaults__, call.__closure__)
    return type(base.__name__, (base,), {"__call__": own})


def _block_by_block(base: type, functions: RowFunctions, site: Site) -> type:
    def call(self: Any, *batch: mx.array) -> mx.array:
        return functions.block_by_block(site, functools.partial(base.__call__, self), *batch)

    return type(base.__name__, (base,), {"__call__": call})


def key_of(kind: type) -> str:
    """`gemma.MLP` for mlx_lm.models.gemma.MLP."""
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__qualname__}"


def site_of(path: str, module: Any) -> Site | None:
    """Return the site that a module at this path is, None if it is none; row-wise or not."""
    keys = map(key_of, type(module).__mro__)
    kind = next((SITES[key] for key in keys if key in SITES), None)
    return None if kind is None else Site(layer_of(path), kind)


def layer_of(path: str) -> int:
    """Return the number of the layer that a module lies in, by its path in the model."""
    return next(int(part) for part in path.split(".") if part.isdigit())


def used_sites(model: Any) -> Iterator[tuple[Any, Site]]:
    """The modules at which a model applies its activation; row-wise or not."""
    for path, module in model.named_modules():
        site = site_of(path, module)
        if site is None or (site.kind == "per-layer gate" and module.per_layer_input_gate is None):
            continue  # Gemma 4 has this gate in its small models only
        yield module, site


def places_of(model: Any) -> tuple[Site, ...]:
    """The sites of a loaded model, in the order of its layers."""
    return tuple(sorted(site for _, site in used_sites(model)))


def sites_of(model: Any) -> dict[str, int]:
    """How many sites of each kind a loaded model has, by the names of `core.models.families`."""
    found: Counter[str] = Counter()
    for module, site in used_sites(model):
        sparse = getattr(module, "activation_sparsity", 0) > 0
        found[f"sparse {site.kind}" if sparse else site.kind] += 1
    return dict(found)


@contextmanager
def rowwise(model: Any, first_layer: int = 0) -> Iterator[RowFunctions]:
    """Apply row functions at every site; afterwards the model is exactly as it was.

    `first_layer` is the number of its first layer, where the model is a part of one. Raises
    `GeluError` where the model has no site or mlx-lm's code is not as expected.
    """
    functions = RowFunctions()
    changed: list[tuple[Any, type]] = []
    elsewhere = LayersElsewhere.of(model)
    try:
        for layers in elsewhere:
            layers.functions = functions
        for path, module in model.named_modules():
            kind, key = type(module), key_of(type(module))
            if key not in SITES and key != _BLOCK_BY_BLOCK:
                continue
            site = Site(first_layer + layer_of(path), SITES.get(key, "experts"))
            changed.append((module, kind))
            if key == _BLOCK_BY_BLOCK:
                module.__class__ = _block_by_block(kind, functions, site)
            else:
                module.__class__ = with_meanings(kind, _meanings(functions, site))
        if not changed:
            raise GeluError("mlx_lm", "This model has no place where an activation acts.", "")
        yield functions
    finally:
        for module, kind in changed:
            module.__class__ = kind
        for layers in elsewhere:
            layers.functions = None
