"""What mlx-lm alone computes from a model, as JSON: greedy tokens of each function, a perplexity.

A process of its own, so that it can be given the same BLAS as the engine; one load for all.
Usage: python -m tests.support.plain_demo FOLDER ANSWER < {"prompts": {"…": [["gelu"], 3]},
"text": "…", "windows": 2, "context": 18}, with the functions and the tokens of each prompt.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm import load
from mlx_lm.perplexity import eval_ppl

from tests.support.in_process import plain_tokens


def main() -> None:
    request = json.load(sys.stdin)
    model, tokenizer = load(sys.argv[1])
    streams = {
        prompt: {
            name: plain_tokens(model, tokenizer, name, tokenizer.encode(prompt), count)
            for name in functions
        }
        for prompt, (functions, count) in request["prompts"].items()
    }
    scored = _perplexity(model, tokenizer, request)
    # Not on stdout, where mlx-lm prints.
    Path(sys.argv[2]).write_text(json.dumps({"streams": streams, **scored}))


def _perplexity(model: Any, tokenizer: Any, request: dict[str, Any]) -> dict[str, Any]:
    """That of the beginning of the text, by mlx-lm and, from the same logits, in float64."""
    bos, *text = tokenizer.encode(request["text"])
    own = request["context"] - 1
    text = text[: request["windows"] * own]
    windows = mx.array([[bos, *text[at : at + own]] for at in range(0, len(text), own)])
    seen = []

    def model_that_is_seen(tokens: mx.array) -> mx.array:
        seen.append(model(tokens))
        return seen[-1]

    by_mlx_lm, _ = eval_ppl(model_that_is_seen, windows, batch_size=1)
    logits = np.array(mx.concatenate(seen)).astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    nats = -np.take_along_axis(logits, np.array(windows)[:, 1:, None], -1).mean()
    return {
        "text": tokenizer.decode(text),
        "shape": windows.shape,
        "mlx_lm": by_mlx_lm,
        "exact": float(np.exp(nats)),
    }


if __name__ == "__main__":
    main()
