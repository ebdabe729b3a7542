"""A model over several processes against one: python -m tests.measure_pipeline [MODEL [RANKS…]]

Prints tokens a second of all streams, and the weights and the peak memory of each process.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil

from tests.support.engine_process import COMMAND, EngineProcess, load, tokens_of

FUNCTIONS = ["gelu", "gelu_approx", "relu", "silu"]
PROMPT = "Why is the sky blue?"
TOKENS = 24


def measured(model: str, ranks: int) -> dict[str, Any]:
    command = COMMAND
    if ranks > 1:
        command = (sys.executable, "-m", "gelu_tui", "engine", "--ranks", str(ranks))
    settings = {"activations": FUNCTIONS, "max_tokens": TOKENS, "replay": False}
    # In the user's own environment: the demo is in its cache.
    with EngineProcess({**os.environ, "XDG_STATE_HOME": tempfile.mkdtemp()}, command) as engine:
        loaded = load(engine, model)
        engine.send({"command": "compare", "prompt": PROMPT, "settings": settings})
        events = engine.until("finished")
        pid = engine.process.pid
        processes = psutil.Process(pid).children() if ranks > 1 else [psutil.Process(pid)]
        ranked = sorted((int(one.environ().get("MLX_RANK", 0)), one.pid) for one in processes)
        return {
            "weights": [rank["weight_bytes"] for rank in loaded["ranks"]]
            or [loaded["weight_bytes"]],
            "peaks": [_peak(pid) for _, pid in ranked],
            "rate": events[-1]["timing"]["tokens_per_second"],
            "tokens": tokens_of(events),
            "logprobs": [
                [stream["logprob"] for stream in event["streams"]]
                for event in events
                if event["event"] == "step"
            ],
        }


def _peak(pid: int) -> int:
    """The largest resident memory of a process so far, in bytes (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    model, *ranks = sys.argv[1:] or ["demo"]
    one = measured(model, 1)
    _show(1, one, one)
    for count in map(int, ranks or ("2", "3")):
        _show(count, measured(model, count), one)


def _show(ranks: int, found: dict[str, Any], one: dict[str, Any]) -> None:
    equal = all(found[key] == one[key] for key in ("tokens", "logprobs"))
    parts = zip(found["weights"], found["peaks"], strict=True)
    memory = ", ".join(f"{w / 1e6:.0f} MB of weights, peak {m / 1e6:.0f} MB" for w, m in parts)
    rate = f"{found['rate']:.1f} tokens/s, {found['rate'] / one['rate']:.2f} of one process"
    print(f"{ranks}: {rate}; {'equal' if equal else 'DIFFERENT'}; {memory}", flush=True)


if __name__ == "__main__":
    main()
