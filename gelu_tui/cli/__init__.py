"""The command line. Everything but the command tree is imported by the command that needs it."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point: no traceback reaches a user, not even for a Ctrl-C while modules load."""
    try:
        from gelu_tui.cli.tree import run_tree

        code = run_tree()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
