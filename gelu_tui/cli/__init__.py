"""The command line. Everything but the command tree is imported by the command that needs it."""

import os
import sys

# Bytes of address space for Python and what prints a sentence; with less anything may end anyhow.
_LEAST = 64 * 1000**2
_OUT_OF_MEMORY = (
    "cannot allocate memory",
    "can't start new thread",
    "failed to map segment",
    # of Python itself: SystemError
    "without exception set",
    "without setting an exception",
)


def main() -> None:
    """Entry point: no traceback reaches a user, not even for a Ctrl-C while modules load."""
    try:
        from gelu_tui.cli.interrupts import EndsAtOnce, end_at_once

        with EndsAtOnce():
            _check_memory()
            from gelu_tui.cli.tree import run_tree

        code = run_tree()
        end_at_once()  # Python itself goes on for some milliseconds
    except KeyboardInterrupt:
        code = 130
    except (MemoryError, OSError, RuntimeError, ImportError, SystemError) as error:
        # Too little for the modules themselves, so nothing of ours can say it.
        said = str(error).lower()
        if not isinstance(error, MemoryError) and not any(each in said for each in _OUT_OF_MEMORY):
            raise
        hint = "Raise the limit of address space (ulimit -v), or close other programs."
        sys.stderr.write(f"gelu-tui: Memory ran out.\n  {hint}\n")
        sys.stderr.flush()
        os._exit(1)  # what was begun would be told of with tracebacks
    sys.exit(code)


def _check_memory() -> None:
    """Raise `MemoryError` under a limit with which not even modules can be imported."""
    from resource import RLIM_INFINITY, RLIMIT_AS, RLIMIT_DATA, getrlimit

    limits = (getrlimit(each)[0] for each in (RLIMIT_AS, RLIMIT_DATA))
    if any(limit != RLIM_INFINITY and limit < _LEAST for limit in limits):
        raise MemoryError
