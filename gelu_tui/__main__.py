"""`python -m gelu_tui` is the command `gelu-tui`."""

import sys

try:
    from gelu_tui.cli import main
except KeyboardInterrupt:  # `main` guards itself, but not the reading of its own module
    sys.exit(130)

main()
