"""What the app asks of the engine."""

from __future__ import annotations

import msgspec

from gelu_tui.core.protocol.values import (
    GREEDY,
    Precision,
    Sampling,
    Schedule,
)


class Command(msgspec.Struct, frozen=True, tag_field="command"):
    """What the app asks of the engine."""


class Load(Command, frozen=True, tag="load"):
    """Load a model: `demo`, a folder, or a hub id. Replaces the model that was loaded."""

    model: str
    dtype: str | None = None


class Fetch(Command, frozen=True, tag="fetch"):
    """Bring a model onto this machine without loading it: `demo`, or a hub id.

    The model that is loaded stays. Ends with `Fetched`, `Failed` or `Cancelled`.
    """

    model: str


class ListModels(Command, frozen=True, tag="list_models"):
    """Look for Gemma models: the demo, the hub's cache, and `folders` (models, or folders of them).

    Answered by `ModelsFound`.
    """

    folders: tuple[str, ...] = ()


class DeleteModel(Command, frozen=True, tag="delete_model"):
    """Delete a model of the hub's cache, or the converted demo. Answered by `ModelDeleted`.

    `dry_run` deletes nothing; the answer is what would be freed.
    """

    model: str
    dry_run: bool = False


class Compare(Command, frozen=True, tag="compare"):
    """Decode one prompt under several activation functions.

    `activations` are names, aliases or `NAME=EXPRESSION`; `reference` is one of their names, or
    None for the native function if chosen, else the first. `chat` None means: if the tokenizer has
    a template. `control` adds a variant that differs from the reference in the order of its
    operations only. `replay`: whether forks are replayed in float32 when all streams have ended.
    """

    prompt: str
    activations: tuple[str, ...]
    reference: str | None = None
    max_tokens: int = 256
    schedule: Schedule = "lockstep"
    chat: bool | None = None
    activation_precision: Precision = "float32"
    sampling: Sampling = GREEDY
    control: bool = False
    replay: bool = True


class RenderPrompt(Command, frozen=True, tag="render_prompt"):
    """Tell what the loaded model would be fed for a prompt, without running it.

    `chat` as in `Compare`. Answered in turn: after a run that is going on.
    """

    prompt: str
    chat: bool | None = None


class Bench(Command, frozen=True, tag="bench"):
    """Measure the loaded model: plain mlx-lm, one variant, lockstep, raw batched forward passes."""

    prompt: str
    tokens: int = 24
    rounds: int = 3
    rows: tuple[int, ...] = (2, 4, 8)


class Replay(Command, frozen=True, tag="replay"):
    """Replay the forks that the running comparison has found so far, between two of its steps.

    With nothing running it does nothing. Answered by `ForkReplayed`.
    """


class Score(Command, frozen=True, tag="score"):
    """Feed one text to several activation functions and compare what each makes of every token.

    Either `text`, or `tokens` as a model was fed them. `activations`, `reference` and `control` as
    in `Compare`; `context` is the length of a window in tokens, None for the usual one.
    """

    activations: tuple[str, ...]
    text: str = ""
    tokens: tuple[int, ...] = ()
    reference: str | None = None
    activation_precision: Precision = "float32"
    control: bool = True
    context: int | None = None


class Cancel(Command, frozen=True, tag="cancel"):
    """Stop what is running; with nothing running it does nothing."""


class Shutdown(Command, frozen=True, tag="shutdown"):
    """Stop what is running and exit."""


AnyCommand = (
    Load
    | Fetch
    | ListModels
    | DeleteModel
    | Compare
    | RenderPrompt
    | Bench
    | Score
    | Replay
    | Cancel
    | Shutdown
)
