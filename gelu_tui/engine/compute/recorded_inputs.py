"""What a model gives to its activation at every site: x, and the u that f(x) is multiplied with.

x is what the function is really fed; in Gemma 3n's sparse layers that is after the cut-off. u is
the up projection in feed-forward blocks and experts, the per-layer input in per-layer gates, and
the output of the recurrence in recurrent blocks. The model computes what it computes without this,
bit for bit: arrays are only handed on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import mlx.core as mx

from gelu_tui.engine.compute.activation_sites import used_sites
from gelu_tui.engine.compute.functions import Function
from gelu_tui.engine.compute.row_functions import FunctionBySite, Site

Take = Callable[[Site, mx.array, mx.array], None]

# u is what a module of the site's own returns, or what the site's own module is called with.
_RETURNED = {"feed-forward": "up_proj", "recurrent block": "rg_lru"}
_ARGUMENT = {"experts": "x", "per-layer gate": "per_layer_input"}


class _Recorder(FunctionBySite):
    """One function at every site; `take` receives each site's x and u when both are known."""

    def __init__(self, function: Function, take: Take) -> None:
        self._function, self._take = function, take
        self._x: dict[Site, mx.array] = {}
        self._u: dict[Site, mx.array] = {}
        self._at: dict[Site, Function] = {}

    def at(self, site: Site) -> Function:
        return self._at.setdefault(site, partial(self._apply, site))

    def _apply(self, site: Site, x: mx.array) -> mx.array:
        self._x[site] = x
        self._hand_on(site)
        return self._function(x)

    def multiplied_with(self, site: Site, u: mx.array) -> None:
        self._u[site] = u
        self._hand_on(site)

    def _hand_on(self, site: Site) -> None:
        if site in self._x and site in self._u:
            self._take(site, self._x.pop(site), self._u.pop(site))


@contextmanager
def recording(model: Any, function: Function, take: Take) -> Iterator[FunctionBySite]:
    """Yield a row's function that computes `function` and hands on its inputs.

    For a model that is `rowwise`, and one row. `take` is called once for each site in each forward
    pass, with lazy arrays of equal shape, in whatever order the experts have their tokens.
    """
    recorder = _Recorder(function, take)
    changed: list[tuple[Any, type]] = []

    def record(module: Any, subclass: type) -> None:
        changed.append((module, type(module)))
        module.__class__ = subclass

    try:
        for module, site in used_sites(model):
            note = partial(recorder.multiplied_with, site)
            if site.kind in _RETURNED:
                factor = getattr(module, _RETURNED[site.kind])
                record(factor, _noting_result(type(factor), note))
            else:
                record(module, _noting_argument(type(module), _ARGUMENT[site.kind], note))
        yield recorder
    finally:
        for module, kind in reversed(changed):
            module.__class__ = kind


def _noting_result(base: type, note: Callable[[mx.array], None]) -> type:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = base.__call__(self, *args, **kwargs)
        note(result[0] if isinstance(result, tuple) else result)  # a recurrence has a state too
        return result

    return type(base.__name__, (base,), {"__call__": call})


def _noting_argument(base: type, name: str, note: Callable[[mx.array], None]) -> type:
    signature = inspect.signature(base.__call__)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = signature.bind(self, *args, **kwargs).arguments.get(name)
        if given is not None:
            note(given)
        return base.__call__(self, *args, **kwargs)

    return type(base.__name__, (base,), {"__call__": call})
