"""The functions of the batch rows that go through a model: each row may have its own."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import mlx.core as mx

from gelu_tui.engine.compute.functions import Function


class Site(NamedTuple):
    """A place where a model applies its activation."""

    layer: int  # from 0
    kind: str  # as in `core.models.families`, "feed-forward" for the sparse ones too


class FunctionBySite(ABC):
    """A row's function that is not the same at every site."""

    @abstractmethod
    def at(self, site: Site) -> Function:
        """Return the function of a site: always the same object where rows shall share a block."""


RowFunction = Function | FunctionBySite
Blocks = list[tuple[Function, int]]  # functions of neighbouring rows, and their number of rows


class RowFunctions:
    """The functions of the rows that go through the model now; shared by all sites.

    Neighbouring rows with one function are a block, for which it is called once.
    """

    def __init__(self) -> None:
        self.rows: tuple[RowFunction, ...] = ()
        self._blocks: dict[Site | None, Blocks] = {}  # None: where they do not differ by site
        self._within: Function | None = None  # of the block that alone is being computed

    @contextmanager
    def use(self, *rows: RowFunction) -> Iterator[None]:
        """Within this context, batch row i is computed with function i."""
        previous = self.rows, self._blocks
        self.rows, self._blocks = rows, {}
        try:
            yield
        finally:
            self.rows, self._blocks = previous

    def blocks(self, site: Site) -> Blocks:
        """Return the functions of all rows at a site, block by block."""
        if None in self._blocks:
            return self._blocks[None]
        if site not in self._blocks:
            by_site = any(isinstance(row, FunctionBySite) for row in self.rows)
            here = (row.at(site) if isinstance(row, FunctionBySite) else row for row in self.rows)
            blocks = [(function, len(list(same))) for function, same in itertools.groupby(here)]
            self._blocks[site if by_site else None] = blocks
            return blocks
        return self._blocks[site]

    def apply(self, site: Site, x: mx.array) -> mx.array:
        """Apply function i to row i of (rows, …); shape and dtype stay.

        Raises ValueError when the batch has another number of rows: a row that silently used its
        neighbour's function would be a wrong result.
        """
        if self._within is not None:
            return self._within(x)
        blocks = self.blocks(site)
        borders = _borders(blocks, x)
        if not borders:
            return blocks[0][0](x)
        parts = zip(blocks, mx.split(x, borders, axis=0), strict=True)
        return mx.concatenate([function(part) for (function, _), part in parts], axis=0)

    def block_by_block(
        self, site: Site, call: Callable[..., mx.array], *batch: mx.array
    ) -> mx.array:
        """Call what has no rows inside with one block of each array after the other."""
        blocks = self.blocks(site)
        borders = _borders(blocks, batch[0])
        parts = zip(*(mx.split(array, borders, axis=0) for array in batch), strict=True)
        results = []
        try:
            for (function, _), part in zip(blocks, parts, strict=True):
                self._within = function
                results.append(call(*part))
        finally:
            self._within = None
        return mx.concatenate(results, axis=0)


def _borders(blocks: Blocks, x: mx.array) -> list[int]:
    """The first row of each block but the first."""
    *borders, rows = itertools.accumulate((count for _, count in blocks), initial=0)
    if x.shape[0] != rows:
        raise ValueError(f"{x.shape[0]} rows, but {rows} activation functions")
    return borders[1:]
