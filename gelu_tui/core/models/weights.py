"""The weights of a model folder: the tensors that are loaded, and the file that each comes from.

Only headers are read, never the weights; not by safetensors' own reader, which is no faster, does
not report how many bytes are missing, and refuses unknown dtypes. The files may be incomplete or
hostile: everything unexpected in them raises `GeluError`.
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from math import prod
from pathlib import Path
from typing import NamedTuple

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.json_file import read_object, read_regular
from gelu_tui.core.paths import look
from gelu_tui.core.safe_text import visible_line

INDEX = "model.safetensors.index.json"

_ADAPTER = "adapter_config.json"
_PATTERN = "model*.safetensors"  # mlx-lm's own
_OTHER_FORMATS = (".bin", ".gguf", ".pth")
_NUMBERED = re.compile(r"(model.*-)(\d{5})(-of-)(\d{5})(\.safetensors)")
_POINTER = b"version https://git-lfs.github.com/spec/"

_DAMAGED, _AGAIN = "weights_damaged", "Fetch it again."
_CONVERT = "Convert it with `mlx_lm.convert`, or choose a copy that is converted for MLX."
_PAGE = "Fetch it again: a login page or an error message was saved in its place."
# What files of other formats begin with.
_BEGINNINGS = {
    b"<": ("a web page", _PAGE),
    b"{": ("JSON", _PAGE),
    b"PK\x03\x04": ("an archive, as PyTorch saves one", _CONVERT),
    b"\x80\x02": ("a pickle, as PyTorch saves one", _CONVERT),
    b"GGUF": ("GGUF", _CONVERT),
    b"\x1f\x8b": ("a gzip archive", "Unpack it."),
}  # fmt: skip
# The bytes of one number of each dtype.
_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
    "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1, "C64": 8, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip

# Headers of the largest Gemmas have 200 kB; the format itself allows 100 MB.
_HEADER_LIMIT = 100_000_000
_CHUNK = 1 << 24


class Tensor(NamedTuple):
    """A stored tensor: its dtype as safetensors names it, and where its bytes are."""

    dtype: str
    shape: tuple[int, ...]
    file: Path
    first: int
    size: int


Tensors = dict[str, Tensor]


def weight_tensors(folder: Path) -> Tensors:
    """The tensors that are loaded, by name: all of `model*.safetensors`, as mlx-lm reads them.

    Where a tensor is in two files the index decides. Raises `GeluError` if it cannot, if there are
    no weights, or if a file is not whole; `OSError` for what cannot be read.
    """
    files = [path for path in _weight_paths(folder) if look(path) not in (None, "folder")]
    if not files:
        raise _no_weights(folder)
    headers = {path.name: _read_header(path) for path in files}
    found: Tensors = {}
    for tensors in _without_leftovers(headers, _read_index(folder)).values():
        for name, tensor in tensors.items():
            other = found.setdefault(name, tensor)
            if other is not tensor and not other.file.samefile(tensor.file):
                raise _in_two_files(folder, name, other.file, tensor.file)
    return found


def missing_weight_files(folder: Path) -> list[str]:
    """The weight files that the index or the numbers of other files name, and that are not there.

    A model may be whole without them: an index may be that of another conversion.
    """
    named = set(_read_index(folder).values())
    for path in _weight_paths(folder):
        named.add(path.name)  # a link may lead nowhere
        if match := _NUMBERED.fullmatch(path.name):
            start, _, of, count, end = match.groups()
            numbers = range(1, min(int(count), 999) + 1)
            named |= {f"{start}{number:05}{of}{count}{end}" for number in numbers}
    return sorted(name for name in named if look(folder / name) is None)


def refuse_missing_files(folder: Path) -> None:
    """Raise `GeluError` if weight files are missing. Its caller found that tensors are."""
    if files := missing_weight_files(folder):
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        where = visible_line(str(folder))
        message = f"In '{where}' the weight file {visible_line(files[0])} is missing{more}."
        hint = "Fetch the model again, or finish the download."
        raise GeluError("weights_missing", message, hint)


def refuse_pointer(path: Path) -> None:
    """Raise `GeluError` if a file holds only a Git LFS pointer instead of its content."""
    try:
        begin = read_regular(path, len(_POINTER))
    except OSError:  # for whoever reads the file itself
        return
    if begin.startswith(_POINTER):
        message = f"{visible_line(str(path))} is a pointer of Git LFS, not the file itself."
        hint = "Run `git lfs pull` in this repository, or fetch the model by its hub id."
        raise GeluError("lfs_pointer", message, hint)


def refuse_adapter(folder: Path) -> None:
    """Raise `GeluError` if a folder holds an adapter. Its caller found that it is no model."""
    try:
        adapter = read_object(folder / _ADAPTER, "adapter")
    except GeluError:
        return
    if adapter is None:
        return
    base = adapter.content.get("base_model_name_or_path") or adapter.content.get("model")
    of = f" of {visible_line(base)}" if isinstance(base, str) else ""
    message = f"'{visible_line(str(folder))}' holds an adapter{of} ({_ADAPTER}), not a model."
    hint = "Fuse it into its base model with `mlx_lm.fuse`, and give the folder of the result."
    if "peft_type" in adapter.content:
        hint = "Merge it into its base model (`merge_and_unload` of peft), and save the result."
    raise GeluError("adapter", message, hint)


def same_bytes(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal. Reads them up to the first difference. Raises `OSError`."""
    if one[:2] != other[:2] or one.size != other.size:
        return False
    with one.file.open("rb") as left, other.file.open("rb") as right:
        left.seek(one.first)
        right.seek(other.first)
        for begin in range(0, one.size, _CHUNK):
            length = min(_CHUNK, one.size - begin)
            if left.read(length) != right.read(length):
                return False
    return True


def _weight_paths(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if fnmatchcase(path.name, _PATTERN))


def _read_index(folder: Path) -> dict[str, str]:
    """The file of each tensor by the index; empty without a readable one, as mlx-lm needs none."""
    try:
        index = read_object(folder / INDEX, "index")
        placed = index.get("weight_map", dict) if index else None
    except GeluError:
        return {}
    return {name: file for name, file in (placed or {}).items() if isinstance(file, str)}


def _without_leftovers(headers: dict[str, Tensors], index: dict[str, str]) -> dict[str, Tensors]:
    """The headers without the tensors that the index places elsewhere.

    A file that the index does not name, with a tensor that it places elsewhere, is a leftover of
    another model: none of it counts. An index that is not true of the files decides nothing.
    """
    if not index or not all(name in headers.get(file, ()) for name, file in index.items()):
        return headers
    named = set(index.values())
    return {
        file: {name: tensor for name, tensor in tensors.items() if index.get(name, file) == file}
        for file, tensors in headers.items()
        if file in named or not tensors.keys() & index.keys()
    }


def _in_two_files(folder: Path, name: str, one: Path, other: Path) -> GeluError:
    message = (
        f"In '{visible_line(str(folder))}' the tensor {visible_line(name)} is both in "
        f"{visible_line(one.name)} and in {visible_line(other.name)}, and no index says which "
        "of them counts."
    )
    hint = "Move the file that does not belong to this model out of the folder."
    return GeluError("two_files", message, hint)


def _no_weights(folder: Path) -> GeluError:
    refuse_adapter(folder)
    refuse_missing_files(folder)
    hint = "Fetch the model again, or finish the download."
    if other := sorted(f.name for f in folder.glob("*") if f.suffix in _OTHER_FORMATS):
        hint = f"{visible_line(other[0])} is of another format: convert it with `mlx_lm.convert`."
    elif other := sorted(f.name for f in folder.glob("*.safetensors")):
        hint = f"Only weight files of that name are read, and {visible_line(other[0])} is not one."
    where = visible_line(str(folder))
    return GeluError("weights_missing", f"In '{where}' there are no weights ({_PATTERN}).", hint)


def _read_header(path: Path) -> Tensors:
    where = f"The weight file '{visible_line(str(path))}'"
    try:
        refuse_pointer(path)
        read_regular(path, 0)  # raises for a pipe or a device
        with path.open("rb") as file:
            size = path.stat().st_size
            begin = file.read(8)
            length = int.from_bytes(begin, "little")
            if size < 8 or length > min(size, _HEADER_LIMIT):
                _refuse_other_format(where, begin)
                raise GeluError(_DAMAGED, f"{where} is not whole: it is truncated.", _AGAIN)
            header = json.loads(file.read(length))
        if "__metadata__" in header:
            del header["__metadata__"]
        tensors, end = {}, 0
        for name, entry in header.items():
            first, last = map(int, entry["data_offsets"])
            shape = tuple(map(int, entry["shape"]))
            dtype = str(entry["dtype"])
            size_of = _BYTES.get(dtype)
            if not 0 <= first <= last or (size_of and prod(shape) * size_of != last - first):
                raise ValueError(name)
            tensors[name] = Tensor(dtype, shape, path, 8 + length + first, last - first)
            end = max(end, last)
    except (
        ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError
    ) as error:  # fmt: skip
        message = f"{where} is damaged: its header makes no sense."
        raise GeluError(_DAMAGED, message, _AGAIN) from error
    if (missing := 8 + length + end - size) > 0:
        reason = f"{missing:,} bytes are missing at its end"
        raise GeluError(_DAMAGED, f"{where} is not whole: {reason}.", _AGAIN)
    return tensors


def _refuse_other_format(where: str, begin: bytes) -> None:
    """Raise `GeluError` if a file begins as one of another format."""
    for sign, (what, hint) in _BEGINNINGS.items():
        if begin.lstrip().startswith(sign):
            message = f"{where} is not of the safetensors format, but begins as {what}."
            raise GeluError(_DAMAGED, message, hint)
