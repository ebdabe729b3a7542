"""What the command line hands to the app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gelu_tui.client import EngineCommand
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.protocol import GREEDY, Precision, Sampling, Schedule
from gelu_tui.core.registry import DEFAULT_SET
from gelu_tui.core.settings import Scroll, TokenStyle

if TYPE_CHECKING:
    from gelu_tui.core.document import ComparisonDocument


@dataclass(frozen=True)
class AppOptions:
    """Settings of one session; the choices among them can be changed inside the app.

    `prompt` given means: run it as soon as the model is loaded. `reference` None means the native
    function if chosen, else the first; `chat` None means if the tokenizer has a template. `theme`
    None means the one that suits the terminal, `refresh` is in frames a second, `keys` maps names
    of actions to keys, and `warnings` are what is wrong with the settings file. `saved` is a
    comparison to open with instead of a run: it needs no model until something is run.
    """

    model: str = "demo"
    dtype: str | None = None
    activations: tuple[str, ...] = DEFAULT_SET
    reference: str | None = None
    max_tokens: int = 256
    schedule: Schedule = "lockstep"
    chat: bool | None = None
    activation_precision: Precision = "float32"
    sampling: Sampling = GREEDY
    control: bool = False
    replay: bool = True
    engine_command: EngineCommand = None
    prompt: str | None = None
    theme: str | None = None
    refresh: float = 12
    token_style: TokenStyle = "plain"
    scroll: Scroll = "together"
    keys: Mapping[str, str] = field(default_factory=dict)
    save_runs: bool = True
    warnings: tuple[ErrorInfo, ...] = ()
    saved: ComparisonDocument | None = None
