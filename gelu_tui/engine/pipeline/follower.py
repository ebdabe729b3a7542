"""The other ranks: they obey rank 0."""

from __future__ import annotations

import functools
import gc
import logging
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import mlx.core as mx
import msgspec

from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.functions.registry import Precision
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.activation_sites import rowwise
from gelu_tui.engine.compute.decode import CLEAR_CACHE_EVERY
from gelu_tui.engine.compute.float32 import in_float32
from gelu_tui.engine.compute.functions import FormulaFunction, Function
from gelu_tui.engine.compute.row_functions import FunctionBySite, RowFunction, RowFunctions, Site
from gelu_tui.engine.failures import error_info
from gelu_tui.engine.models import loading
from gelu_tui.engine.models.checkpoint import open_checkpoint
from gelu_tui.engine.models.locate import locate
from gelu_tui.engine.pipeline import messages as m
from gelu_tui.engine.pipeline.ranks import this_rank
from gelu_tui.engine.pipeline.ring import Ring
from gelu_tui.engine.pipeline.split import Part, digest_of

log = logging.getLogger(__name__)


def follow(wait: Callable[[], object], ring: Ring, received: int) -> None:
    """Obey for ever. `wait` waits for a command; so many are received, the last one is `Load`.

    All ranks receive the commands in the same order, and rank 0 answers them. Between two commands
    the ring is not waited for, which with some backends keeps a core busy.
    """
    follower = Follower(ring.rank)
    while True:
        answered = _until_done(ring, follower)
        # Rank 0 may have answered several together.
        while received <= answered:
            wait()
            received += 1


def _until_done(ring: Ring, follower: Follower) -> int:
    """How many commands are answered when rank 0 has nothing more to do."""
    while True:
        message, hidden = ring.receive()
        if isinstance(message, m.Load):
            ring.send(message)
            follower.obey(message, hidden)
        else:
            ring.send(*follower.obey(message, hidden))
        if isinstance(message, m.Done):
            return message.commands


class Follower:
    """What a rank holds: some layers of a model, and their caches by number."""

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._part: Part | None = None
        self._layers = (0, 0)
        self._weight_bytes = 0
        self._not_loaded: ErrorInfo | None = None
        self._caches: dict[int, list[Any]] = {}
        self._mode: tuple[bool, bool] | None = None  # rows have own functions; in float32
        self._within = ExitStack()
        self._sites: RowFunctions | None = None
        self._passes = 0

    def obey(
        self, message: m.Message, hidden: mx.array | None = None
    ) -> tuple[m.Message, mx.array | None]:
        """What goes on to the next rank; `Failed` if this one cannot."""
        try:
            return self._obey(message, hidden)
        except Exception as error:
            return m.Failed(self._told(error_info(error))), None

    def _obey(
        self, message: m.Message, hidden: mx.array | None
    ) -> tuple[m.Message, mx.array | None]:
        match message:
            case m.Load():
                self._load(message)
            case m.Report():
                if self._not_loaded is not None:
                    return m.Failed(self._not_loaded), None
                own = this_rank(*self._layers, self._weight_bytes)
                return m.Report((*message.ranks, own)), None
            case m.Forward():
                assert hidden is not None
                return message, self._forward(message, hidden)
            case m.FindNotFinite(name=None):
                assert self._part is not None
                return m.FindNotFinite(self._part.first_not_finite()), None
            case m.Done():
                self._change(message.changes)
                mx.clear_cache()
        return message, None

    def _told(self, error: ErrorInfo) -> ErrorInfo:
        where = f"Rank {self._rank} on {platform.node()}"
        return ErrorInfo(error.kind, f"{where}: {error.message}", error.hint)

    # --- the model --------------------------------------------------------------------------------

    def _load(self, load: m.Load) -> None:
        self._leave()
        self._part, self._not_loaded = None, None
        self._caches.clear()
        gc.collect()
        mx.clear_cache()
        try:
            self._part = self._loaded(load)
        except Exception as error:
            self._not_loaded = self._told(error_info(error))

    def _loaded(self, load: m.Load) -> Part:
        _check_versions(load.versions)
        located = locate(load.model, lambda _: None, lambda: False)
        checkpoint = open_checkpoint(located.folder)
        if digest_of(checkpoint.configuration) != load.configuration:
            message = f"{located.folder} has another config.json than on rank 0."
            raise GeluError("pipeline", message, "Copy the same model to all machines.")
        checkpoint.cast(load.dtype)
        self._layers = load.borders[self._rank], load.borders[self._rank + 1]
        part = Part(checkpoint.model, *self._layers)
        checkpoint = replace(checkpoint, model=part)
        self._weight_bytes = checkpoint.weight_bytes
        loading.check_memory(self._weight_bytes)
        with loading.reading(checkpoint.folder):
            mx.eval(part.parameters())
        return part

    # --- computing --------------------------------------------------------------------------------

    def _forward(self, forward: m.Forward, hidden: mx.array) -> mx.array:
        assert self._part is not None
        self._change(forward.changes)
        blocks = forward.blocks
        self._enter((blocks is not None, forward.float32))
        cache = None if forward.cache is None else self._caches[forward.cache]
        rows = [] if blocks is None else list(_rows(forward.functions, blocks))
        with ExitStack() as using:
            if self._sites is not None:
                using.enter_context(self._sites.use(*rows))
            hidden = self._part(hidden, cache)
        mx.eval(hidden, *caches.arrays(cache or []))
        self._passes += 1
        if forward.shape[1] > 1 or self._passes % CLEAR_CACHE_EVERY == 0:
            mx.clear_cache()
        return hidden

    def _enter(self, mode: tuple[bool, bool]) -> None:
        """Make the part's modules compute as rank 0's do."""
        if mode == self._mode:
            return
        self._leave()
        own_functions, float32 = mode
        if own_functions:
            self._sites = self._within.enter_context(rowwise(self._part, self._layers[0]))
        if float32:
            self._within.enter_context(in_float32(self._part))
        self._mode = mode

    def _leave(self) -> None:
        self._within.close()
        self._mode = self._sites = None

    def _change(self, changes: m.Changes) -> None:
        for change in changes:
            self._change_one(change)

    def _change_one(self, change: m.CacheChange) -> None:
        assert self._part is not None
        held = self._caches
        match change:
            case m.New(cache):
                held[cache] = self._part.make_cache()
            case m.Join(cache, rows):
                held[cache] = caches.join([held[row] for row in rows])
            case m.Mix(cache, rows):
                held[cache] = caches.mix(self._part, [held[row] for row in rows])
            case m.Extend(cache, other):
                caches.extend(held[cache], held[other])
            case m.Select(cache, rows):
                caches.select(held[cache], rows)
            case m.Drop(cache):
                held.pop(cache, None)  # it may be one of the model before


class _BySite(FunctionBySite):
    """A function, and others at some sites."""

    def __init__(self, function: Function, others: Mapping[Site, Function]) -> None:
        self._function, self._others = function, others

    def at(self, site: Site) -> Function:
        return self._others.get(site, self._function)


def _rows(told: Sequence[m.Formula], blocks: Sequence[m.Block]) -> Iterator[RowFunction]:
    # Each is an object of its own, as on rank 0: equal formulas must not make one block of two.
    functions = [partial(_function(msgspec.json.encode(f.formula), f.precision)) for f in told]
    for block in blocks:
        function: RowFunction = functions[block.function]
        if block.others:
            others = {Site(layer, kind): functions[other] for layer, kind, other in block.others}
            function = _BySite(functions[block.function], others)
        yield from [function] * block.rows


@functools.lru_cache(maxsize=64)
def _function(formula: bytes, precision: Precision) -> FormulaFunction:
    # Kept, because on a GPU it is compiled when it is first used.
    return FormulaFunction(m.unpacked(msgspec.json.decode(formula)), precision)


def _check_versions(expected: dict[str, str]) -> None:
    for name, own in loading.versions().items():
        if name != "python" and own != expected.get(name):
            message = f"{name} is {own} here and {expected.get(name)} on rank 0."
            raise GeluError("pipeline", message, "Install the same versions on all machines.")
