"""The demo's weights: read from a GGUF file and written as float32 safetensors.

Q8_0, Q6_K and the like need up to 19 bits of mantissa, which float32 holds exactly, unlike
bfloat16 and float16.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gguf
import msgspec
import numpy as np
from gguf import GGUFReader, GGUFValueType, ReaderTensor
from safetensors import SafetensorError
from safetensors.numpy import save_file

from gelu_tui.engine.demo.source import Tick

# The embedding alone, then the rest: what is in memory at once is at most the embedding.
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"

_CHUNK_ELEMENTS = 1 << 18  # 1 MiB of result: a thread's arrays stay in its cache
_THREADS = 2

_EMBEDDING = "token_embd.weight"
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


class _Reader(GGUFReader):
    """gguf's reader, which creates numpy views of every item of an array.

    For a vocabulary of 262,144 that takes 9 s and 600 MB; one view of each array takes 0.2 s.
    """

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> tuple[int, Any, Any, Any]:
        if raw_type != GGUFValueType.ARRAY:
            return super()._get_field_parts(orig_offs, raw_type)
        item = GGUFValueType(self._get(orig_offs, np.uint32)[0])
        count = int(self._get(orig_offs + 4, np.uint64)[0])
        types, at = [GGUFValueType.ARRAY, item], orig_offs + 12
        if item != GGUFValueType.STRING:
            values = self._get(at, self.gguf_scalar_to_np[item], count)
            return 12 + values.nbytes, [values], [0], types
        data, strings = memoryview(self.data), []
        for _ in range(count):
            start = at + 8
            at = start + int.from_bytes(data[at:start], "little")
            strings.append(data[start:at])
        return at - orig_offs, strings, range(count), types


def read_gguf(path: Path) -> tuple[dict[str, Any], list[ReaderTensor]]:
    """Return the metadata of a GGUF file by key, and its tensors, which stay on the disk."""
    reader = _Reader(path)
    return {key: field.contents() for key, field in reader.fields.items()}, reader.tensors


def mlx_name(name: str) -> str:
    """Return mlx-lm's name for a GGUF tensor of Gemma 3. Raises `KeyError` for an unknown one."""
    match name.split("."):
        case ["blk", block, part, "weight"]:
            return f"model.layers.{block}.{_BLOCK_NAMES[part]}.weight"
        case [part, "weight"]:
            return f"model.{_NAMES[part]}.weight"
    raise KeyError(name)


def config(metadata: dict[str, Any]) -> dict[str, object]:
    """Return config.json for mlx-lm's gemma3_text."""
    number = {key.removeprefix("gemma3."): value for key, value in metadata.items()}
    head_dim = number["attention.key_length"]
    return {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "torch_dtype": "float32",
        "hidden_size": number["embedding_length"],
        "intermediate_size": number["feed_forward_length"],
        "num_hidden_layers": number["block_count"],
        "num_attention_heads": number["attention.head_count"],
        "num_key_value_heads": number["attention.head_count_kv"],
        "head_dim": head_dim,
        "query_pre_attn_scalar": head_dim,
        "rms_norm_eps": 1e-6,
        "rope_theta": number["rope.freq_base"],
        "rope_local_base_freq": 10_000.0,
        "sliding_window": number["attention.sliding_window"],
        "sliding_window_pattern": 6,
        "max_position_embeddings": number["context_length"],
        "vocab_size": len(number["tokenizer.ggml.tokens"]),
        "hidden_activation": "gelu_pytorch_tanh",
        "tie_word_embeddings": True,
        **end_ids(metadata),
    }


def end_ids(metadata: dict[str, Any]) -> dict[str, object]:
    """Return the special ids that config.json and generation_config.json share."""
    bos, eos, pad = (metadata[f"tokenizer.ggml.{x}_token_id"] for x in ("bos", "eos", "padding"))
    end_of_turn = metadata["tokenizer.ggml.tokens"].index("<end_of_turn>")
    return {"bos_token_id": bos, "eos_token_id": [eos, end_of_turn], "pad_token_id": pad}


def result_bytes(tensors: Sequence[ReaderTensor]) -> int:
    """Return the bytes of all tensors in float32."""
    return 4 * sum(int(tensor.n_elements) for tensor in tensors)


def write_weights(tensors: Sequence[ReaderTensor], folder: Path, tick: Tick) -> None:
    """Write float32 safetensors under mlx-lm's names, and their index, into `folder`.

    Raises `OSError`, and whatever `tick` raises.
    """
    done, total = 0, result_bytes(tensors)
    index: dict[str, str] = {}

    def progress(count: int) -> None:
        nonlocal done
        tick("converting the demo model", done, total)
        done += count

    for shard, embedding in zip(SHARDS, (True, False), strict=True):
        arrays = _dequantized([t for t in tensors if (t.name == _EMBEDDING) is embedding], progress)
        _save(arrays, folder / shard)
        index |= dict.fromkeys(arrays, shard)
        del arrays  # before the next ones are allocated
    document = {"metadata": {"total_size": total}, "weight_map": index}
    (folder / INDEX).write_bytes(msgspec.json.encode(document))


def _dequantized(
    tensors: Sequence[ReaderTensor], progress: Callable[[int], None]
) -> dict[str, np.ndarray]:
    """The tensors in float32, rows first, by mlx-lm's names; two threads share the rows."""
    arrays = {mlx_name(t.name): np.empty(t.shape[::-1].tolist(), np.float32) for t in tensors}
    with ThreadPoolExecutor(_THREADS) as pool:
        futures = []
        for tensor, values in zip(tensors, arrays.values(), strict=True):
            rows = max(1, _CHUNK_ELEMENTS // values.shape[-1])
            for first in range(0, len(values), rows):
                part = slice(first, first + rows)
                futures.append(pool.submit(_dequantize, tensor, part, values[part]))
        try:
            for future in futures:
                progress(future.result())
        finally:
            pool.shutdown(cancel_futures=True)
    return arrays


def _dequantize(tensor: ReaderTensor, rows: slice, result: np.ndarray) -> int:
    # one long row: every block is computed by itself, so the shape changes speed but no bit
    data = tensor.data[rows].reshape(1, -1)
    result.reshape(1, -1)[:] = gguf.dequantize(data, tensor.tensor_type)
    if tensor.name.endswith("_norm.weight"):
        result -= np.float32(1)  # GGUF keeps Gemma's norms as 1+w, mlx-lm wants w
    return result.nbytes


def _save(arrays: dict[str, np.ndarray], path: Path) -> None:
    try:
        save_file(arrays, path, {"format": "mlx"})
    except SafetensorError as error:
        # it knows the system's error only as a number in its message
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else None, str(error)) from None
