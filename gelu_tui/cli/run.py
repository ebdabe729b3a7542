"""`gelu-tui run`: the comparison without the app."""

from __future__ import annotations

import asyncio
import os
import sys
from functools import cached_property

from gelu_tui.cli import options as o
from gelu_tui.cli.conversation import Conversation
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.protocol.requests import compare_command
from gelu_tui.core.runs.document import ComparisonDocument, document
from gelu_tui.core.settings.user_file import Settings
from gelu_tui.core.text_files import PROMPT_LIMIT, decode_prompt


def run_headless(prompt: str, settings: Settings, output_format: str) -> int:
    """Run one comparison and print it; returns the exit code. Raises `UsageError`."""
    command = compare_command(read_prompt(prompt), settings.of_run())
    o.warn_of_no_effect(settings)
    runner = _Runner(command, settings.engine_command, jsonl=output_format == "jsonl")
    asyncio.run(runner.run())
    try:
        if output_format == "json":
            runner.print_document()
        elif output_format == "text":
            runner.print_report(settings.color)
        runner.tell()
    finally:
        if settings.save_runs:
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

    def __init__(self, command: p.Compare, engine_command: str | None, *, jsonl: bool) -> None:
        self._command = command
        self._jsonl = jsonl
        # Before the first token there is nothing to print, and so nothing to wait for.
        self._engine = Conversation(engine_command, lambda: self._engine.comparison is not None)

    async def run(self) -> None:
        """From start to the last event."""
        take = o.print_json if self._jsonl else lambda _: None
        settings = self._command.settings
        await self._engine.hold(take, p.Load(settings.model, settings.dtype), self._command)

    # --- results ----------------------------------------------------------------------------------

    @cached_property
    def _document(self) -> ComparisonDocument | None:
        """The whole of it, if the comparison had begun."""
        if self._engine.comparison is None or self._engine.loaded is None:
            return None
        return document(
            self._engine.comparison,
            self._engine.loaded,
            status=self._engine.status,
            error=self._engine.error,
        )

    def print_document(self) -> None:
        """One JSON document, if the comparison had begun."""
        if self._document is not None:
            o.print_json(self._document, indent=2)

    def save(self) -> None:
        """Into the history, if there are tokens; what hinders that does not fail the run."""
        if self._document is None or not any(v.tokens for v in self._document.variants):
            return
        from gelu_tui.core.runs.history import History

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
        from gelu_tui.core.reports.terminal import comparison_report

        print_report(comparison_report(self._document), color)

    def tell(self) -> None:
        """What belongs to no result: errors, and what was not as asked."""
        if self._engine.error is not None:
            o.complain(self._engine.error)
        asked, comparison = self._command.settings.max_tokens, self._engine.comparison
        room = comparison.settings.max_tokens if comparison else asked
        if room < asked:
            message = f"The context has room for {room} tokens after this prompt, not {asked}."
            o.complain(ErrorInfo("context", message))

    def exit_code(self) -> int:
        """0 done, 1 failed, 128 + the signal's number where one ended it."""
        return self._engine.exit_code
