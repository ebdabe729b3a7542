"""Compressed data in a file that may be damaged or hostile."""

from __future__ import annotations

import zlib
from typing import Any

_LIMIT = 1 << 30  # bytes: damaged data could unpack to any number


def unpacked(data: Any) -> bytes:
    """What `zlib.compress` was given, whose checksum is looked at.

    Raises `zlib.error` or `TypeError` where it is damaged or far too long.
    """
    reader = zlib.decompressobj()
    whole = reader.decompress(data, _LIMIT)
    if not reader.eof:
        raise zlib.error("it does not end")
    return whole
