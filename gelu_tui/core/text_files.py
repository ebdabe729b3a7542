"""A prompt or a text from a file or a pipe: limits and encoding."""

from __future__ import annotations

import codecs
import stat
from pathlib import Path
from typing import BinaryIO

from gelu_tui.core.errors import UsageError
from gelu_tui.core.safe_text import visible_line

PROMPT_LIMIT = 4 * 1024 * 1024
TEXT_LIMIT = 16 * 1024 * 1024

_CONVERT = "Convert the text to UTF-8 first."

# Marks at the beginning of a file; UTF-32's little-endian one begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def decode_prompt(data: bytes, source: str) -> str:
    """Decode a prompt without its last line end, as `decode_text` does. Raises `UsageError`."""
    _check_length(data, source, PROMPT_LIMIT, "No Gemma's context holds that much; shorten it.")
    return _decode(data, source).removesuffix("\n")


def decode_text(data: bytes, source: str) -> str:
    """Decode UTF-8 without its byte-order mark; every line ends with a line feed alone.

    `source` is the subject of the error sentences, e.g. `The text on stdin`. Raises `UsageError`.
    """
    _check_length(data, source, TEXT_LIMIT, "Score a part of it.")
    return _decode(data, source)


def _decode(data: bytes, source: str) -> str:
    refuse_other_encodings(data, source)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{source} is not valid UTF-8 (byte {error.start})."
        raise UsageError(message, _CONVERT, kind="encoding") from None
    # The mark and the carriage returns of other systems would be tokens of their own.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def refuse_other_encodings(data: bytes, source: str) -> None:
    """Raise `UsageError` for UTF-16, UTF-32, and what is no text; `data` may be the beginning."""
    if encoding := other_encoding(data):
        raise UsageError(f"{source} is {encoding}, not UTF-8.", _CONVERT, kind="encoding")
    if (zero := data.find(0)) >= 0:
        message = f"{source} is not text: byte {zero} is 0."
        raise UsageError(message, "Choose a text file.", kind="encoding")


def other_encoding(data: bytes) -> str | None:
    """Return "UTF-16" or "UTF-32" if a mark says so, or zero bytes do; None for all else."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    if 0 not in data:
        return None
    pairs = data[: len(data) // 2 * 2]  # the first bytes of a long file may end within a character
    for codec, high in (("utf-16-le", pairs[1::2]), ("utf-16-be", pairs[::2])):
        text = pairs.decode(codec, "replace")
        # Zeros are the high bytes of ASCII. Without a quarter of them, as in Japanese, the rest is
        # no UTF-8; in a UTF-8 text with a stray zero it is.
        mostly_ascii = high.count(0) * 4 >= len(data)
        if not {"\0", "\ufffd"} & set(text) and (mostly_ascii or not _is_utf8(data)):
            return "UTF-16"
    return None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_length(data: bytes, source: str, limit: int, hint: str) -> None:
    if len(data) > limit:
        raise UsageError(f"{source} is longer than {limit:,} bytes.", hint, kind="prompt_too_long")


def read_prompt_file(name: str) -> str:
    """Read a prompt from a file; `~` is the home folder. Raises `UsageError`."""
    shown = visible_line(name)
    prompt = decode_prompt(_read(name, PROMPT_LIMIT), shown)
    if not prompt.strip():
        raise UsageError(f"{shown} is empty.", "Choose a file with a prompt.", kind="empty_prompt")
    return prompt


def read_text_file(name: str) -> str:
    """Read a text from a file; `~` is the home folder. Raises `UsageError`."""
    return decode_text(_read(name, TEXT_LIMIT), visible_line(name))


def _read(name: str, limit: int) -> bytes:
    """Read the first `limit` + 1 bytes of a file."""
    with open_file(name) as file:
        return file.read(limit + 1)


def open_file(name: str) -> BinaryIO:
    """Open a file to read its bytes; `~` is the home folder. Raises `UsageError`."""
    shown = visible_line(name)
    try:
        if not name.strip():
            raise UsageError("No file is named.", "Give the path of a file.", kind="prompt_file")
        path = Path(name).expanduser()
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            return path.open("rb")
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        message = f"{shown} is {what}, not a file."
        if stat.S_ISFIFO(mode):
            raise UsageError(message, "Write it into a file first.", kind="prompt_file")
    except FileNotFoundError:
        message = f"There is no file {shown}."
    except OSError as error:
        message = f"{shown} cannot be read: {error.strerror}."
    except (ValueError, RuntimeError):  # a NUL in the path; an unknown home folder
        message = f"{shown} is not a path."
    raise UsageError(message, "Check the path.", kind="prompt_file")


def complete_path(typed: str) -> str | None:
    """Complete the beginning of a path, None if there is nothing; a folder ends with a slash.

    Names with characters that act on a terminal are skipped.
    """
    head, slash, start = typed.rpartition("/")
    try:
        folder = Path(head + slash or ".").expanduser()
        names = sorted(entry.name for entry in folder.iterdir() if entry.name.startswith(start))
        for name in names:
            if visible_line(name) == name and (start.startswith(".") or not name.startswith(".")):
                return f"{head}{slash}{name}{'/' if (folder / name).is_dir() else ''}"
    except (OSError, ValueError, RuntimeError):
        pass
    return None
