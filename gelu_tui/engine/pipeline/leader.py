"""Rank 0's end: a model whose last layers are on the other ranks.

The jobs compute with it as with any model. Its embedding, first layers and output head are here;
behind these layers the hidden states go through those of the other ranks and come back.
"""

from __future__ import annotations

import copy
import functools
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.engine.compute.activation_sites import places_of
from gelu_tui.engine.compute.elsewhere import CacheElsewhere, LayersElsewhere
from gelu_tui.engine.compute.functions import FormulaFunction, Function
from gelu_tui.engine.compute.row_functions import FunctionBySite, RowFunction, Site
from gelu_tui.engine.models import loading
from gelu_tui.engine.models.checkpoint import Checkpoint
from gelu_tui.engine.pipeline import messages as m
from gelu_tui.engine.pipeline.ranks import this_rank
from gelu_tui.engine.pipeline.ring import DistributedRing, Ring
from gelu_tui.engine.pipeline.split import borders_of, decoder_of, digest_of


class Leader:
    """Rank 0: tells the others what to do."""

    def __init__(self, connect: Callable[[], Ring] = DistributedRing) -> None:
        self._connect = connect
        self._changes: deque[Any] = deque()  # of caches, told with the next message
        self._caches = 0
        self._own: p.Rank | None = None
        self._sites: list[Site] = []  # of the other ranks

    @functools.cached_property
    def _ring(self) -> Ring:
        return self._connect()

    @property
    def size(self) -> int:
        """The number of ranks. Connects with them. Raises `GeluError`."""
        return self._ring.size

    def split(self, checkpoint: Checkpoint, spec: str, dtype: str | None) -> None:
        """Let all ranks load their parts; keep this rank's in the checkpoint's model.

        Raises `GeluError` where the model cannot be split.
        """
        model = checkpoint.model
        borders = borders_of(model, checkpoint.family, self.size)
        digest, versions = digest_of(checkpoint.configuration), loading.versions()
        self._taken()
        self._round(m.Load(spec, dtype, borders, digest, versions))
        self._sites = [site for site in places_of(model) if site.layer >= borders[1]]
        _keep_first(model, borders[1], self)
        self._own = this_rank(0, borders[1], checkpoint.weight_bytes)

    def wait(self) -> tuple[p.Rank, ...]:
        """Wait until all ranks have loaded. Raises `GeluError` of the first that cannot."""
        assert self._own is not None
        reply = self._round(m.Report((self._own,)))
        assert isinstance(reply, m.Report)
        return reply.ranks

    def done(self, commands: int) -> None:
        """Tell the ranks that so many commands are answered: they wait for the next one."""
        self._round(m.Done(commands, self._taken()))

    def forward(
        self,
        hidden: mx.array,
        cache: int | None,
        rows: Sequence[RowFunction] | None,
        *,
        float32: bool,
    ) -> mx.array:
        """The hidden states behind the last rank's layers. Raises `GeluError` of a rank.

        `rows` are the functions of the rows; None: the model's own.
        """
        dtype = str(hidden.dtype).removeprefix("mlx.core.")
        functions, blocks = ((), None) if rows is None else _told(rows, self._sites)
        changes = self._taken()
        message = m.Forward(hidden.shape, dtype, cache, functions, blocks, float32, changes)
        self._ring.send(message, hidden)
        reply, result = self._ring.receive()
        self._check(reply)
        assert result is not None
        return result

    def first_not_finite(self) -> str | None:
        """The name of the first tensor on another rank that holds nan or infinity, if any does."""
        reply = self._round(m.FindNotFinite())
        assert isinstance(reply, m.FindNotFinite)
        return reply.name

    def new_cache(self, kind: Callable[..., Any] = m.New, **values: Any) -> _Cache:
        """A cache on the other ranks, made by a change of this kind."""
        self._caches += 1
        self.change(kind(self._caches, **values))
        return _Cache(self, self._caches)

    def change(self, change: Any) -> None:
        """Change caches before the next message."""
        self._changes.append(change)

    def _taken(self) -> m.Changes:
        # Caches may be dropped by the garbage collector at any moment, in any thread.
        return tuple(self._changes.popleft() for _ in range(len(self._changes)))

    def _round(self, message: m.Message) -> m.Message:
        self._ring.send(message)
        reply, _ = self._ring.receive()
        self._check(reply)
        return reply

    def _check(self, reply: m.Message) -> None:
        if isinstance(reply, m.Failed):
            raise GeluError(reply.error.kind, reply.error.message, reply.error.hint)


class _Layers(LayersElsewhere):
    def __init__(self, leader: Leader) -> None:
        super().__init__()
        self._leader = leader

    def __call__(self, hidden: mx.array, mask: Any, cache: CacheElsewhere | None) -> mx.array:
        number = cache.number if isinstance(cache, _Cache) else None
        rows = self.functions.rows if self.functions is not None else None
        return self._leader.forward(hidden, number, rows, float32=self.float32)

    def first_not_finite(self) -> str | None:
        return self._leader.first_not_finite()


def _told(
    rows: Sequence[RowFunction], sites: Sequence[Site]
) -> tuple[tuple[m.Formula, ...], tuple[m.Block, ...]]:
    """The functions of rows and their blocks, as they are told to other ranks with these sites."""
    functions: list[Function] = []

    def place(function: Function) -> int:
        if function not in functions:
            functions.append(function)
        return functions.index(function)

    blocks = []
    for row, same in itertools.groupby(rows):
        count = len(list(same))
        if isinstance(row, FunctionBySite):
            first, *_ = at = [place(row.at(site)) for site in sites]
            pairs = zip(sites, at, strict=True)
            others = tuple((*site, other) for site, other in pairs if other != first)
            blocks.append(m.Block(first, count, others))
        else:
            blocks.append(m.Block(place(row), count))
    return tuple(map(_formula, functions)), tuple(blocks)


def _formula(function: Function) -> m.Formula:
    while isinstance(function, functools.partial):
        function = function.func
    assert isinstance(function, FormulaFunction)
    return m.Formula(m.packed(function.node), function.precision)


class _Cache(CacheElsewhere):
    def __init__(self, leader: Leader, number: int) -> None:
        self._leader, self.number = leader, number

    def __del__(self) -> None:
        self._leader.change(m.Drop(self.number))

    def join(self, rows: Sequence[CacheElsewhere]) -> CacheElsewhere:
        return self._leader.new_cache(m.Join, rows=_numbers(rows))

    def merge(self, rows: Sequence[CacheElsewhere]) -> CacheElsewhere:
        return self._leader.new_cache(m.Mix, rows=_numbers(rows))

    def extend(self, other: CacheElsewhere) -> None:
        (number,) = _numbers([other])
        self._leader.change(m.Extend(self.number, number))

    def filter(self, rows: mx.array) -> None:
        self._leader.change(m.Select(self.number, tuple(np.array(rows).tolist())))


def _numbers(caches: Sequence[CacheElsewhere]) -> tuple[int, ...]:
    return tuple(cache.number for cache in caches if isinstance(cache, _Cache))


def _keep_first(model: Any, own: int, leader: Leader) -> None:
    """Put the other ranks in the place of all layers but the first `own` ones."""
    empty = make_prompt_cache(model)[:own]
    decoder = decoder_of(model)
    decoder.layers = [*decoder.layers[:own], _Layers(leader)]
    model.make_cache = lambda: [*copy.deepcopy(empty), leader.new_cache()]
