"""Exceptions of the libraries as sentences for users; progress and cancelling of jobs."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Callable
from traceback import walk_tb
from typing import NamedTuple

from gelu_tui.core import protocol as p
from gelu_tui.core.backends import IMPORT_FAULTS
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.models.memory import machine_memory
from gelu_tui.core.process_end import OUT_OF_MEMORY

log = logging.getLogger(__name__)

IsCancelled = Callable[[], bool]
Report = Callable[[p.Progress], None]


class _Row(NamedTuple):
    """Errors of some classes that have one of the numbers or words; any, where there are none."""

    kind: str
    message: str
    hint: str
    errors: tuple[type[BaseException], ...]
    numbers: tuple[int, ...] = ()
    words: tuple[str, ...] = ()


_LESS = "Choose fewer activation functions, fewer tokens, or a smaller model."
_TABLE = (
    _Row("memory", "Memory ran out: {reason}.", _LESS, (MemoryError,)),
    _Row("memory", "Memory ran out: {reason}.", _LESS, (OSError,), (errno.ENOMEM,)),
    _Row(
        "limit",
        "The system allows no more: {reason}.",
        "Raise the limit of open files (ulimit -n) or of threads and processes (ulimit -u).",
        (OSError, RuntimeError),
        (errno.EMFILE, errno.ENFILE, errno.EAGAIN),
        ("can't start new thread", "too many open files"),
    ),
    _Row(
        "disk_full",
        "The disk is full: {reason}.",
        "Free some space first.",
        (OSError,),
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    ),
    _Row(
        "unreadable",
        "A file or folder may not be used: {reason}.",
        "Check its permissions.",
        (OSError,),
        (errno.EACCES, errno.EPERM, errno.EROFS),
    ),
    _Row("system", "The system reports an error: {reason}.", "Check what it names.", (OSError,)),
    _Row("memory", "Memory ran out: {reason}.", _LESS, (Exception,), (), OUT_OF_MEMORY),
    *(
        _Row("backend", fault.message, fault.hint, (ImportError,), words=fault.words)
        for fault in IMPORT_FAULTS
    ),
    _Row(
        "backend",
        "MLX cannot use the NVIDIA GPU: {reason}.",
        "Look at nvidia-smi: the CUDA wheel needs a driver of its version. `gelu-tui doctor` shows "
        "what is installed.",
        (RuntimeError, ValueError),
        (),
        ("cuda", "cublas", "cudnn", "nvrtc"),
    ),
    _Row(
        "install",
        "A library cannot be imported: {reason}.",
        "Install gelu-tui again.",
        (ImportError,),
    ),
    _Row(
        "encoding", "A text is not valid: {reason}.", "Convert it to UTF-8 first.", (UnicodeError,)
    ),
)
_OF_MLX = re.compile(r"\[[\w:]+\]")  # e.g. "[matmul] Last dimension …"
_OF_MODEL = (
    "model",
    "mlx-lm cannot compute this model: {reason}.",
    "Check that its config.json belongs to its weights.",
)
_OF_TOKENIZER = (
    "tokenizer",
    "The tokenizer or chat template of this model fails: {reason}.",
    "Check its tokenizer files, or try --raw.",
)
_OF_HUB = (
    "hub",
    "The hub's library fails: {reason}.",
    "Try again; the engine's log has the details.",
)
_BY_LIBRARY = {
    **dict.fromkeys(("mlx", "mlx_lm", "safetensors"), _OF_MODEL),
    **dict.fromkeys(("tokenizers", "transformers", "jinja2"), _OF_TOKENIZER),
    **dict.fromkeys(("huggingface_hub", "httpx", "httpcore"), _OF_HUB),
}
# For faults of our own: nothing that a user brings may end here.
_UNKNOWN = (
    "internal",
    "The engine met an error that it does not know: {reason}.",
    "Its log has the details.",
)


class Interrupted(Exception):
    """A job noticed that it was cancelled, and ends without a result."""


def stop_if(cancelled: bool) -> None:
    """Raise `Interrupted` if the job was cancelled."""
    if cancelled:
        raise Interrupted


def reason_of(error: BaseException, limit: int = 200) -> str:
    """The text of an error on one line, shortened, without a full stop; else its class."""
    text = " ".join(str(error).split()).removesuffix(".")
    return (text if len(text) <= limit else f"{text[: limit - 1]}…") or type(error).__name__


def error_info(error: BaseException) -> ErrorInfo:
    """Return what happened and what to do; the traceback goes to the log.

    The first row of the table that fits is taken, then the library that the error comes from.
    """
    if isinstance(error, GeluError):
        return error.info
    log.error("a command fails", exc_info=error)
    reason, said = reason_of(error), str(error).lower()
    for row in _TABLE:
        if isinstance(error, row.errors) and (
            (not row.numbers and not row.words)
            or getattr(error, "errno", None) in row.numbers
            or any(word in said for word in row.words)
        ):
            message = row.message.format(reason=reason).replace(": MemoryError.", ".")
            return ErrorInfo(row.kind, message, _hint_of(row))
    kind, message, hint = _BY_LIBRARY.get(_library(error), _UNKNOWN)
    return ErrorInfo(kind, message.format(reason=reason), hint)


def _hint_of(row: _Row) -> str:
    limit = machine_memory().limit if row.kind == "memory" else ""
    return f"{row.hint.removesuffix('.')}, or raise {limit}." if limit else row.hint


def _library(error: BaseException) -> str:
    """The library of `_BY_LIBRARY` that an error comes from; empty if it is our own."""
    # A library in Rust raises these two, without frames of its own.
    if type(error) is Exception or type(error).__name__ == "PanicException":
        return "tokenizers"
    if _OF_MLX.match(str(error)):
        return "mlx"
    names = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    found = (name.partition(".")[0] for name in reversed(names))
    return next((name for name in found if name in _BY_LIBRARY), "")


def not_finite(name: str, where: str, why: str = "", hint: str = "") -> GeluError:
    """The error of a function whose logits hold nan or infinity; `where` is a verb and a place."""
    because = f": {why}" if why else ""
    return GeluError("not_finite", f"The logits of '{name}' {where}{because}.", hint)
