"""A child process that ends with its parent, even while it is stopped by a signal.

A stopped engine cannot notice that its stdin has ended. Linux kills a child when its parent dies,
if the child asked for it. macOS has nothing of the kind: there a stopped engine ends as soon as it
is continued.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

_VARIABLE = "GELU_TUI_PARENT"
_PR_SET_PDEATHSIG = 1
_WATCHED_EVERY_S = 0.5


def parent_named() -> dict[str, str]:
    """The environment of a child that calls `end_with_named_parent`.

    Linux means the thread that starts the child, so only the main thread names its process.
    """
    main = threading.current_thread() is threading.main_thread()
    return {**os.environ, _VARIABLE: str(os.getpid()) if main else ""}


def end_with_named_parent() -> None:
    """End with the process that `parent_named` named, if that is this process's parent.

    It is not where a shell or ssh stands between the two.
    """
    named = os.environ.pop(_VARIABLE, "")
    if named.isdecimal():
        end_with(int(named))


def end_with(parent: int) -> None:
    """End when the parent does, or at once if it is gone; nothing if it is not the parent."""
    if sys.platform != "linux":
        return
    if os.getppid() == parent:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:  # else it died before it could be asked for
            return
    elif _exists(parent):
        return
    os._exit(0)


def end_with_launcher(code: int) -> None:
    """End a rank of mlx.launch with the launcher, or with `code` when the launcher's parent ends.

    The launcher does not tell its ranks that its own input has ended, and does not end itself.
    """
    import psutil

    launcher = psutil.Process(os.getppid())
    above = launcher.ppid()
    end_with(launcher.pid)

    def watch() -> None:
        while os.getppid() == launcher.pid and launcher.ppid() == above:
            time.sleep(_WATCHED_EVERY_S)
        os._exit(code)

    threading.Thread(target=watch, name="watch", daemon=True).start()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
