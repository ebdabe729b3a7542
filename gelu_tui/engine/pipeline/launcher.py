"""`gelu-tui engine --ranks`: mlx.launch, with what it needs to start our ranks."""

from __future__ import annotations

import importlib.metadata
import random
import socket
import sys
from contextlib import ExitStack, suppress

from gelu_tui.core.parent_death import end_with_named_parent

_PORTS = range(32323, 60000, 16)  # from the launcher's own default on
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
    (launch,) = importlib.metadata.entry_points(group="console_scripts", name="mlx.launch")
    launch.load()()


if __name__ == "__main__":
    main()
