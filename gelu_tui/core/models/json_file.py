"""The JSON files of a model folder: regular files of a bounded size, keys read with their types.

They come from anywhere: a pipe or a device in their place would hang the reader or fill the memory.
"""

from __future__ import annotations

import codecs
import errno
import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gelu_tui.core.errors import GeluError
from gelu_tui.core.safe_text import visible_line

# The largest of these files, an index or a tokenizer's configuration, have 1 to 2 MB.
LIMIT = 16 * 1024 * 1024

_NAMES = {str: "text", int: "an integer", float: "a number", bool: "true or false"}
_NAMES |= {list: "a list", dict: "an object"}


class NotJsonError(GeluError):
    """The file can be read, and its text is not JSON. mlx-lm skips some files then."""


class NotRegularError(OSError):
    """Something else than a file is where a file should be."""


@dataclass(frozen=True)
class JsonObject:
    """The object of a JSON file. Every error is of the kind `kind`, and names file and key."""

    path: Path
    content: dict[str, Any]
    kind: str

    def get(self, key: str, *types: type) -> Any:
        """The value of a key, None if it is absent or null.

        Raises `GeluError` if it is of none of the types. True and false are no numbers, and a
        `float` may be written as an integer.
        """
        value = self.content.get(key)
        if value is None or any(_is(value, each) for each in types):
            return value
        raise self.refusal(key, " or ".join(_NAMES[each] for each in types))

    def refusal(self, key: str, wanted: str) -> GeluError:
        """The error of a key whose value is not what is wanted, which is named in `wanted`."""
        message = f"{key} is {shown(self.content.get(key))} in {self.path.name}, not {wanted}."
        hint = f"Correct {visible_line(str(self.path))}, or fetch the model again."
        return GeluError(self.kind, message, hint)


def read_object(path: Path, kind: str) -> JsonObject | None:
    """Read the object in a JSON file; None if there is no such file.

    Raises `GeluError` of the kind `kind`, `unreadable` if it may not be read, and `NotJsonError`
    if only the JSON is wrong.
    """
    try:
        data = read_regular(path, LIMIT)
    except FileNotFoundError:
        return None
    except OSError as error:
        kind = "unreadable" if isinstance(error, PermissionError) else kind
        raise _unreadable(path, kind, str(error.strerror), hint_for(error)) from None
    if len(data) > LIMIT:
        raise _unreadable(path, kind, f"it is larger than {LIMIT:,} bytes")
    if encoding := other_encoding(data):
        reason, hint = f"it is {encoding}, not UTF-8", f"Convert {path.name} to UTF-8."
        has_mark = data.startswith(codecs.BOM_UTF8)  # which makes it no JSON for mlx-lm
        raise _unreadable(path, kind, reason, hint, NotJsonError if has_mark else GeluError)
    try:
        content = json.loads(data.decode("utf-8"))
    except json.JSONDecodeError as error:
        reason = f"it is not JSON: {error}"
        raise _unreadable(path, kind, reason, error=NotJsonError) from None
    except UnicodeDecodeError as error:
        raise _unreadable(path, kind, f"it is not UTF-8 (byte {error.start})") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; nesting
        raise _unreadable(path, kind, str(error)) from None
    if isinstance(content, dict):
        return JsonObject(path, content, kind)
    raise _unreadable(path, kind, f"it is {shown(content)}, not an object")


def read_regular(path: Path, limit: int) -> bytes:
    """Read the first `limit` + 1 bytes of a regular file, or of one that a link leads to.

    Raises `OSError`, also for a folder, a pipe or a device: `NotRegularError`.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        what = "a folder, not a file" if stat.S_ISDIR(mode) else "a pipe or a device, not a file"
        raise NotRegularError(errno.EINVAL, f"it is {what}", str(path))
    with path.open("rb") as file:
        return file.read(limit + 1)


def other_encoding(data: bytes) -> str | None:
    """The name of a JSON text's encoding if it is not UTF-8 without a byte-order mark."""
    encoding = json.detect_encoding(data)
    if encoding == "utf-8":
        return None
    return "UTF-8 with a byte-order mark" if encoding == "utf-8-sig" else encoding.upper()


def shown(value: object, limit: int = 60) -> str:
    """A JSON value as JSON, on one line and shortened, for a sentence."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        text = "a huge value"
    text = visible_line(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _is(value: object, wanted: type) -> bool:
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, (int, float) if wanted is float else wanted)


def hint_for(error: OSError) -> str:
    """What helps with a file that cannot be read."""
    if isinstance(error, PermissionError):
        return "Correct its permissions."
    if isinstance(error, NotRegularError):
        return "Put the model's own file in its place, or move it out of the folder."
    return "Check the disk that it is on, or fetch it again."


def _unreadable(
    path: Path,
    kind: str,
    reason: str,
    hint: str = "Fetch it again.",
    error: type[GeluError] = GeluError,
) -> GeluError:
    where = f"{path.name} in '{visible_line(str(path.parent))}'"
    return error(kind, f"{where} cannot be read: {reason}.", hint)
