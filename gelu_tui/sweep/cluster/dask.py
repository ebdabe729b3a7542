"""Dask itself: imported when it is used, and kept from writing to the terminal."""

from __future__ import annotations

import logging
import warnings

from gelu_tui.sweep.worker import NoWorkers

# For a scheduler and workers of our own: no HTTP pages, and less of what measures them, which took
# several percent of a core for each.
QUIET = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.tick.limit": "60s",
    "distributed.admin.system-monitor.interval": "5s",
}

_LOGGERS = ("distributed", "tornado", "asyncssh", "bokeh", "asyncio")


def import_distributed() -> None:
    """Import Dask's scheduler and workers. Raises `NoWorkers` where they are not installed."""
    try:
        import distributed  # noqa: F401
    except ImportError:
        message = "Sweeps with several workers need Dask, which is not installed."
        hint = "Install it with pip install 'gelu-tui[cluster]', on every machine."
        raise NoWorkers("no_cluster", message, hint) from None
    silence()


def silence() -> None:
    """Keep log lines and warnings of Dask and its libraries off stderr.

    What of them matters to a user is told in sentences of ours.
    """
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in _LOGGERS:
            logger = logging.getLogger(name)
            for handler in list(logger.handlers):
                if type(handler) is logging.StreamHandler:
                    logger.removeHandler(handler)
                    logger.propagate = True
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
        logger.propagate = bool(logging.root.handlers)
    warnings.filterwarnings("ignore", module=r"distributed(\.|$)")
