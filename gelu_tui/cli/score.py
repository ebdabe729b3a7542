"""`gelu-tui score`: teacher-forced statistics over a text, or over a saved run's own stream."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from gelu_tui.cli import options as o
from gelu_tui.cli.conversation import Conversation
from gelu_tui.core import protocol as p
from gelu_tui.core.activations import split_specs
from gelu_tui.core.errors import ErrorInfo, UsageError
from gelu_tui.core.prompt_file import TEXT_LIMIT, decode_text, read_text_file
from gelu_tui.core.requests import score_command
from gelu_tui.core.score_document import ScoreDocument, ScoreSource
from gelu_tui.core.scoring import Scoring


def run_score(
    *,
    text: str | None,
    run: str | None,
    model: str,
    dtype: str | None,
    activations: tuple[str, ...],
    reference: str | None,
    output_format: str,
    color: str,
    engine_command: str | None,
    **chosen: Any,
) -> int:
    """Score and print; returns the exit code. Raises `GeluError`.

    `chosen` are the other fields of `protocol.Score`.
    """
    if (text is None) == (run is None):
        raise UsageError(
            "Either --text or --run says what to score.", "See `gelu-tui score --help`."
        )
    load = p.Load(model, dtype)
    chosen["activations"] = specs = tuple(split_specs(activations))
    chosen["reference"] = o.chosen_reference(specs, reference)
    if text is not None:
        command = score_command(text=_read(text), **chosen)
        source = ScoreSource("text", "stdin" if text == "-" else text)
    else:
        assert run is not None
        load, command = _of_run(run, load, chosen)
        source = ScoreSource("run", run)
    runner = _Runner(source, engine_command)
    asyncio.run(runner.run(load, command))
    runner.print(output_format, color)
    return runner.exit_code()


def _read(name: str) -> str:
    if name != "-":
        return read_text_file(name)
    data = sys.stdin.buffer.read(TEXT_LIMIT + 1) if sys.stdin else b""
    return decode_text(data, "The text on stdin")


def _of_run(run: str, load: p.Load, chosen: dict[str, Any]) -> tuple[p.Load, p.Score]:
    """The prompt and what the reference made of it; options that are not typed are the run's."""
    from gelu_tui.cli.history import dtype_of, saved_run
    from gelu_tui.core.restore import command_of

    document = saved_run(run)
    own = command_of(document)
    if not o.was_given("activations"):
        chosen["activations"] = own.activations
        if not o.was_given("reference"):
            chosen["reference"] = own.reference
    if not o.was_given("activation_precision"):
        chosen["activation_precision"] = own.activation_precision
    if not o.was_given("model"):
        dtype = load.dtype if o.was_given("dtype") else dtype_of(document)
        load = p.Load(document.model.id, dtype)
    stream = document.reference_variant.tokens
    return load, score_command(tokens=(*document.prompt_tokens, *stream), **chosen)


class _Runner:
    """One engine, one load, one text; signals end it early but never lose what there is."""

    def __init__(self, source: ScoreSource, engine_command: str | None) -> None:
        self._source = source
        self._loaded: p.Loaded | None = None
        self._scoring: Scoring | None = None
        # Before the text is begun there is nothing to print, and so nothing to wait for.
        self._conversation = Conversation(engine_command, lambda: self._scoring is not None)

    async def run(self, load: p.Load, command: p.Score) -> None:
        """From start to the last event."""
        await self._conversation.hold(self._take, load, command)

    def _take(self, event: p.AnyEvent) -> bool:
        match event:
            case p.Loaded():
                self._loaded = event
            case p.ScoreStarted():
                self._scoring = Scoring(event)
        if self._scoring is not None:
            self._scoring.apply(event)
        return isinstance(event, p.ScoreFinished)

    @property
    def _error(self) -> ErrorInfo | None:
        finished = self._scoring.finished if self._scoring else None
        return self._conversation.error or (finished.error if finished else None)

    def _document(self) -> ScoreDocument | None:
        """What is scored, if the text had been begun."""
        if self._scoring is None or self._loaded is None:
            return None
        status: p.Status = "failed" if self._error is not None else "completed"
        if self._conversation.signal is not None:
            status = "cancelled"
        return self._scoring.document(self._loaded, self._source, status=status, error=self._error)

    def print(self, output_format: str, color: str) -> None:
        """A report or a document on stdout, and what went wrong on stderr."""
        document = self._document()
        if document is not None and output_format == "json":
            o.print_json(document, indent=2)
        elif document is not None:
            from gelu_tui.cli.console import print_report
            from gelu_tui.core.score_report import score_report

            print_report(score_report(document), color)
        if self._error is not None:
            o.complain(self._error)

    def exit_code(self) -> int:
        """0 done, 1 failed, 128 + the signal's number where one ended it."""
        if self._conversation.signal is not None:
            return 128 + self._conversation.signal
        return o.FAILED if self._error is not None else o.DONE
