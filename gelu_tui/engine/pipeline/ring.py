"""The ring of ranks: each sends to the next one and receives from the one before."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import stat
from pathlib import Path
from typing import Protocol

import mlx.core as mx
import msgspec
import numpy as np

from gelu_tui.core.errors import GeluError
from gelu_tui.core.process_end import LOST_RANK
from gelu_tui.engine.failures import reason_of
from gelu_tui.engine.pipeline.messages import Forward, Message

_HEADER_BYTES = 4096  # a message that fits into it costs one transfer
_LENGTH_BYTES = 8
_OF_RING = "MLX_HOSTFILE"  # set by mlx.launch

log = logging.getLogger(__name__)


class Ring(Protocol):
    """Messages between neighbours, with the hidden states that follow a `Forward`."""

    rank: int
    size: int

    def send(self, message: Message, hidden: mx.array | None = None) -> None: ...
    def receive(self) -> tuple[Message, mx.array | None]: ...


class DistributedRing:
    """The ring over `mx.distributed`. It ends the process when a neighbour is lost."""

    def __init__(self) -> None:
        """Connect with the other ranks, and wait for them. Raises `GeluError`."""
        before = _open_sockets()
        try:
            self._group = mx.distributed.init(strict=True)
        except (RuntimeError, ValueError) as error:
            message = f"The ranks cannot connect with each other: {reason_of(error)}."
            hint = "Check the host file, and that no other program uses the launcher's ports."
            raise GeluError("pipeline", message, hint) from error
        self.rank, self.size = self._group.rank(), self._group.size()
        # MLX's ring asks its sockets again and again while it waits for them, which takes a core
        # from the rank that computes. Those of another backend may be for other purposes.
        is_ring = _OF_RING in os.environ
        self._sockets = sorted(_open_sockets() - before) if is_ring else []
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Message)

    def send(self, message: Message, hidden: mx.array | None = None) -> None:
        """Send to the next rank; `hidden` belongs to a `Forward`."""
        data = self._encoder.encode(message)
        data = len(data).to_bytes(_LENGTH_BYTES, "little") + data
        self._put(_bytes(data[:_HEADER_BYTES].ljust(_HEADER_BYTES, b"\0")))
        if rest := data[_HEADER_BYTES:]:
            self._put(_bytes(rest))
        if hidden is not None:
            self._put(hidden)

    def receive(self) -> tuple[Message, mx.array | None]:
        """Wait for a message of the rank before."""
        if self._sockets:
            select.select(self._sockets, [], [])
        data = self._get_bytes(_HEADER_BYTES)
        length = int.from_bytes(data[:_LENGTH_BYTES], "little")
        data = data[_LENGTH_BYTES:]
        if length > len(data):
            data += self._get_bytes(length - len(data))
        message = self._decoder.decode(data[:length])
        if isinstance(message, Forward):
            return message, self._get(message.shape, getattr(mx, message.dtype))
        return message, None

    def _put(self, array: mx.array) -> None:
        mx.eval(array)  # what fails here is not the connection
        self._transfer(mx.distributed.send(array, (self.rank + 1) % self.size, group=self._group))

    def _get(self, shape: tuple[int, ...], dtype: mx.Dtype) -> mx.array:
        before = (self.rank - 1) % self.size
        return self._transfer(mx.distributed.recv(shape, dtype, before, group=self._group))

    def _get_bytes(self, length: int) -> bytes:
        return np.array(self._get((length,), mx.uint8)).tobytes()

    def _transfer(self, array: mx.array) -> mx.array:
        try:
            mx.eval(array)
        except RuntimeError:
            # Nothing can be computed any more. The launcher ends the others and says who was first.
            log.exception("rank %d has lost a neighbour", self.rank)
            os._exit(LOST_RANK)
        return array


def _open_sockets() -> set[int]:
    """The descriptors of this process that are sockets."""
    found = set()
    for path in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(path.name)).st_mode):
                found.add(int(path.name))
    return found


def _bytes(data: bytes) -> mx.array:
    return mx.array(np.frombuffer(data, np.uint8))
