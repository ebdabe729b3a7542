"""Compare activation functions of one Gemma model, side by side in a terminal.

For scripts and notebooks: `compare`, `score`, `sweep`, `load_run`, and `Engine` for many of them.
"""

# `typing` takes longer than all of this; a Ctrl+C meanwhile is told with a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from gelu_tui.api import (
        Engine,
        GeluError,
        Run,
        Score,
        Sweep,
        Unfinished,
        compare,
        load_run,
        score,
        sweep,
    )

__version__ = "0.1.0"

__all__ = [
    "Engine",
    "GeluError",
    "Run",
    "Score",
    "Sweep",
    "Unfinished",
    "compare",
    "load_run",
    "score",
    "sweep",
]


def __getattr__(name: str) -> object:
    # Imported when it is first used: the command's start must not wait for it.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gelu_tui import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
