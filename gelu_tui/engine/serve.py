"""Serve one app: protocol on stdin and stdout, everything else in the log."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import platform
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from gelu_tui import __version__
from gelu_tui.core import paths
from gelu_tui.core import protocol as p
from gelu_tui.core.own_files import open_log
from gelu_tui.core.parent_death import end_with_launcher
from gelu_tui.core.process_end import LOST_RANK
from gelu_tui.engine import device
from gelu_tui.engine.failures import reason_of
from gelu_tui.engine.models import hub_environment
from gelu_tui.engine.models.mlx_lm_import import import_mlx_lm
from gelu_tui.engine.pipeline.ranks import own_rank
from gelu_tui.engine.session import Inbox, Session, writer

_LOG_LIMIT = 1_000_000
_LOG_LEVELS = {"debug": logging.DEBUG, "warning": logging.WARNING, "error": logging.ERROR}


def _open_log() -> Path | None:
    """Open the log, rotating it when it has grown; None where it cannot be written."""
    file = paths.log_dir() / "engine.log"
    try:
        if file.is_file() and file.lstat().st_size > _LOG_LIMIT:
            file.replace(file.with_suffix(".log.1"))
        descriptor = open_log(file)
    except OSError:
        return None
    # Also what C++ code and libraries print must land in the log and not on the user's terminal.
    os.dup2(descriptor, 2)
    os.close(descriptor)
    return file


def _take_stdin() -> BinaryIO:
    """Keep the real stdin for the protocol: a program started by a library must not read it."""
    try:
        protocol = os.fdopen(os.dup(0), "rb")
    except OSError:
        os._exit(0)  # it is closed: nobody can send commands
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return protocol


def _follow(stdin: BinaryIO) -> None:
    """Obey rank 0, which alone answers: all ranks receive the commands."""
    inbox = Inbox(stdin, lambda _: None)

    def wait() -> p.Command:
        job = inbox.next()
        inbox.done(job)
        return job.command

    # Nothing before needs a model, nor MLX.
    while not isinstance(wait(), p.Load):
        pass
    import_mlx_lm()
    from gelu_tui.engine.pipeline.follower import follow
    from gelu_tui.engine.pipeline.ring import DistributedRing

    follow(wait, DistributedRing(), inbox.taken)


def serve(*, pipeline: bool = False) -> None:
    """Answer commands until stdin ends; `pipeline`: as rank 0 of several, or obey it."""
    device.forget_preload()
    rank = own_rank() if pipeline else None
    stdin = _take_stdin()
    last_words = os.dup(2)
    log_file = _open_log()
    # The real stdout is kept for the protocol and fd 1 is stderr, so that no print corrupts it.
    stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    logging.basicConfig(
        stream=sys.stderr,
        level=_LOG_LEVELS.get(os.environ.get("GELU_TUI_LOG_LEVEL", ""), logging.INFO),
        format=f"%(asctime)s [{os.getpid()}] %(levelname)s %(name)s: %(message)s",
    )
    # Ctrl-C in a terminal is for the app, also where the engine shares its session (ssh).
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    hub_environment.prepare()
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    device.prefer_full_float32()
    if rank is not None:
        end_with_launcher(LOST_RANK)
    emit = writer(stdout, ascii_only=rank is not None)
    versions = {
        "gelu_tui": __version__,
        "mlx": importlib.metadata.version("mlx"),
        "mlx_lm": importlib.metadata.version("mlx-lm"),
        "python": platform.python_version(),
    }
    try:
        if rank:
            _follow(stdin)
        hello = p.Hello(p.PROTOCOL_VERSION, versions, os.getpid(), str(log_file or "not written"))
        emit(hello)
        Session(Inbox(stdin, emit), leads=rank is not None).serve()
    except BaseException as error:
        logging.getLogger(__name__).exception("the engine ends")
        if rank is not None:
            os.write(last_words, f"rank {rank}: {reason_of(error)}\n".encode())
        # Threads of MLX and of the tokenizer may abort an orderly exit.
        os._exit(1)
