"""`python -m gelu_tui.engine`: the child process."""

from __future__ import annotations

from gelu_tui.core.parent_death import end_with_named_parent
from gelu_tui.engine import device


def main() -> None:
    """Serve until stdin ends."""
    end_with_named_parent()
    # Before the rest, because what is imported before a restart is imported twice.
    device.restart_with_blas()
    from gelu_tui.engine.serve import serve

    serve()


if __name__ == "__main__":
    main()
