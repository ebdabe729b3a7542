"""`gelu-tui score`: teacher-forced statistics over a text, or over a saved run's own stream."""

from __future__ import annotations

import asyncio
import sys

from msgspec.structs import replace

from gelu_tui.cli import options as o
from gelu_tui.cli.conversation import Conversation
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import UsageError
from gelu_tui.core.protocol.requests import score_command
from gelu_tui.core.scoring.document import ScoreDocument, ScoreSource
from gelu_tui.core.scoring.statistics import Scoring
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.user_file import Settings
from gelu_tui.core.text_files import TEXT_LIMIT, decode_text, read_text_file


def run_score(
    settings: Settings,
    *,
    text: str | None,
    run: str | None,
    context: int | None,
    output_format: str,
) -> int:
    """Score and print; returns the exit code. Raises `GeluError`."""
    if (text is None) == (run is None):
        raise UsageError(
            "Either --text or --run says what to score.", "See `gelu-tui score --help`."
        )
    if text is not None:
        command = score_command(settings.of_run(), text=_read(text), context=context)
        source = ScoreSource("text", "stdin" if text == "-" else text)
    else:
        assert run is not None
        command = _of_run(run, settings.of_run(), context)
        source = ScoreSource("run", run)
    runner = _Runner(source, settings.engine_command)
    asyncio.run(runner.run(command))
    runner.print(output_format, settings.color)
    return runner.exit_code()


def _read(name: str) -> str:
    if name != "-":
        return read_text_file(name)
    data = sys.stdin.buffer.read(TEXT_LIMIT + 1) if sys.stdin else b""
    return decode_text(data, "The text on stdin")


def _of_run(run: str, settings: RunSettings, context: int | None) -> p.Score:
    """The prompt and what the reference made of it; settings that are not typed are the run's."""
    from gelu_tui.cli.history import saved_run

    document = saved_run(run)
    for names in (("model", "dtype"), ("activations", "reference"), ("activation_precision",)):
        if not o.was_given(names[0]):
            own = {x: getattr(document.settings, x) for x in names if not o.was_given(x)}
            settings = replace(settings, **own)
    tokens = (*document.prompt_tokens, *document.reference_variant.tokens)
    return score_command(settings, tokens=tokens, context=context)


class _Runner:
    """One engine, one load, one text; signals end it early but never lose what there is."""

    def __init__(self, source: ScoreSource, engine_command: str | None) -> None:
        self._source = source
        self._scoring: Scoring | None = None
        # Before the text is begun there is nothing to print, and so nothing to wait for.
        self._engine = Conversation(engine_command, lambda: self._scoring is not None)

    async def run(self, command: p.Score) -> None:
        """From start to the last event."""
        load = p.Load(command.settings.model, command.settings.dtype)
        await self._engine.hold(self._take, load, command)

    def _take(self, event: p.Event) -> None:
        if isinstance(event, p.ScoreStarted):
            self._scoring = Scoring(event)
        if self._scoring is not None:
            self._scoring.apply(event)

    def _document(self) -> ScoreDocument | None:
        """What is scored, if the text had been begun."""
        if self._scoring is None or self._engine.loaded is None:
            return None
        engine = self._engine
        return self._scoring.document(
            self._engine.loaded, self._source, status=engine.status, error=engine.error
        )

    def print(self, output_format: str, color: str) -> None:
        """A report or a document on stdout, and what went wrong on stderr."""
        document = self._document()
        if document is not None and output_format == "json":
            o.print_json(document, indent=2)
        elif document is not None:
            from gelu_tui.cli.console import print_report
            from gelu_tui.core.reports.score import score_report

            print_report(score_report(document), color)
        if self._engine.error is not None:
            o.complain(self._engine.error)

    def exit_code(self) -> int:
        """0 done, 1 failed, 128 + the signal's number where one ended it."""
        return self._engine.exit_code
