"""One engine for many calls: the model is loaded once."""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from msgspec.structs import replace

from gelu_tui.api.engine_thread import EngineThread
from gelu_tui.api.keywords import (
    CompareKeywords,
    ScoreKeywords,
    checked,
    engine_of,
    of_method,
    texts_of,
    window_of,
)
from gelu_tui.api.results import Inputs, Layers, Run, Score
from gelu_tui.api.unfinished import Unfinished
from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo, GeluError, UsageError
from gelu_tui.core.lab.inputs import ReadInputs
from gelu_tui.core.lab.layers import LayersState, with_reference
from gelu_tui.core.protocol.gathering import Gathering
from gelu_tui.core.protocol.requests import compare_command, over_text
from gelu_tui.core.runs.document import document
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.run_settings import Dtype, RunSettings
from gelu_tui.core.settings.validation import convert
from gelu_tui.core.settings.yardsticks import WithYardsticks


class Engine:
    """A loaded model, for many calls: `with gelu_tui.Engine("demo") as engine: …`.

    The process starts with the `with`, or with the first call, and ends with `close`. Calls from
    several threads wait for each other. An interrupt (Ctrl+C, or a notebook's stop) ends the call
    and not the engine; after an engine died, the next call starts another one.

    `model` is `demo`, a folder, or an id on the hub; `engine_command` starts another engine than
    our own, as the command's `--engine-command`, and `host` names the machine of an engine that ssh
    starts, as `--host`. Raises `GeluError`.
    """

    def __init__(
        self,
        model: str = "demo",
        *,
        dtype: Dtype | None = None,
        engine_command: str | None = None,
        host: str | None = None,
    ) -> None:
        self._settings = checked({"model": model, "dtype": dtype})
        self._command = engine_of(engine_command, host)
        self._lock = threading.RLock()
        self._thread: EngineThread | None = None
        self._loaded: p.Loaded | None = None

    def __enter__(self) -> Engine:
        with self._lock:
            self._ready()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "loaded" if self._loaded else "not loaded"
        return f"<Engine of {self._settings.model!r}, {state}>"

    @property
    def model(self) -> p.ModelInfo:
        """The loaded model; loads it first where it is not."""
        with self._lock:
            return self._ready()[1].model

    def close(self) -> None:
        """End the engine; another call would start it again."""
        with self._lock:
            thread, self._thread, self._loaded = self._thread, None, None
            if thread is not None:
                thread.close()

    @of_method(CompareKeywords)
    def compare(self, prompt: str, **settings: Any) -> Run:
        """Compare activation functions on one prompt, and return their streams by name.

        Raises `GeluError`; `Unfinished`, if it failed on the way, has what there was until then.
        """
        chosen = self._chosen(settings)
        command = compare_command(prompt, chosen)
        comparison: Comparison | None = None

        def take(event: p.Event) -> None:
            nonlocal comparison
            if isinstance(event, p.Started):
                comparison = Comparison.begin(event)
                comparison.check()
            if comparison is not None:
                comparison.apply(event)
                if isinstance(event, p.Finished):
                    comparison.check()

        with self._lock:
            loaded, error = self._ask(command, take)
        if comparison is None:
            raise error or _no_answer()
        if error is not None:
            made = document(comparison, loaded, status="failed", error=error.info)
            raise Unfinished(error.info, Run(made))
        run = Run(document(comparison, loaded))
        _warn_of_streams(run, chosen.max_tokens)
        return run

    @of_method(ScoreKeywords)
    def score(
        self,
        text: str | Sequence[str],
        *,
        context: int | None = None,
        yardsticks: Sequence[str] | str = (),
        tokens: bool = False,
        **settings: Any,
    ) -> Score:
        """Feed one text to all functions and compare their predictions of every token.

        Of several texts each is a document, by which standard errors are clustered.
        `context` is the length of a window in tokens, BOS included: 512, or the model's if smaller.
        `yardsticks` are changes of the model to hold the functions against: q8, q4, bf16,
        embed-scale, again. `tokens` adds every token with its numbers (`Score.per_token`).
        A control is added unless `control=False` is given; settings of sampling and of generation
        have no effect. Raises `GeluError`, and `Unfinished` as `compare` does.
        """
        from gelu_tui.core.scoring.statistics import Scoring  # numpy

        chosen = self._chosen(settings, control=True)
        texts, context = texts_of(text), window_of(context)
        named = convert(fields_of(WithYardsticks)["yardsticks"], yardsticks)
        command = over_text(p.Score, chosen, texts=texts, context=context, yardsticks=named)
        gathering = Gathering(p.ScoreStarted, Scoring)
        with self._lock:
            loaded, error = self._ask(command, gathering.take)
        scoring = gathering.state
        if scoring is None:
            raise error or _no_answer()
        source = ScoreSource("text", "the text")
        activations = chosen.activations if tokens else ()
        if error is not None:
            made = scoring.document(
                loaded, source, status="failed", error=error.info, activations=activations
            )
            raise Unfinished(error.info, Score(made))
        score = Score(scoring.document(loaded, source, status="completed", activations=activations))
        for name, variant in score.items():
            _warn(name, variant.error)
        for yardstick in score.document.yardsticks:
            _warn(yardstick.name, yardstick.error)
        return score

    @of_method(ScoreKeywords)
    def layers(
        self,
        text: str | Sequence[str],
        *,
        context: int | None = None,
        free_running: bool = False,
        restart: bool = False,
        **settings: Any,
    ) -> Layers:
        """Swap the function in one layer at a time, and measure what it does to a text.

        Every function is compared with the reference: the named one, else the model's own, which
        need not be chosen. `context` is as in `score`. `free_running` also generates greedily after
        the text, up to `max_tokens`. What an interrupted call has found is kept, and an equal call
        goes on there, unless `restart`. Raises `GeluError`, and `Unfinished` as `compare` does.
        """
        chosen = with_reference(self._chosen(settings, control=False))
        texts, context = texts_of(text), window_of(context)
        command = over_text(
            p.Layers,
            chosen,
            texts=texts,
            context=context,
            free_running=free_running,
            restart=restart,
        )
        gathering = Gathering(p.LayersStarted, LayersState)
        with self._lock:
            loaded, error = self._ask(command, gathering.take)
        if (state := gathering.state) is None:
            raise error or _no_answer()
        source = ScoreSource("text", "the text")
        if error is not None:
            made = state.document(loaded, source, status="failed", error=error.info)
            raise Unfinished(error.info, Layers(made))
        found = Layers(state.document(loaded, source, status="completed"))
        for name, variant in found.items():
            _warn(name, variant.error)
        return found

    @of_method(ScoreKeywords)
    def inputs(
        self,
        text: str | Sequence[str],
        *,
        context: int | None = None,
        causal: bool = False,
        **settings: Any,
    ) -> Inputs:
        """Read a text, and return what the model gives to its activation and the errors on it.

        `context` is the length of a window in tokens, BOS included: 512, or the model's if smaller.
        With `causal` each function also takes the reference's place for one bin of inputs after
        the other. Settings of sampling and of generation have no effect, nor has `control`. Raises
        `GeluError`, and `Unfinished` as `compare` does.
        """
        chosen = replace(self._chosen(settings), control=False)
        texts, context = texts_of(text), window_of(context)
        command = over_text(p.GateInputs, chosen, texts=texts, context=context, causal=causal)
        gathering = Gathering(p.InputsStarted, ReadInputs)
        with self._lock:
            loaded, error = self._ask(command, gathering.take)
        read = gathering.state
        if read is None:
            raise error or _no_answer()
        source = ScoreSource("text", "the text")
        if error is not None:
            made = read.document(loaded, source, causal=causal, status="failed", error=error.info)
            raise Unfinished(error.info, Inputs(made))
        inputs = Inputs(read.document(loaded, source, causal=causal, status="completed"))
        for name, function in inputs.items():
            _warn(name, function.error)
        return inputs

    def _chosen(self, given: dict[str, Any], **defaults: Any) -> RunSettings:
        """The settings of a call, whose model is the engine's."""
        own: dict[str, Any] = {"model": self._settings.model, "dtype": self._settings.dtype}
        chosen = checked(given, **own, **defaults)
        for name, value in own.items():
            if getattr(chosen, name) != value:
                asked, here = (visible_line(str(x)) for x in (getattr(chosen, name), value))
                message = f"The {name} of this engine is {here}, not {asked}."
                raise UsageError(message, f"Give {name} to another Engine.")
        return chosen

    def _ready(self) -> tuple[EngineThread, p.Loaded]:
        """The running engine with its loaded model, started and loaded where it was not."""
        if self._thread is not None and self._loaded is not None and self._thread.running:
            return self._thread, self._loaded
        self.close()
        loaded: p.Loaded | None = None

        def take(event: p.Event) -> None:
            nonlocal loaded
            if isinstance(event, p.Loaded):
                loaded = event

        self._thread = thread = EngineThread(self._command)
        # Without a `with` nobody may close it.
        weakref.finalize(self, thread.abandon)
        try:
            thread.start()
            error = thread.ask(p.Load(self._settings.model, self._settings.dtype), take)
            if loaded is None:
                raise error or _no_answer()
        except BaseException:
            self.close()
            raise
        self._loaded = loaded
        for warning in loaded.model.warnings:
            warnings.warn(warning, stacklevel=4)
        return thread, loaded

    def _ask(self, command: p.Command, take: Any) -> tuple[p.Loaded, GeluError | None]:
        """Send a command and pass its answers on; return the error that ended it, if one did."""
        thread, loaded = self._ready()
        return loaded, thread.ask(command, take)


def _no_answer() -> GeluError:
    return p.ProtocolError("The engine ended a command without an answer.")


def _warn_of_streams(run: Run, asked: int) -> None:
    room = run.document.settings.max_tokens
    if room < asked:
        message = f"The context has room for {room} tokens after this prompt, not {asked}."
        warnings.warn(message, stacklevel=3)
    for name, variant in run.items():
        _warn(name, variant.error)


def _warn(name: str, error: ErrorInfo | None) -> None:
    if error is not None:
        warnings.warn(f"{name}: {error.message} {error.hint}".strip(), stacklevel=4)
