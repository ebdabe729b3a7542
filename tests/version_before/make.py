"""Make the files that an earlier version left on users' disks: saved runs, documents, settings.

In a clone of that version, with its own Python: `python .../make.py FOLDER`. The runs are real
ones, of a tiny random model.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))  # the clone's own tests

from tests.support import tiny_models

_FOUR = ("-a", "gelu,gelu_approx,relu,silu")
RUNS = {
    "greedy": (*_FOUR, "--max-tokens", "24", "the sky is blue"),
    "sampled": (*_FOUR, "--max-tokens", "24", "--temperature", "1", "--seed", "3", "Why"),
    "own_formula": ("-a", "gelu_approx,sharp=x*sigmoid(3*x)", "--max-tokens", "24", "the sky"),
    "control": ("-a", "gelu,relu", "--control", "--max-tokens", "24", "空が青いのはなぜですか"),
    "cancelled": (*_FOUR, "--max-tokens", "240", "the sky is"),
    "failed": (*_FOUR, "--max-tokens", "240", "blue sky"),
}

# What is not as by default; the others are written as they are.
SETTINGS = {
    "model": '"mlx-community/gemma-3-270m-it-bf16"',
    "activations": '["gelu", "mine = x*sigmoid(1.773*x)", "relu"]',
    "reference": '"relu"',
    "max_tokens": "100",
    "schedule": '"solo"',
    "chat": "false",
    "activation_precision": '"model"',
    "temperature": "0.7",
    "seed": "42",
    "top_p": "0.95",
    "top_k": "64",
    "min_p": "0.05",
    "control": "true",
    "replay": "false",
    "dtype": '"float32"',
    "engine_command": '"ssh mac gelu-tui engine"',
    "color": '"never"',
    "theme": '"nord"',
    "refresh": "6.0",
    "token_style": '"kl"',
    "scroll": '"free"',
    "save_runs": "false",
}

_ENGINE = shlex.join((sys.executable, "-P", "-m", "gelu_tui.engine"))


def main() -> None:
    folder = Path(sys.argv[1]).absolute()
    with tempfile.TemporaryDirectory(prefix="gelu-tui-") as home:
        os.environ |= {f"XDG_{kind}_HOME": home for kind in ("CACHE", "STATE", "DATA", "CONFIG")}
        tiny_models.write(Path(home) / "tiny", "gemma3_text")
        for name, words in RUNS.items():
            (folder / f"{name}.json").write_bytes(run(name, Path(home), words))
        (folder / "history.sqlite").write_bytes(
            (Path(home) / "gelu-tui" / "history.sqlite").read_bytes()
        )
    (folder / "config.toml").write_text(settings())


def run(name: str, home: Path, words: tuple[str, ...]) -> bytes:
    """The document of a run, which saves itself too."""
    log = home / "events"
    # the real engine, whose events can be seen, or end after some steps
    filters = {"cancelled": f"tee {log}", "failed": "sed -u 24q"}
    engine = f"{_ENGINE} | {filters.get(name, 'cat')}"
    command = [sys.executable, "-P", "-m", "gelu_tui", "run", "--model", str(home / "tiny")]
    command += ["--format", "json", "--engine-command", shlex.join(("sh", "-c", engine)), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        if name == "cancelled":
            while not log.exists() or log.read_bytes().count(b'"step"') < 10:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
        return process.communicate()[0]


def settings() -> str:
    """Every setting of the explained file, with the comments, and one key."""
    command = (sys.executable, "-P", "-m", "gelu_tui", "settings", "--defaults")
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    text, _, keys = text.partition("[keys]\n")
    text = re.sub(r"(?m)^# (\w+ = )", r"\1", text)
    for name, value in SETTINGS.items():
        text, found = re.subn(rf"(?m)^{name} = .*", f"{name} = {value}", text)
        assert found == 1, name
    return text + "[keys]\n" + re.sub(r"(?m)^# run = .*?\"  #", 'run = "f12"  #', keys)


if __name__ == "__main__":
    main()
