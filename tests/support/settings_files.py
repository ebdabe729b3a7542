"""Files of settings."""

from __future__ import annotations

from pathlib import Path

from gelu_tui.core.settings.user_file import SettingsFile, load_settings

WHOLE = """\
model = "google/gemma-3-1b"
activations = ["gelu", "mine=max(x, 0)", "silu"]
reference = "silu"
max_tokens = 40
schedule = "solo"
chat = false
activation_precision = "model"
temperature = 0.7
seed = 42
top_p = 0.9
top_k = 40
min_p = 0.05
control = true
stop_repeats = true
replay = false
what_if = true
dtype = "bfloat16"
engine_command = "ssh mac gelu-tui engine"
log_level = "debug"
color = "never"
theme = "nord"
refresh = 5
token_style = "kl"
scroll = "free"
save_runs = false
[keys]
run = "f4,ctrl+r"
"""


def loaded(file: Path, text: str | bytes) -> SettingsFile:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_settings(file)
