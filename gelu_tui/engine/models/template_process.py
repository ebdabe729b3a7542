"""Rendering chat templates in a process of their own, with limits.

A template is a program of the model folder's. Jinja's sandbox keeps it from files and from Python,
but not from running for ever or filling the memory, which only the end of its process can stop. The
process is kept: it imports transformers, which takes longer than a template.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
from multiprocessing.connection import Connection
from typing import Any

import psutil

from gelu_tui.core.text_files import PROMPT_LIMIT
from gelu_tui.engine.failures import Interrupted, IsCancelled, reason_of
from gelu_tui.engine.models.child_process import end_with_parent

# Gemma's own templates take milliseconds.
_CPU_LIMIT_S = 2.0
_MEMORY_LIMIT = 1_000_000_000
_TEXT_LIMIT = 2 * PROMPT_LIMIT
_POLL_S = 0.02

Turns = list[dict[str, str]]


class RenderError(Exception):
    """What a template did, as the end of a sentence about it."""


def render(template: str, turns: Turns, arguments: dict[str, Any], cancelled: IsCancelled) -> str:
    """Return what the template writes for a conversation; `arguments` are its variables.

    Raises `RenderError`, and `Interrupted` if it was cancelled.
    """
    global _renderer
    if _renderer is None or not _renderer.is_alive():
        _renderer = _Renderer()
    try:
        return _renderer.render((template, turns, arguments), cancelled)
    finally:
        if not _renderer.is_idle:
            _renderer.stop()
            _renderer = None


class _Renderer:
    """The process, and this end of the pipe to it."""

    def __init__(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._is_ready = False
        self.is_idle = True

    def render(self, request: tuple[str, Turns, dict[str, Any]], cancelled: IsCancelled) -> str:
        self.is_idle = False
        try:
            self._connection.send(request)
            if not self._is_ready:
                self._receive(cancelled, limited=False)
                self._is_ready = True
            answer = self._receive(cancelled, limited=True)
        except (EOFError, OSError):
            raise RenderError("ended the process that rendered it") from None
        self.is_idle = True
        if isinstance(answer, str):
            return answer
        raise RenderError(*answer)

    def _receive(self, cancelled: IsCancelled, *, limited: bool) -> Any:
        process = psutil.Process(self._process.pid)
        cpu_before, memory_before = _usage(process)
        while not self._connection.poll(_POLL_S):
            if cancelled():
                raise Interrupted
            cpu_s, memory = _usage(process)
            if limited and cpu_s - cpu_before > _CPU_LIMIT_S:
                raise RenderError(f"takes more than {_CPU_LIMIT_S:g} seconds of computing")
            if limited and memory - memory_before > _MEMORY_LIMIT:
                raise RenderError(f"takes more than {_MEMORY_LIMIT / 1e9:g} GB of memory")
        return self._connection.recv()

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()


_renderer: _Renderer | None = None


def _usage(process: psutil.Process) -> tuple[float, int]:
    """Seconds of processor time and bytes of memory; zeros if the process has ended."""
    try:
        times = process.cpu_times()
        return times.user + times.system, process.memory_info().rss
    except psutil.Error:
        return 0.0, 0


# --- in the process ------------------------------------------------------------------------------


def _serve(connection: Connection) -> None:
    """Send a text when ready; then for each request its text, or a tuple with what went wrong."""
    end_with_parent()
    from transformers.utils.chat_template_utils import render_jinja_template

    connection.send("ready")
    with contextlib.suppress(EOFError):
        while True:
            template, turns, arguments = connection.recv()
            _limit_cpu()
            connection.send(_answer(render_jinja_template, template, turns, arguments))


def _answer(
    render_jinja_template: Any, template: str, turns: Turns, arguments: dict[str, Any]
) -> str | tuple[str]:
    try:
        [text], _ = render_jinja_template(
            conversations=[turns],
            chat_template=template,
            add_generation_prompt=True,
            **arguments,
        )
    except MemoryError:
        return ("takes more memory than there is",)
    except Exception as error:  # a template is a program of its own
        return (f"fails: {reason_of(error)}",)
    if len(text) > _TEXT_LIMIT:
        return (f"writes more than {_TEXT_LIMIT:,} characters",)
    return str(text)


def _limit_cpu() -> None:
    """Let the system end this process should its parent be gone while Python is kept from it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime + 2 * _CPU_LIMIT_S) + 1
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
