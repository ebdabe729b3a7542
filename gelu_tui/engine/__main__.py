"""`python -m gelu_tui.engine`: the child process."""

from __future__ import annotations

import sys

from gelu_tui.core.parent_death import end_with_named_parent
from gelu_tui.engine import device


def main() -> None:
    """Serve until stdin ends. With --pipeline, as one of the ranks that mlx.launch has started."""
    end_with_named_parent()
    # Before the rest, because what is imported before a restart is imported twice.
    device.restart_with_blas()
    from gelu_tui.engine.serve import serve

    serve(pipeline="--pipeline" in sys.argv[1:])


if __name__ == "__main__":
    main()
