"""Tiny random Gemmas, written to a folder as the hub would give them."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_map_with_path
from mlx_lm.models import (
    gemma,
    gemma2,
    gemma3,
    gemma3_text,
    gemma3n,
    gemma4,
    gemma4_text,
    recurrent_gemma,
)
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
WORDS = ("the", "sky", "is", "blue", "Why", *"空が青いのはなぜですか")

_SIZES = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rms_norm_eps": 1e-6,
    "vocab_size": 384,
    "max_position_embeddings": 256,
    "eos_token_id": 1,
}

# A sliding window shorter than the prompts of the tests, so that its cache rotates.
_GEMMA3 = {**_SIZES, "sliding_window": 8, "sliding_window_pattern": 2, "query_pre_attn_scalar": 16}

CONFIGS: dict[str, dict[str, Any]] = {
    "gemma": {"model_type": "gemma", **_SIZES},
    "gemma2": {"model_type": "gemma2", "query_pre_attn_scalar": 16, **_SIZES},
    "gemma3_text": {"model_type": "gemma3_text", **_GEMMA3},
    "gemma3": {
        "model_type": "gemma3",
        "vocab_size": 384,
        "eos_token_id": 1,
        "text_config": {"model_type": "gemma3_text", **_GEMMA3},
    },
}

# The last two layers use the keys and values of the first two.
_LAYERS = ["sliding_attention", "full_attention"] * 2

_GEMMA3N = {
    "model_type": "gemma3n_text",
    **_SIZES,
    "num_kv_shared_layers": 2,
    "vocab_size_per_layer_input": 380,
    "hidden_size_per_layer_input": 16,
    "sliding_window": 8,
    "layer_types": _LAYERS,
    "activation_sparsity_pattern": [0.9, 0.9, 0.0, 0.0],
    "rope_theta": 1_000_000.0,
    "rope_local_base_freq": 10_000.0,
    "final_logit_softcapping": 30.0,
    "altup_num_inputs": 3,
    "altup_coef_clip": 120.0,
    "altup_correct_scale": True,
    "altup_active_idx": 0,
    "laurel_rank": 8,
}

_GEMMA4 = {
    "model_type": "gemma4_text",
    **_SIZES,
    "num_kv_shared_layers": 2,
    "vocab_size_per_layer_input": 384,
    "hidden_size_per_layer_input": 16,
    "global_head_dim": 32,
    "sliding_window": 8,
    "layer_types": _LAYERS,
}

# The large one: experts and no per-layer gates, keys that are values too.
_GEMMA4_EXPERTS = {
    **_GEMMA4,
    "num_kv_shared_layers": 0,
    "hidden_size_per_layer_input": 0,
    "num_global_key_value_heads": 1,
    "attention_k_eq_v": True,
    "enable_moe_block": True,
    "num_experts": 8,
    "top_k_experts": 2,
    "moe_intermediate_size": 32,
}

CONFIGS |= {
    "gemma3n": {"model_type": "gemma3n", "eos_token_id": 1, "text_config": _GEMMA3N},
    "gemma4_text": _GEMMA4,
    "gemma4_text-experts": _GEMMA4_EXPERTS,
    "gemma4": {
        "model_type": "gemma4", "vocab_size": 384, "eos_token_id": 1, "text_config": _GEMMA4,
    },
    "gemma4_unified": {
        "model_type": "gemma4_unified", "vocab_size": 384, "eos_token_id": 1,
        "text_config": _GEMMA4,
    },
    "recurrent_gemma": {
        "model_type": "recurrent_gemma",
        **_SIZES,
        "attention_bias": False,
        "conv1d_width": 4,
        "intermediate_size": 256,
        "logits_soft_cap": 30.0,
        "num_key_value_heads": 1,
        "rope_theta": 10_000.0,
        "attention_window_size": 8,
        "block_types": ["recurrent", "recurrent", "attention"],
    },
}  # fmt: skip

MODULES = {
    "gemma": gemma,
    "gemma2": gemma2,
    "gemma3_text": gemma3_text,
    "gemma3": gemma3,
    "gemma3n": gemma3n,
    "gemma4_text": gemma4_text,
    "gemma4_text-experts": gemma4_text,
    "gemma4": gemma4,
    "gemma4_unified": gemma4,
    "recurrent_gemma": recurrent_gemma,
}


def write(
    folder: Path,
    family: str,
    *,
    bits: int | None = None,
    dtype: mx.Dtype = mx.float32,
    chat_template: str | None = None,
    seed: int = 7,
) -> Path:
    """Write config.json, model.safetensors and the tokenizer of a random model."""
    folder.mkdir(parents=True, exist_ok=True)
    config = json.dumps(CONFIGS[family])
    (folder / "model.safetensors").write_bytes(_weights(family, config, bits, dtype, seed))
    if bits is not None:
        config = json.dumps({**CONFIGS[family], "quantization": {"group_size": 32, "bits": bits}})
    (folder / "config.json").write_text(config)
    write_tokenizer(folder, chat_template)
    return folder


@functools.lru_cache(64)
def _weights(family: str, config: str, bits: int | None, dtype: mx.Dtype, seed: int) -> bytes:
    """The file of the weights; kept, as building a model takes longer than loading it."""
    module = MODULES[family]
    mx.random.seed(seed)
    model = module.Model(module.ModelArgs.from_dict(json.loads(config)))
    # Weights large and embeddings small enough that the activation function decides tokens.
    model.update(
        tree_map_with_path(
            lambda name, a: (
                mx.random.normal(a.shape) * (0.05 if "embed" in name else 0.25)
            ).astype(dtype),
            model.parameters(),
        )
    )
    if bits is not None:
        nn.quantize(model, group_size=32, bits=bits, class_predicate=_quantizable)
    weights = dict(tree_flatten(model.parameters()))
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        mx.save_safetensors(file.name, weights, metadata={"format": "mlx"})
        return Path(file.name).read_bytes()


def _quantizable(_: str, module: nn.Module) -> bool:
    return hasattr(module, "to_quantized") and module.weight.shape[-1] % 32 == 0


def write_tokenizer(folder: Path, chat_template: str | None = None) -> None:
    """A byte-fallback BPE with a few words, special tokens and a BOS, shaped like Gemma's."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    letters = sorted({char for word in WORDS for char in word})
    pieces += ["▁", *letters]
    merges = []
    for word in WORDS:
        for end in range(2, len(word) + 1):
            left, right, merged = word[: end - 1], word[end - 1], word[:end]
            if merged not in pieces:
                pieces.append(merged)
                merges.append((left, right))
    pieces += [f"<unused{number}>" for number in range(384 - len(pieces))]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    assert len(vocabulary) == 384
    tokenizer = Tokenizer(
        BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", 2)]
    )
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "add_bos_token": True,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 256,
    }
    if chat_template is not None:
        config["chat_template"] = chat_template
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
