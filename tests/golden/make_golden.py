"""Golden logits and greedy tokens of PyTorch transformers, for tiny Gemmas of fixed seeds.

    python tests/golden/make_golden.py     (with torch and transformers; no test needs them)

For every family and every form that `hidden_activation` takes, in float32; and for every family at
a hidden size whose root is not exact in bfloat16, with the embedding normalizer √hidden as
transformers has it, exact, and rounded to bfloat16. Weights are not stored: `weights.py` makes them
anew from the names and shapes that are.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

sys.path.insert(0, str(Path(__file__).parent))
from weights import tensor

HERE = Path(__file__).parent
NEW_TOKENS = 12

# Names of this project's registry, and what PyTorch transformers calls them.
FORMS = {
    "gelu": "gelu",
    "gelu_approx": "gelu_pytorch_tanh",
    "gelu_fast_approx": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "relu2": "relu2",
    "mish": "mish",
    "identity": "linear",
}
# To its Gemma 1, "gelu" is a legacy name of the tanh form.
EXACT_IN_GEMMA = "gelu_python"

# Longer than the sliding window.
PROMPT = [2, 17, 81, 5, 44, 102, 9, 63, 28, 115, 7, 71, 90, 33, 12, 56]

SIZES = {
    # roots of 64 and 16 are exact in bfloat16, in which some of these models keep them
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rms_norm_eps": 1e-6,
    "vocab_size": 128,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
}
ALTERNATING = ["sliding_attention", "full_attention"] * 2

FAMILIES: dict[str, dict[str, Any]] = {
    "gemma": {**SIZES},
    "gemma2": {**SIZES, "query_pre_attn_scalar": 16, "sliding_window": 4096},
    "gemma3_text": {
        **SIZES, "query_pre_attn_scalar": 16, "sliding_window": 6, "sliding_window_pattern": 2,
        "layer_types": ALTERNATING,
    },
    "gemma3n": {
        **SIZES, "num_kv_shared_layers": 2, "vocab_size_per_layer_input": 128,
        "hidden_size_per_layer_input": 16, "sliding_window": 6, "layer_types": ALTERNATING,
        "activation_sparsity_pattern": [0.9, 0.0, 0.9, 0.0], "altup_num_inputs": 3,
        "laurel_rank": 4, "altup_coef_clip": 120.0, "altup_correct_scale": True,
        "altup_active_idx": 0, "final_logit_softcapping": 30.0,
    },
    "gemma4_text": {
        **SIZES, "num_kv_shared_layers": 2, "vocab_size_per_layer_input": 128,
        "hidden_size_per_layer_input": 16, "global_head_dim": 32, "sliding_window": 6,
        "layer_types": ALTERNATING, "use_double_wide_mlp": True,
        "final_logit_softcapping": 30.0,
    },
    "gemma4_text-experts": {
        **SIZES, "num_kv_shared_layers": 0, "hidden_size_per_layer_input": 0,
        "global_head_dim": 32, "num_global_key_value_heads": 1, "attention_k_eq_v": True,
        "sliding_window": 6, "layer_types": ALTERNATING, "use_double_wide_mlp": False,
        "enable_moe_block": True, "num_experts": 8, "top_k_experts": 2,
        "moe_intermediate_size": 16, "final_logit_softcapping": 30.0,
    },
    "recurrent_gemma": {
        # mlx-lm's layer norms take this epsilon whatever the configuration says
        **SIZES, "rms_norm_eps": 1e-5, "num_key_value_heads": 1, "intermediate_size": 128,
        "lru_width": 64, "conv1d_width": 4, "attention_window_size": 6, "attention_bias": False,
        "block_types": ["recurrent", "recurrent", "attention"], "logits_soft_cap": 30.0,
    },
}  # fmt: skip

# Its root is 8.9443, and 8.9375 in bfloat16.
INEXACT = 80

CLASSES = {
    "gemma": "Gemma", "gemma2": "Gemma2", "gemma3_text": "Gemma3", "gemma3n": "Gemma3n",
    "gemma4_text": "Gemma4", "recurrent_gemma": "RecurrentGemma",
}  # fmt: skip


def config_of(name: str) -> dict[str, Any]:
    """The configuration of a family, or of one with another hidden size: `gemma-80`."""
    family, _, size = name.partition("-")
    if not size.isdigit():
        return FAMILIES[name]
    # mlx-lm's heads share the width among them
    own = {"lru_width": int(size), "head_dim": int(size) // 4}
    return {
        **FAMILIES[family],
        "hidden_size": int(size),
        **(own if family == "recurrent_gemma" else {}),
    }


def model_of(name: str, form: str) -> Any:
    """The random model, its parameters by this project's rule."""
    family = name.partition("-")[0]
    kind = CLASSES[family]
    text = {"gemma3_text": "Gemma3Text", "gemma3n": "Gemma3nText", "gemma4_text": "Gemma4Text"}
    config_class = getattr(transformers, f"{text.get(family, kind)}Config")
    activation = {"hidden_act": form} if family == "gemma" else {"hidden_activation": form}
    config = config_class(**config_of(name), **activation, attn_implementation="eager")
    model = getattr(transformers, f"{kind}ForCausalLM")(config).to(torch.float32).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(tensor(name, key, tuple(parameter.shape))))
    return model


def set_normalizer(model: Any, value: float) -> None:
    """Set what embeddings are multiplied by."""
    inner = getattr(model.model, "language_model", model.model)
    normalizer = getattr(inner, "normalizer", None)
    (inner.embed_tokens.embed_scale if normalizer is None else normalizer).fill_(value)


def logits_of(model: Any) -> np.ndarray:
    """Logits of a position in the middle of the prompt, and of its last one."""
    logits = model(torch.tensor([PROMPT]), use_cache=False).logits[0]
    return logits[[len(PROMPT) // 2, -1]].numpy()


def greedy(model: Any) -> list[int]:
    """Greedy tokens, each from one pass over everything before it: no cache can be wrong."""
    tokens = list(PROMPT)
    for _ in range(NEW_TOKENS):
        logits = model(torch.tensor([tokens]), use_cache=False).logits[0, -1]
        tokens.append(int(logits.argmax()))
    return tokens[len(PROMPT) :]


def description(name: str, model: Any) -> dict[str, Any]:
    """What is needed to make the model again."""
    shapes = {key: list(value.shape) for key, value in model.named_parameters()}
    return {"config": config_of(name), "shapes": shapes}


@torch.no_grad()
def main() -> None:
    described: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    for name in FAMILIES:
        streams = {}
        for function, form in FORMS.items():
            exact_in_gemma = name == "gemma" and function == "gelu"
            model = model_of(name, EXACT_IN_GEMMA if exact_in_gemma else form)
            arrays[f"{name}/{function}"] = logits_of(model)
            streams[function] = greedy(model)
        described[name] = {**description(name, model), "tokens": streams}
    inexact: dict[str, Any] = {}
    for family in CLASSES:
        name = f"{family}-{INEXACT}"
        model = model_of(name, FORMS["gelu_approx"])
        inexact[name] = description(name, model)
        arrays[f"{name}/transformers"] = logits_of(model)
        root = torch.tensor(INEXACT**0.5)
        for label, value in (("exact", root), ("rounded", root.bfloat16())):
            set_normalizer(model, float(value))
            arrays[f"{name}/{label}"] = logits_of(model)
    made_with = {"torch": torch.__version__, "transformers": transformers.__version__}
    np.savez_compressed(HERE / "logits.npz", **arrays)
    document = {"made_with": made_with, "prompt": PROMPT, "models": described, "inexact": inexact}
    (HERE / "golden.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
