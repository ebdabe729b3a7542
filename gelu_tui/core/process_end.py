"""How a process ended, in a sentence, and what helps: by its signal or exit code and last words."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from typing import NamedTuple

# The exit code of a rank of a pipeline that ends because another one has ended.
LOST_RANK = 76

OUT_OF_MEMORY = (
    "malloc",
    "allocat",
    "bad_alloc",
    "memoryerror",
    "out of memory",
    "insufficient memory",
    "failed to map segment",
)
_MEMORY = "Memory ran out: close other programs, or choose a smaller model or fewer functions."

_HINTS: dict[int, str] = {
    signal.SIGKILL: "If memory ran out, choose a smaller model.",
    signal.SIGABRT: "A library gave up, most often because memory ran out: choose a smaller model.",
    signal.SIGSEGV: "A library failed: install gelu-tui again, or report it with the engine's log.",
    signal.SIGBUS: "A file became shorter or unreadable while it was used: fetch the model again.",
    signal.SIGILL: "MLX was built for another processor: install the build for this machine.",
    signal.SIGFPE: "A library failed: install gelu-tui again, or report it with the engine's log.",
    signal.SIGXCPU: "The limit of processor time is used up: raise it with ulimit -t.",
    signal.SIGXFSZ: "A file would exceed the limit of file sizes: raise it with ulimit -f.",
    signal.SIGTERM: "Another program ended it: start it again.",
    signal.SIGHUP: "Its terminal was closed: start it again.",
    signal.SIGINT: "Another program interrupted it: start it again.",
}
_NAMES = {number.value: number.name for number in signal.Signals}


def how_it_ended(code: int | None) -> str:
    """Return a phrase for an exit code: negative for a signal, None for a process that lives on.

    A shell returns 128 and the number of the signal that ended its command.
    """
    if code is None:
        return "closed its output"
    if (number := _signal(code)) is not None:
        return f"was killed ({_NAMES.get(number, f'signal {number}')})"
    return f"ended with exit code {code}"


class RankThatEnded(NamedTuple):
    """A rank of a pipeline; `words` are its last ones."""

    number: int
    code: int
    words: str


_OF_LAUNCHER = re.compile(r"Node with rank (\d+) exited with code (-?\d+)")
_SELDOM_THE_CAUSE = (LOST_RANK, -signal.SIGTERM)  # how the others end then


def rank_that_ended(lines: Sequence[str]) -> RankThatEnded | None:
    """The rank that ended a pipeline, from what mlx.launch and the ranks wrote on stderr."""
    ends = [(int(number), int(code)) for number, code in _OF_LAUNCHER.findall("\n".join(lines))]
    ends = [end for end in ends if end[1] != 0]
    if not ends:
        return None
    number, code = min(ends, key=lambda end: end[1] in _SELDOM_THE_CAUSE)
    begin = f"rank {number}: "
    words = [line[len(begin) :] for line in lines if line.startswith(begin)]
    return RankThatEnded(number, code, words[-1] if words else "")


def what_helps(code: int | None, last_words: str, otherwise: str) -> str:
    """Return a hint that helps with such an end; `otherwise` where nothing is known."""
    if any(word in last_words.lower() for word in OUT_OF_MEMORY):
        return _MEMORY
    if code is not None and (number := _signal(code)) is not None:
        return _HINTS.get(number, otherwise)
    if "ModuleNotFoundError" in last_words or "ImportError" in last_words:
        return "Install gelu-tui again where the engine runs."
    return otherwise


def _signal(code: int) -> int | None:
    if code < 0:
        return -code
    return code - 128 if code - 128 in _NAMES else None
