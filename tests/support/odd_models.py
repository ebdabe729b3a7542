"""Tiny models bent for one purpose each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx

from tests.support import tiny_models

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m['role'] }}\n"
    "{{ m['content'] }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)

# Finite wherever a formula is probed, and inf/inf as soon as exp(x) leaves float32, at x = 88.8.
OVERFLOWS = "over=x*exp(x)/(1+exp(x))"


def long_running(folder: Path) -> Path:
    """A model whose context does not end within a test, and which has no end token either."""
    tiny_models.write(folder, "gemma3_text")
    beyond = 1_000_000  # of the vocabulary too
    _change(folder / "config.json", max_position_embeddings=beyond, eos_token_id=beyond)
    _change(folder / "tokenizer_config.json", eos_token=None)
    return folder


def loud(folder: Path) -> Path:
    """A model whose gate inputs go far beyond 88, where `OVERFLOWS` is not a number."""
    tiny_models.write(folder, "gemma3_text")
    file = str(folder / "model.safetensors")
    weights = mx.load(file)
    assert isinstance(weights, dict)
    loud = {name: value * 100 if "gate_proj" in name else value for name, value in weights.items()}
    mx.eval(loud)
    mx.save_safetensors(file, loud, metadata={"format": "mlx"})
    return folder


def large(folder: Path, megabytes: int) -> Path:
    """A model of about this size; its random tokens mean nothing."""
    width = (
        megabytes * 1_000_000 // (4 * 3 * 64 * tiny_models.CONFIGS["gemma"]["num_hidden_layers"])
    )
    before = tiny_models.CONFIGS["gemma"]["intermediate_size"]
    tiny_models.CONFIGS["gemma"]["intermediate_size"] = width
    try:
        return tiny_models.write(folder, "gemma")
    finally:
        tiny_models.CONFIGS["gemma"]["intermediate_size"] = before


def _change(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
