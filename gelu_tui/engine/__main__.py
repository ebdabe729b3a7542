"""`python -m gelu_tui.engine`: the child process."""

from __future__ import annotations

import sys

from gelu_tui.core.parent_death import end_with_named_parent
from gelu_tui.engine import device


def main() -> None:
    """Serve until stdin ends. With --pipeline, as one of the ranks that mlx.launch has started."""
    end_with_named_parent()
    pipeline = "--pipeline" in sys.argv[1:]
    if pipeline:
        _check_launcher()
    # Before the rest, because what is imported before a restart is imported twice.
    device.restart_with_blas()
    from gelu_tui.engine.serve import serve

    serve(pipeline=pipeline)


def _check_launcher() -> None:
    from gelu_tui.core.errors import UsageError
    from gelu_tui.engine.pipeline.ranks import own_rank

    try:
        own_rank()
    except UsageError as error:
        sys.stderr.write(f"{error}\n{error.hint}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
