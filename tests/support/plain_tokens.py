"""Greedy tokens of plain mlx-lm with each function put into the model by a subclass, as JSON.

A process of its own, so that it can be given the same BLAS as the engine.
Usage: python -m tests.support.plain_tokens FOLDER COUNT < {"prompts": [...], "functions": [...]}
"""

from __future__ import annotations

import json
import sys

from mlx_lm import load

from tests.support.in_process import plain_tokens


def main() -> None:
    folder, count = sys.argv[1], int(sys.argv[2])
    request = json.load(sys.stdin)
    model, tokenizer = load(folder)
    result = {}
    for prompt in request["prompts"]:
        ids = tokenizer.encode(prompt)
        streams = {
            name: plain_tokens(model, tokenizer, name, ids, count) for name in request["functions"]
        }
        result[prompt] = {"prompt_tokens": ids, "streams": streams}
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
