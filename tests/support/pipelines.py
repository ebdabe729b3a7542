"""A pipeline whose ranks are objects in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec

from gelu_tui.engine.models import loading
from gelu_tui.engine.pipeline.follower import Follower
from gelu_tui.engine.pipeline.leader import Leader
from gelu_tui.engine.pipeline.messages import Message


class RingInProcess:
    """The end of rank 0 of a ring; what it sends goes through all others at once."""

    rank = 0

    def __init__(self, ranks: int) -> None:
        self.size = ranks
        self.followers = [Follower(rank) for rank in range(1, ranks)]
        self.sent: list[Message] = []
        self._back: tuple[Message, mx.array | None] | None = None

    def send(self, message: Message, hidden: mx.array | None = None) -> None:
        message = msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=Message)
        self.sent.append(message)
        going: Any = message, hidden
        for follower in self.followers:
            going = follower.obey(*going)
        self._back = going

    def receive(self) -> tuple[Message, mx.array | None]:
        assert self._back is not None
        back, self._back = self._back, None
        return back


def load(
    folder: Path | str, ranks: int, dtype: str | None = None
) -> tuple[loading.LoadedModel, RingInProcess]:
    """A model split over so many ranks."""
    ring = RingInProcess(ranks)
    leader = Leader(lambda: ring)
    loaded = loading.load(str(folder), dtype, lambda _: None, lambda: False, leader)
    return loaded, ring
