"""What every process that multiprocessing starts for the engine does first."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.connection import wait

from gelu_tui.core.parent_death import end_with


def end_with_parent() -> None:
    """End this process when its parent has ended, where the system can even while it is stopped."""
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        return
    sentinel = parent.sentinel

    def wait_and_exit() -> None:
        wait([sentinel])
        os._exit(0)

    threading.Thread(target=wait_and_exit, daemon=True).start()
    end_with(parent.pid)
