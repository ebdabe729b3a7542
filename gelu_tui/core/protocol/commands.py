"""What the app asks of the engine."""

from __future__ import annotations

import msgspec

from gelu_tui.core.settings.run_settings import Chat, RunSettings


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="command"):
    """What the app asks of the engine. `id` is set by the client when it is sent."""

    id: int = 0


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
    """Decode one prompt under several activation functions, on the loaded model."""

    prompt: str
    settings: RunSettings = RunSettings()


class RenderPrompt(Command, frozen=True, tag="render_prompt"):
    """Tell what the loaded model would be fed for a prompt, without running it.

    Answered in turn: after a run that is going on.
    """

    prompt: str
    chat: Chat = "auto"


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

    Either `text`, or `tokens` as a model was fed them; `context` is the length of a window in
    tokens, None for the usual one. Of the settings those that sample and generate are not used.
    """

    settings: RunSettings
    text: str = ""
    tokens: tuple[int, ...] = ()
    context: int | None = None


class Cancel(Command, frozen=True, tag="cancel"):
    """Stop what is running; with nothing running it does nothing."""


class Shutdown(Command, frozen=True, tag="shutdown"):
    """Stop what is running and exit."""
