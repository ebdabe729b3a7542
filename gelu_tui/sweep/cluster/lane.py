"""One worker of a cluster, as the owner of the sweep sees it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.sweep.events import WorkerState
from gelu_tui.sweep.local_worker import AHEAD
from gelu_tui.sweep.prompts import Prompt

_GROUPS_OF_A_BATCH = 4
_ids = itertools.count(1)


class Sent:
    """A group of prompts that is with a worker."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        self.id = next(_ids)
        self.prompts = {prompt.number: prompt for prompt in prompts}
        self.task: asyncio.Task[None] | None = None  # that waits for its result


class Lane:
    """A worker. `loaded` is None until its engine is ready; `refused` is why it is not used."""

    def __init__(self, address: str, name: str, host: str) -> None:
        self.address, self.name, self.host = address, name, host
        self.loaded: p.Loaded | None = None
        self.refused: ErrorInfo | None = None
        self.opening: asyncio.Task[None] | None = None
        self.groups: dict[int, Sent] = {}
        self.is_alone = False  # with a prompt that workers were lost with
        self.at_once = 0
        self.done = 0
        self.doing = "starts"
        self.seen: tuple[Any, float] = (None, time.monotonic())  # its last sign of life, and when
        self._began: float | None = None

    @property
    def ready(self) -> bool:
        return self.loaded is not None and self.refused is None

    @property
    def outstanding(self) -> int:
        """The number of prompts that are with it."""
        return sum(len(sent.prompts) for sent in self.groups.values())

    @property
    def group_size(self) -> int:
        """So many prompts that a batch stays full, and that a lost group costs little."""
        return max(1, self.at_once // _GROUPS_OF_A_BATCH)

    def wanted(self, share: float) -> int:
        """How many prompts are to be with it, of so many that are its share of what is left."""
        return min(math.ceil(AHEAD * max(1, self.at_once)), max(1, math.ceil(share)))

    @property
    def per_minute(self) -> float | None:
        """Prompts a minute, None before the first."""
        if self._began is None or not self.done:
            return None
        return self.done / max(1e-9, time.monotonic() - self._began) * 60

    @property
    def state(self) -> WorkerState:
        device = self.loaded.device if self.loaded else ""
        with_it = self.outstanding
        return WorkerState(self.name, device, self.doing, self.done, with_it, self.per_minute)

    def send(self, prompts: Sequence[Prompt], *, alone: bool = False) -> Sent:
        """Note that prompts go there."""
        if self._began is None:
            self._began = time.monotonic()
        self.is_alone = alone
        sent = Sent(prompts)
        self.groups[sent.id] = sent
        return sent

    def take_back(self) -> list[Prompt]:
        """Forget all that is with it, and return the prompts."""
        prompts = [prompt for sent in self.groups.values() for prompt in sent.prompts.values()]
        for sent in self.groups.values():
            if sent.task is not None:
                sent.task.cancel()
        self.groups.clear()
        self.is_alone = False
        return prompts

    def reset(self) -> None:
        """Another model follows."""
        self.take_back()
        self.loaded = self.refused = None
        self.at_once = 0


def difference(lane: p.Loaded, first: p.Loaded) -> tuple[str, str]:
    """Why results of one worker cannot stand beside those of another: a clause, and a hint.

    Empty if they can. Patches of MLX may differ: each prompt's functions are compared on one
    machine, and the report counts the prompts of each.
    """
    wanted = {**first.versions, **_versions_here()}
    for name in sorted(lane.versions.keys() & first.versions.keys() - {"python"}):
        own, other = lane.versions[name], wanted[name]
        exact = name == "gelu_tui"
        if (own if exact else _minor(own)) != (other if exact else _minor(other)):
            shown = name.replace("_", "-")
            return f"has {shown} {own}, not {other}", f"Install the same {shown} everywhere."
    for field in ("family", "dtype", "quantization", "native_activation"):
        own_value, value = getattr(lane.model, field), getattr(first.model, field)
        if own_value != value:
            what = field.replace("_", " ")
            hint = "Give --dtype." if field == "dtype" else "Put the same model on all machines."
            return f"has the model with {what} {own_value}, not {value}", hint
    return "", ""


def _versions_here() -> dict[str, str]:
    """Those of the owner, which decide where an engine is our own."""
    found = {}
    for name in ("gelu-tui", "mlx", "mlx-lm"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name.replace("-", "_")] = metadata.version(name)
    return found


def _minor(version: str) -> list[str]:
    return [*version.split("."), "0"][:2]
