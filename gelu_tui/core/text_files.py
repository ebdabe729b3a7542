"""A prompt or a text out of a file or a pipe: limits and encoding, told in a sentence."""

from __future__ import annotations

import stat
from pathlib import Path

from gelu_tui.core.errors import UsageError
from gelu_tui.core.safe_text import visible_line

PROMPT_LIMIT = 4 * 1024 * 1024
TEXT_LIMIT = 16 * 1024 * 1024


def decode_prompt(data: bytes, source: str) -> str:
    """The prompt of at most `PROMPT_LIMIT` + 1 bytes, without its last line feed.

    `source` stands in the sentences, e.g. `The prompt on stdin`. Raises `UsageError`.
    """
    if len(data) > PROMPT_LIMIT:
        raise _too_long(source, PROMPT_LIMIT, "No Gemma's context holds that much; shorten it.")
    return _decode(data, source).removesuffix("\n")


def decode_text(data: bytes, source: str) -> str:
    """The text of at most `TEXT_LIMIT` + 1 bytes, whole. Raises `UsageError`."""
    if len(data) > TEXT_LIMIT:
        raise _too_long(source, TEXT_LIMIT, "Score a part of it.")
    if (zero := data.find(0)) >= 0:
        raise UsageError(
            f"{source} is not text: byte {zero} is 0.", "Choose a text file.", kind="encoding"
        )
    return _decode(data, source)


def _decode(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{source} is not valid UTF-8 (byte {error.start}).",
            "Convert the text to UTF-8 first.",
            kind="encoding",
        ) from None


def _too_long(source: str, limit: int, hint: str) -> UsageError:
    return UsageError(f"{source} is longer than {limit:,} bytes.", hint, kind="prompt_too_long")


def read_prompt_file(name: str) -> str:
    """The prompt in a file; `~` is the home folder. Raises `UsageError`."""
    shown = visible_line(name)
    prompt = decode_prompt(_read(name, PROMPT_LIMIT), shown)
    if not prompt.strip():
        raise UsageError(f"{shown} is empty.", "Choose a file with a prompt.", kind="empty_prompt")
    return prompt


def read_text_file(name: str) -> str:
    """The text in a file; `~` is the home folder. Raises `UsageError`."""
    return decode_text(_read(name, TEXT_LIMIT), visible_line(name))


def _read(name: str, limit: int) -> bytes:
    """The first `limit` + 1 bytes of a file. Raises `UsageError`."""
    shown = visible_line(name)
    try:
        path = Path(name).expanduser()
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise _unreadable(f"{shown} is a folder, not a file.")
        if not stat.S_ISREG(mode):
            raise _unreadable(f"{shown} is not a file.")
        with path.open("rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError:
        raise _unreadable(f"There is no file {shown}.") from None
    except OSError as error:
        raise _unreadable(f"{shown} cannot be read: {error.strerror}.") from None
    except (ValueError, RuntimeError):  # a NUL in the path; a home that is not known
        raise _unreadable(f"{shown} is not a path.") from None


def complete_path(typed: str) -> str | None:
    """The path that `typed` is the beginning of, if there is one; a folder ends with a slash.

    Reads one folder. Names that act on a terminal are not offered.
    """
    head, slash, start = typed.rpartition("/")
    try:
        folder = Path(head + slash or ".").expanduser()
        names = sorted(entry.name for entry in folder.iterdir() if entry.name.startswith(start))
        hidden = start.startswith(".")
        for name in names:
            if visible_line(name) == name and (hidden or not name.startswith(".")):
                return f"{head}{slash}{name}{'/' if (folder / name).is_dir() else ''}"
    except (OSError, ValueError, RuntimeError):
        return None
    return None


def _unreadable(sentence: str) -> UsageError:
    return UsageError(sentence, "Check the path.", kind="prompt_file")
