"""The demo's weights: dequantized from GGUF blocks into one float32 safetensors file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gelu_tui.engine.demo_source import ChunkedFile, Header, Tensor, Tick

# Q8_0, Q6_K and their kind need up to 19 bits of mantissa: float32 holds them exactly, bfloat16
# and float16 do not.
DTYPE = "float32"
_ITEM = 4

_CHUNK_ELEMENTS = 1 << 18  # 1 MiB of result: a thread's arrays stay in its cache
_THREADS = 2

_NAMES = {"token_embd": "embed_tokens", "output_norm": "norm"}
_BLOCK_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


def mlx_name(name: str) -> str:
    """mlx-lm's name for a GGUF tensor of Gemma 3. Raises `KeyError` for an unknown one."""
    match = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.weight", name)
    if match is None:
        raise KeyError(name)
    block, part = match.groups()
    if block is None:
        return f"model.{_NAMES[part]}.weight"
    return f"model.layers.{block}.{_BLOCK_NAMES[part]}.weight"


def config(header: Header) -> dict[str, object]:
    """config.json for mlx-lm's gemma3_text."""

    def number(key: str) -> object:
        return header.metadata[f"gemma3.{key}"]

    head_dim = number("attention.key_length")
    return {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "torch_dtype": DTYPE,
        "hidden_size": number("embedding_length"),
        "intermediate_size": number("feed_forward_length"),
        "num_hidden_layers": number("block_count"),
        "num_attention_heads": number("attention.head_count"),
        "num_key_value_heads": number("attention.head_count_kv"),
        "head_dim": head_dim,
        "query_pre_attn_scalar": head_dim,
        "rms_norm_eps": 1e-6,
        "rope_theta": number("rope.freq_base"),
        "rope_local_base_freq": 10_000.0,
        "sliding_window": number("attention.sliding_window"),
        "sliding_window_pattern": 6,
        "max_position_embeddings": number("context_length"),
        "vocab_size": len(header.metadata["tokenizer.ggml.tokens"]),
        "hidden_activation": "gelu_pytorch_tanh",
        "tie_word_embeddings": True,
        **end_ids(header),
    }


def end_ids(header: Header) -> dict[str, object]:
    """The special ids that config.json and generation_config.json share."""
    tokens: list[str] = header.metadata["tokenizer.ggml.tokens"]
    return {
        "bos_token_id": header.metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": [
            header.metadata["tokenizer.ggml.eos_token_id"],
            tokens.index("<end_of_turn>"),
        ],
        "pad_token_id": header.metadata["tokenizer.ggml.padding_token_id"],
    }


def result_bytes(header: Header) -> int:
    """Bytes of all tensors once written."""
    return sum(tensor.elements for tensor in header.tensors) * _ITEM


def safetensors_header(tensors: Iterable[Tensor]) -> bytes:
    """The file's first bytes: length, JSON, padding to 64 so that the data lies aligned."""
    entries: dict[str, object] = {"__metadata__": {"format": "mlx"}}
    offset = 0
    for tensor in tensors:
        end = offset + tensor.elements * _ITEM
        entries[mlx_name(tensor.name)] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    return len(text).to_bytes(8, "little") + text


@dataclass(frozen=True)
class _Piece:
    """Whole quantization blocks of one tensor, and where their elements go in the result."""

    type: int
    source_offset: int
    source_bytes: int
    target_offset: int
    one_plus: bool


def _pieces(tensors: Iterable[Tensor], target_offset: int) -> Iterator[_Piece]:
    from gguf.constants import GGML_QUANT_SIZES

    for tensor in tensors:
        block_elements, block_bytes = GGML_QUANT_SIZES[tensor.type]
        for first in range(0, tensor.elements, _CHUNK_ELEMENTS):
            elements = min(_CHUNK_ELEMENTS, tensor.elements - first)
            yield _Piece(
                tensor.type,
                tensor.offset + first // block_elements * block_bytes,
                elements // block_elements * block_bytes,
                target_offset + first * _ITEM,
                # GGUF keeps Gemma's norms as 1+w, mlx-lm wants w
                tensor.name.endswith("_norm.weight"),
            )
        target_offset += tensor.elements * _ITEM


def _convert(piece: _Piece, source: ChunkedFile, target: int) -> int:
    import numpy as np
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize

    data = np.frombuffer(source.pread(piece.source_offset, piece.source_bytes), np.uint8)
    # one long row: every block is computed by itself, so the shape changes speed but no bit
    values = dequantize(data.reshape(1, -1), GGMLQuantizationType(piece.type))
    if piece.one_plus:
        values = values - np.float32(1)
    _write(target, np.ascontiguousarray(values, "<f4").data.cast("B"), piece.target_offset)
    return values.nbytes


def _write(target: int, data: memoryview, offset: int) -> None:
    # pwrite, not a mapped file: a full disk must be an OSError, not a SIGBUS
    while data:
        count = os.pwrite(target, data, offset)
        data, offset = data[count:], offset + count


def write_weights(source: ChunkedFile, header: Header, path: Path, tick: Tick) -> None:
    """Write `path`, a safetensors file of float32 tensors under mlx-lm's names.

    Two threads take pieces of 1 MiB; tensors are never whole in memory. Raises `OSError`, and
    whatever `tick` raises.
    """
    first = safetensors_header(header.tensors)
    total, done = result_bytes(header), 0
    with path.open("xb", buffering=0) as file, ThreadPoolExecutor(_THREADS) as pool:
        target = file.fileno()
        _write(target, memoryview(first), 0)
        pieces = _pieces(header.tensors, len(first))
        futures = [pool.submit(_convert, piece, source, target) for piece in pieces]
        try:
            for future in futures:
                tick("converting the demo model", done, total)
                done += future.result()
        finally:
            pool.shutdown(cancel_futures=True)
        os.fsync(target)
