"""JSON files of a model folder: what is no regular JSON file is refused by its name."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models import json_file

TEXT = '{"model_type": "gemma", "é": [1, 2]}'


def refused(path: Path) -> str:
    with pytest.raises(GeluError) as caught:
        json_file.read_object(path, "some_kind")
    info = caught.value.info
    assert info.kind == "some_kind"
    assert path.name in info.message
    assert info.hint
    return info.message


def read(path: Path, data: bytes) -> dict[str, Any]:
    path.write_bytes(data)
    found = json_file.read_object(path, "some_kind")
    assert found is not None
    return found.content


def test_an_object_is_read(tmp_path: Path) -> None:
    assert read(tmp_path / "a.json", TEXT.encode()) == json.loads(TEXT)
    (tmp_path / "link.json").symlink_to("a.json")
    assert json_file.read_object(tmp_path / "link.json", "some_kind") is not None


def test_no_file_is_none(tmp_path: Path) -> None:
    assert json_file.read_object(tmp_path / "a.json", "some_kind") is None
    (tmp_path / "link.json").symlink_to("nowhere")
    assert json_file.read_object(tmp_path / "link.json", "some_kind") is None


def test_what_is_no_regular_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    (tmp_path / "round.json").symlink_to("round.json")
    assert "it is a pipe or a device" in refused(tmp_path / "pipe.json")
    assert "it is a folder, not a file" in refused(tmp_path / "folder.json")
    assert "it is a pipe or a device" in refused(tmp_path / "zero.json")
    assert "symbolic links" in refused(tmp_path / "round.json")


def test_a_file_without_end(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(1 << 40)
    assert "larger than 16,777,216 bytes" in refused(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("utf-16", "UTF-16, not UTF-8"),
        ("utf-16-le", "UTF-16-LE, not UTF-8"),
        ("utf-16-be", "UTF-16-BE, not UTF-8"),
        ("utf-32", "UTF-32, not UTF-8"),
        ("utf-8-sig", "UTF-8 with a byte-order mark"),
        ("latin-1", "it is not UTF-8 (byte 25)"),
    ],
)
def test_another_encoding_is_named(encoding: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(TEXT.encode(encoding))
    assert named in refused(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["", "{", '{"a": 1,}', "{'a': 1}", "\x1b[2J", "{} {}"])
def test_only_wrong_json_is_an_error_of_its_own(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    assert "it is not JSON" in refused(tmp_path / "a.json")
    with pytest.raises(json_file.NotJsonError):
        json_file.read_object(tmp_path / "a.json", "some_kind")


@pytest.mark.parametrize("text", ["[]", "null", "3", '"x"', "[" * 100_000, '{"a": ' + "9" * 5000])
def test_json_that_is_no_object(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    assert len(refused(tmp_path / "a.json")) < 400


@given(st.binary(max_size=64))
def test_any_bytes_are_an_object_or_a_sentence(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        path.write_bytes(data)
        try:
            json_file.read_object(path, "some_kind")
        except GeluError as error:
            assert "a.json" in error.info.message


@pytest.mark.parametrize(
    ("value", "types"),
    [("x", (str,)), (3, (int,)), (3, (float,)), (3.5, (float,)), (True, (bool,)), (None, (int,))],
)
def test_a_value_of_its_type(value: object, types: tuple[type, ...], tmp_path: Path) -> None:
    found = json_file.JsonObject(tmp_path / "a.json", {"key": value}, "some_kind")
    assert found.get("key", *types) == value
    assert found.get("other", *types) is None


@pytest.mark.parametrize(
    ("value", "types", "sentence"),
    [
        ("x", (int,), 'key is "x" in a.json, not an integer.'),
        (True, (int, float), "key is true in a.json, not an integer or a number."),
        (3.0, (int,), "key is 3.0 in a.json, not an integer."),
        ({"a": 1}, (str, list), 'key is {"a": 1} in a.json, not text or a list.'),
        ("\x1b[2J" * 99, (bool,), 'key is "' + "\\u001b[2J" * 6 + "\\u00…"),
    ],
)
def test_a_value_of_another_type(
    value: object, types: tuple[type, ...], sentence: str, tmp_path: Path
) -> None:
    found = json_file.JsonObject(tmp_path / "a.json", {"key": value}, "some_kind")
    with pytest.raises(GeluError) as caught:
        found.get("key", *types)
    assert caught.value.info.message.startswith(sentence)
