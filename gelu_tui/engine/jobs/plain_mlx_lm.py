"""What a user of mlx-lm would write: load a folder, generate, print. Run by `gelu-tui bench` only.

Usage: plain_mlx_lm.py FOLDER PROMPT; prints a JSON line at the first token.
"""

import json
import sys


def main() -> None:
    """Load, generate one token, say so."""
    from mlx_lm import load, stream_generate

    folder, prompt = sys.argv[1:]
    model, tokenizer = load(folder)
    for response in stream_generate(model, tokenizer, prompt, max_tokens=1):
        sys.stdout.write(json.dumps({"event": "step", "token": response.token}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
