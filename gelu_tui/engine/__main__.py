"""`python -m gelu_tui.engine`: the child process."""

from __future__ import annotations

from gelu_tui.engine import device


def main() -> None:
    """Serve until stdin ends."""
    # First, because what is imported before a restart is imported twice.
    device.restart_with_blas()
    from gelu_tui.engine.serve import serve

    serve()


if __name__ == "__main__":
    main()
