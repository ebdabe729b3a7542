"""Commands: what the app sends to the engine."""

from __future__ import annotations

import msgspec

from gelu_tui.core.functions.registry import Precision
from gelu_tui.core.protocol.events import Started
from gelu_tui.core.protocol.values import ChatMessage, EarlierStream, Given, ModelInfo, Seconds
from gelu_tui.core.settings.run_settings import Chat, Dtype, RunSettings
from gelu_tui.core.settings.yardsticks import YardstickName


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="command"):
    """A message to the engine; the client sets `id` when it is sent."""

    id: int = 0


class Load(Command, frozen=True, tag="load"):
    """Load a model (`demo`, a folder, or a hub id) in place of the one that was loaded."""

    model: str
    dtype: str | None = None


class Fetch(Command, frozen=True, tag="fetch"):
    """Download a model (or convert the demo) without loading it; ends with `Fetched`."""

    model: str


class ListModels(Command, frozen=True, tag="list_models"):
    """Find Gemma models: the demo, in the hub's cache, in `folders`. Answer: `ModelsFound`."""

    folders: tuple[str, ...] = ()  # each a model, or a folder of models


class AskHub(Command, frozen=True, tag="ask_hub"):
    """Ask the hub how large repositories are. Answer: `HubSizes`, after a few seconds at most."""

    models: tuple[str, ...]


class DeleteModel(Command, frozen=True, tag="delete_model"):
    """Delete a model of the hub's cache, or the converted demo. Answer: `ModelDeleted`."""

    model: str
    dry_run: bool = False  # delete nothing, return what would be freed


class Compare(Command, frozen=True, tag="compare"):
    """Decode one prompt under several activation functions, on the loaded model.

    Comparisons with `rows` that wait for the engine together, with equal settings but for the
    seed, share one batch of at most so many rows (0: as many as fit into memory). Their answers
    come side by side.
    """

    prompt: str
    settings: RunSettings = RunSettings()
    # Fed through the chat template; where that is not used, `prompt` is fed, if there is one.
    messages: tuple[ChatMessage, ...] = ()
    choices: tuple[str, ...] = ()  # continuations of the prompt whose probabilities are asked for
    rows: int | None = None


class Continue(Command, frozen=True, tag="continue"):
    """Decode a run further, which was stopped or reached its limit, as if it had not ended.

    `started` is how it began, with the limit that it has now. All streams that have not ended have
    the same number of tokens, and no stream has more. Answers: as to `Compare`, but only what is
    new, and `Started` not before all that was decoded is in the caches again.
    """

    started: Started
    model: ModelInfo
    streams: tuple[EarlierStream, ...]
    load_s: Seconds | None = None  # as measured when it began
    prefill_s: Seconds | None = None

    @property
    def first_step(self) -> int:
        """The step at which the run goes on."""
        return max(len(stream.tokens) for stream in self.streams)


class RenderPrompt(Command, frozen=True, tag="render_prompt"):
    """Render a prompt as the loaded model would be fed it, after any running job."""

    prompt: str
    chat: Chat = "auto"


class Bench(Command, frozen=True, tag="bench"):
    """Measure the loaded model: plain mlx-lm, one variant, lockstep, raw batched forward passes."""

    prompt: str
    tokens: int = 24
    rounds: int = 3
    rows: tuple[int, ...] = (2, 4, 8)


class BenchSweep(Command, frozen=True, tag="bench_sweep"):
    """Measure a sweep on the loaded model against mlx-lm, one generation after another and batched.

    `rows` limits the batches, 0: as many as fit. Answers: `BenchedRun` for each prompt, and
    `BenchSweepReport`.
    """

    prompts: tuple[str, ...]
    functions: int = 4
    tokens: int = 24
    rounds: int = 3
    rows: int = 0


class Replay(Command, frozen=True, tag="replay"):
    """Replay the forks of `run`; None: those that the running comparison has found so far.

    Answers: `ForkReplayed`, and `Replayed` after those of a `run`.
    """

    run: Continue | None = None


class WhatIf(Command, frozen=True, tag="what_if"):
    """Give streams of `run` the reference's token where they parted from it, and decode them on.

    Each goes on under its own function, up to the length of the reference's stream. Answers:
    `WhatIfStep` with new tokens, `WhatIfAnswered` for each stream, and `WhatIfEnded`.
    """

    run: Continue
    given: tuple[Given, ...]


class OverText(Command, frozen=True):
    """A command that reads one text (or `tokens`) under some functions.

    Of several `documents` each has windows of its own. Settings of sampling and generation are not
    used.
    """

    settings: RunSettings
    text: str = ""
    tokens: tuple[int, ...] = ()
    context: int | None = None  # length of a window in tokens; None for the default
    documents: tuple[str, ...] = ()  # instead of `text`


class Score(OverText, frozen=True, tag="score"):
    """Compare the probabilities of every token of a text under several functions.

    `yardsticks` are changes of the model, under the reference function.
    """

    yardsticks: tuple[YardstickName, ...] = ()


class FunctionValues(Command, frozen=True, tag="function_values"):
    """Compute functions (specs) and their derivatives between two x, without a model.

    x are `points` numbers at equal distances, rounded to the dtype: where it is coarse there are
    fewer. `speed`: measure them, too. Answer: `FunctionValuesFound`.
    """

    functions: tuple[str, ...]
    low: float = -6.0
    high: float = 6.0
    points: int = 1025
    dtype: Dtype = "float32"
    precision: Precision = "float32"
    speed: bool = False


class Candidates(Command, frozen=True, tag="candidates"):
    """Ask what could have stood at one place of a scored text. Answer: `CandidatesFound`.

    `tokens` are those of the place's window, as far as they are scored: with BOS in front, as the
    model is fed them. `settings` are the scoring's, and `variant` is an index of its variants.
    """

    settings: RunSettings
    variant: int
    tokens: tuple[int, ...]
    place: int  # of the token that is predicted
    count: int = 10


class GateInputs(OverText, frozen=True, tag="gate_inputs"):
    """Read what the reference's model gives to its activation, and measure the functions on it.

    With `causal` each function also takes the reference's place in one bin of inputs after the
    other.
    """

    causal: bool = False


class Layers(OverText, frozen=True, tag="layers"):
    """Swap the function at one site at a time, and compare with the reference everywhere.

    What a scoring that was stopped had found is kept where the engine runs, and it goes on there,
    unless `restart`. With `free_running` text is generated too, up to the settings' `max_tokens`,
    after the first `prompt` of `tokens`, or, where that is 0, after the text's last window.
    """

    free_running: bool = False
    prompt: int = 0
    restart: bool = False


class Cancel(Command, frozen=True, tag="cancel"):
    """Stop the running job, if there is one."""


class Shutdown(Command, frozen=True, tag="shutdown"):
    """Stop the running job and exit."""
