"""What the command line hands to the app."""

from __future__ import annotations

from dataclasses import dataclass

from gelu_tui.core.activations import DEFAULT_SET
from gelu_tui.core.protocol import Precision, Schedule


@dataclass(frozen=True)
class AppOptions:
    """Settings of one session; the choices among them can be changed inside the app.

    `prompt` given means: run it as soon as the model is loaded. `reference` None means the native
    function if chosen, else the first; `chat` None means if the tokenizer has a template.
    """

    model: str = "demo"
    dtype: str | None = None
    activations: tuple[str, ...] = DEFAULT_SET
    reference: str | None = None
    max_tokens: int = 256
    schedule: Schedule = "lockstep"
    chat: bool | None = None
    activation_precision: Precision = "float32"
    engine_command: str | None = None
    prompt: str | None = None
