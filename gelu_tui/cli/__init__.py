"""The command line. Everything but the command tree is imported by the command that needs it."""

from gelu_tui.cli.tree import main

__all__ = ["main"]
