"""`gelu-tui engine --ranks`: mlx.launch, with what it needs to start our ranks."""

from __future__ import annotations

import importlib.metadata
import random
import select
import socket
import sys
from contextlib import ExitStack, suppress

from gelu_tui.core.parent_death import end_with_named_parent

_PORTS = range(32323, 60000, 16)  # from the launcher's own default on
_PAUSE_S = 0.02
_RANK = ("--", "-P", "-m", "gelu_tui.engine", "--pipeline")


def free_port(ranks: int) -> int:
    """The first of as many neighbouring ports that are free on this machine.

    By chance, since another launcher's ranks may not have taken theirs yet.
    """
    for port in random.sample(_PORTS, len(_PORTS)):
        with ExitStack() as stack, suppress(OSError):
            for number in range(port, port + ranks):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", number))
            return port
    return _PORTS[0]


def _select(
    read: list[int], write: list[int], _: list[int], timeout: float
) -> tuple[list[int], list[int], list[int]]:
    """As `select.select`, for the launcher, which keeps a core busy by asking for ready pipes.

    The pipes to its ranks are always ready. They are short of commands, not of room.
    """
    readable, _, _ = select.select(read, [], [], min(timeout, _PAUSE_S))
    return readable, write, []


def main() -> None:
    """Become the launcher: `RANKS` on this machine, or `PYTHON HOSTFILE` for others."""
    end_with_named_parent()
    match sys.argv[1:]:
        case [ranks]:
            port = str(free_port(int(ranks)))
            where = ["--backend", "ring", "-n", ranks, "--starting-port", port]
            python = sys.executable
        case [python, hostfile]:
            where = ["--hostfile", hostfile]
        case _:
            sys.exit("usage: RANKS | PYTHON HOSTFILE")
    sys.argv = ["mlx.launch", *where, "--python", python, *_RANK]
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="mlx.launch")
    launch = entry.load()
    if "select" in launch.__globals__:
        launch.__globals__["select"] = _select
    launch()


if __name__ == "__main__":
    main()
