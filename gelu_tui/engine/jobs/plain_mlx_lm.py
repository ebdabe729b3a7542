"""The reference program of `gelu-tui bench`: what a user of mlx-lm would write.

Usage: plain_mlx_lm.py FOLDER PROMPT; prints a JSON line at the first token.
"""

import json
import sys

from mlx_lm import load, stream_generate

folder, prompt = sys.argv[1:]
model, tokenizer = load(folder)
for response in stream_generate(model, tokenizer, prompt, max_tokens=1):
    sys.stdout.write(json.dumps({"event": "step", "token": response.token}) + "\n")
    sys.stdout.flush()
