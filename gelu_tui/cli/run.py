"""`gelu-tui run`: the comparison without the app."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from functools import cached_property

from gelu_tui.cli import options as o
from gelu_tui.cli.interruption import Interruption
from gelu_tui.cli.progress import ProgressLine
from gelu_tui.client import EngineClient
from gelu_tui.core import protocol as p
from gelu_tui.core.comparison import Comparison
from gelu_tui.core.document import ComparisonDocument, document
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.prompt_file import PROMPT_LIMIT, decode_prompt


def run_headless(
    prompt: str,
    options: o.ComparisonOptions,
    *,
    output_format: str,
    color: str,
    engine_command: str | None,
    save_runs: bool,
) -> int:
    """Run one comparison and print it; returns the exit code. Raises `UsageError`."""
    command = options.compare(read_prompt(prompt))
    options.tell_of_idle_sampling()
    runner = _Runner(options.load(), command, engine_command, jsonl=output_format == "jsonl")
    asyncio.run(runner.run())
    try:
        if output_format == "json":
            runner.print_document()
        elif output_format == "text":
            runner.print_report(color)
        runner.tell()
    finally:
        if save_runs:
            runner.save()
    return runner.exit_code()


def read_prompt(argument: str) -> str:
    """The prompt itself, or stdin for '-', without its last line feed. Raises `UsageError`."""
    if argument != "-":
        return _as_utf8(argument)
    data = sys.stdin.buffer.read(PROMPT_LIMIT + 1) if sys.stdin else b""
    return decode_prompt(data, "The prompt on stdin")


def _as_utf8(argument: str) -> str:
    """An argument that the locale could not decode (LC_ALL=C) may still be good UTF-8."""
    if not any("\udc80" <= char <= "\udcff" for char in argument):
        return argument
    try:
        return os.fsencode(argument).decode()
    except UnicodeError:
        return argument


class _Runner:
    """One engine, one load, one comparison; signals end it early but never lose what there is."""

    def __init__(
        self, load: p.Load, command: p.Compare, engine_command: str | None, *, jsonl: bool
    ) -> None:
        self._load = load
        self._command = command
        self._jsonl = jsonl
        self._client = EngineClient(engine_command)
        self._progress = ProgressLine()
        self._loaded: p.Loaded | None = None
        self._comparison: Comparison | None = None
        # Before the first token there is nothing to print, and so nothing to wait for.
        self._interruption = Interruption(self._client, lambda: self._comparison is not None)
        self.error: ErrorInfo | None = None

    async def run(self) -> None:
        """From start to the last event; afterwards `error` says what went wrong, if anything."""
        with self._interruption.watched():
            try:
                await self._client.start()
                if self._interruption.signal is not None:
                    return  # it came before there was an engine to kill
                await self._client.send(self._load)
                # Sent at once: the engine begins as soon as the model is there.
                await self._client.send(self._command)
                async for event in self._events():
                    self._take(event)
                    if self._ends(event):
                        break
            except GeluError as error:
                if self._interruption.signal is None:
                    self.error = error.info
            finally:
                self._progress.clear()
                await self._client.close()

    async def _events(self) -> AsyncIterator[p.AnyEvent]:
        if self._jsonl and self._client.hello is not None:
            yield self._client.hello
        async for event in self._client.events():
            yield event

    def _take(self, event: p.AnyEvent) -> None:
        if self._jsonl:
            o.print_json(event)
        match event:
            case p.Loaded():
                self._loaded = event
            case p.Started():
                self._comparison = Comparison.begin(event)
            case p.Failed():
                self.error = event.error
            case p.Finished():
                self.error = event.error
        if self._comparison is not None:
            self._comparison.apply(event)
        self._progress.show(event, self._comparison)

    @staticmethod
    def _ends(event: p.AnyEvent) -> bool:
        return isinstance(event, p.Finished | p.Failed | p.Cancelled)

    # --- results ----------------------------------------------------------------------------------

    def _status(self) -> p.Status:
        if self._interruption.signal is not None:
            return "cancelled"
        return "failed" if self.error is not None else "completed"

    @cached_property
    def _document(self) -> ComparisonDocument | None:
        """The whole of it, if the comparison had begun."""
        if self._comparison is None or self._loaded is None:
            return None
        return document(self._comparison, self._loaded, status=self._status(), error=self.error)

    def print_document(self) -> None:
        """One JSON document, if the comparison had begun."""
        if self._document is not None:
            o.print_json(self._document, indent=2)

    def save(self) -> None:
        """Into the history, if there are tokens; what hinders that does not fail the run."""
        if self._document is None or not any(v.tokens for v in self._document.variants):
            return
        from gelu_tui.core.history import History

        history = History()
        try:
            history.save(self._document)
        except GeluError as error:
            o.complain(error)
        if (notice := history.pop_notice()) is not None:
            o.complain(notice)

    def print_report(self, color: str) -> None:
        """Streams and a table, if the comparison had begun."""
        if self._document is None:
            return
        from gelu_tui.cli.console import print_report
        from gelu_tui.core.report import comparison_report

        print_report(comparison_report(self._document), color)

    def tell(self) -> None:
        """What belongs to no result: errors, and what was not as asked."""
        if self.error is not None:
            o.complain(self.error)
        settings = self._comparison.settings if self._comparison else None
        if settings is not None and settings.max_tokens < self._command.max_tokens:
            o.complain(
                ErrorInfo(
                    "context",
                    f"The context has room for {settings.max_tokens} tokens after this prompt, "
                    f"not {self._command.max_tokens}.",
                )
            )

    def exit_code(self) -> int:
        """0 done, 1 failed, 128 + the signal's number where one ended it."""
        if self._interruption.signal is not None:
            return 128 + self._interruption.signal
        return o.FAILED if self.error is not None else o.DONE
