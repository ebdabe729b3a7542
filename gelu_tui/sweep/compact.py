"""The saved run of one prompt in few bytes: its steps by columns, without the digits of JSON.

Numbers of the steps are kept as float32, as the model computed them; everything else is exact.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from msgspec.structs import replace

from gelu_tui.core.comparison.state import TokenStep
from gelu_tui.core.errors import GeluError
from gelu_tui.core.runs.compressed import unpacked
from gelu_tui.core.runs.document import ComparisonDocument, VariantDocument
from gelu_tui.core.runs.restore import check, readable, with_statistics

_VERSION = 1  # the first byte; what follows is compressed
_LARGEST = float(np.finfo(np.float32).max)


class _Columns(msgspec.Struct, frozen=True, array_like=True):
    """The steps of one stream: a column for each field, see `_ints` and `_floats`.

    `lengths` are those of the steps' texts, in characters: the stream's text begins with them.
    """

    tokens: bytes
    lengths: bytes
    logprob: bytes
    margin: bytes
    kl: bytes
    decode_s: bytes


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """A document whose variants have neither tokens nor steps, and those."""

    document: ComparisonDocument
    columns: tuple[_Columns, ...]


def pack(document: ComparisonDocument) -> bytes:
    """Return a document as bytes that `unpack` reads.

    A fork that contradicts its streams, which only a broken engine tells of, is left out.
    """
    document = readable(document)
    bare = replace(document, variants=[replace(v, tokens=[], steps=[]) for v in document.variants])
    packed = _Packed(bare, tuple(map(_columns, document.variants)))
    return bytes([_VERSION]) + zlib.compress(msgspec.msgpack.encode(packed))


def unpack(data: bytes) -> ComparisonDocument:
    """Return the document that `pack` was given, checked as that of a file is.

    Numbers of its steps are rounded to float32, and its statistics are computed from them. Raises
    `GeluError`: `not_a_document` for damaged data, `too_new` for those of a later version.
    """
    try:
        if data[0] > _VERSION:
            message = "This run was saved by a newer gelu-tui."
            raise GeluError("too_new", message, "Update gelu-tui to read it.")
        if data[0] < _VERSION:
            raise ValueError("its first byte is no version")
        packed = msgspec.msgpack.decode(unpacked(data[1:]), type=_Packed)
        variants = [
            _with_steps(variant, columns)
            for variant, columns in zip(packed.document.variants, packed.columns, strict=True)
        ]
    except (zlib.error, TypeError, IndexError, ValueError, RecursionError) as error:
        # msgspec's errors are ValueErrors
        raise GeluError("not_a_document", f"This is not a saved run: {error}.") from None
    document = replace(packed.document, variants=variants)
    check(document)
    return with_statistics(document)


def _columns(variant: VariantDocument) -> _Columns:
    steps = variant.steps
    return _Columns(
        tokens=_ints(variant.tokens),
        lengths=_ints(len(step.text) for step in steps),
        logprob=_floats([step.logprob for step in steps]),
        margin=_floats([step.margin for step in steps]),
        kl=_floats([step.kl for step in steps]),
        decode_s=_floats([step.decode_s for step in steps]),
    )


def _with_steps(variant: VariantDocument, columns: _Columns) -> VariantDocument:
    ends = [0, *itertools.accumulate(_read_ints(columns.lengths))]
    if ends[-1] > len(variant.text):
        raise ValueError("a text is too short")
    texts = [variant.text[start:end] for start, end in itertools.pairwise(ends)]
    figures = [
        _read_floats(column)
        for column in (columns.logprob, columns.margin, columns.kl, columns.decode_s)
    ]
    steps = [
        {"logprob": logprob, "margin": margin, "kl": kl, "text": text, "decode_s": decode_s}
        for logprob, margin, kl, decode_s, text in zip(*figures, texts, strict=True)
    ]
    tokens = _read_ints(columns.tokens)
    return replace(variant, tokens=tokens, steps=msgspec.convert(steps, list[TokenStep]))


# Bytes of the same weight stand together, which compresses better.


def _ints(values: Iterable[int]) -> bytes:
    return np.array(list(values), "<u4").view(np.uint8).reshape(-1, 4).T.tobytes()


def _floats(values: Sequence[float | None]) -> bytes:
    """NaN stands for None: a statistic that is no number is None."""
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    return _ints(np.clip(numbers, -_LARGEST, _LARGEST).astype("<f4").view("<u4"))


def _read_ints(column: bytes) -> list[int]:
    return _words(column).tolist()  # type: ignore[no-any-return]


def _read_floats(column: bytes) -> list[float | None]:
    numbers = _words(column).view("<f4").tolist()
    return [None if number != number else number for number in numbers]


def _words(column: bytes) -> np.ndarray:
    return np.ascontiguousarray(np.frombuffer(column, np.uint8).reshape(4, -1).T).view("<u4")[:, 0]
