"""`python -m gelu_tui` is the command `gelu-tui`."""

from gelu_tui.cli import main

main()
