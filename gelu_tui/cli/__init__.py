"""The command line. Everything but the command tree is imported by the command that needs it."""

from __future__ import annotations

import sys

_OUT_OF_MEMORY = ("cannot allocate memory", "can't start new thread", "failed to map segment")


def main() -> None:
    """Entry point: no traceback reaches a user, not even for a Ctrl-C while modules load."""
    try:
        from gelu_tui.cli.tree import run_tree

        code = run_tree()
    except KeyboardInterrupt:
        code = 130
    except (MemoryError, OSError, RuntimeError, ImportError) as error:
        # Too little for the modules themselves, so nothing of ours can say it.
        said = str(error).lower()
        if not isinstance(error, MemoryError) and not any(each in said for each in _OUT_OF_MEMORY):
            raise
        hint = "Raise the limit of address space (ulimit -v), or close other programs."
        sys.stderr.write(f"gelu-tui: Memory ran out.\n  {hint}\n")
        code = 1
    sys.exit(code)
