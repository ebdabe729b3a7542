"""One engine that answers some commands: progress on stderr, and signals that cancel or kill it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from gelu_tui.cli import options as o
from gelu_tui.client import EngineClient
from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.reports.progress import progress_sentence, transfer_sentence
from gelu_tui.core.safe_text import visible_line

_Answer = TypeVar("_Answer", bound=p.Event)

_CANCEL_GRACE_S = 5.0
_SILENCE_S = 30.0
_PROGRESS_INTERVAL_S = 0.1


class Conversation:
    """Call `hold` or `answer` once; afterwards the attributes are what the engine reported.

    `error` is what ended it early, if anything did, and `signal` the number of the signal that
    came. The first signal cancels the command if there are results to wait for: once a comparison
    or a score has started, and always with `always_cancels`. Else, and at the second signal, the
    engine is killed.
    """

    def __init__(
        self,
        engine_command: str | None,
        *,
        always_cancels: bool = False,
        earlier: Comparison | None = None,
    ) -> None:
        """`earlier` is the comparison that the command makes go on."""
        self._earlier = earlier
        self._client = EngineClient(engine_command)
        self._worth_a_cancel = always_cancels
        self._shows_progress = sys.stderr.isatty()
        self._shown_at = 0.0
        self._silence: asyncio.TimerHandle | None = None
        self.loaded: p.Loaded | None = None
        self.comparison: Comparison | None = None
        self.error: ErrorInfo | None = None
        self._errors_of_functions: list[ErrorInfo] = []
        self.signal: int | None = None

    @property
    def status(self) -> p.Status:
        """How it ended."""
        if self.signal is not None:
            return "cancelled"
        return "failed" if self.error is not None else "completed"

    @property
    def errors(self) -> list[ErrorInfo]:
        """What ended it early, and what ended single functions, each once."""
        found = self._errors_of_functions if self.error is None else [self.error]
        return list(dict.fromkeys([*found, *self._errors_of_functions]))

    @property
    def exit_code(self) -> int:
        """0 done, 1 failed, 128 + the signal's number where one ended it."""
        if self.signal is not None:
            return 128 + self.signal
        return o.FAILED if self.errors else o.DONE

    def hold(self, take: Callable[[p.Event], object], *commands: p.Command) -> None:
        """Send all commands at once and pass every event to `take`, the handshake too."""
        asyncio.run(self._hold(take, commands))

    def answer(self, kind: type[_Answer], *commands: p.Command) -> _Answer | None:
        """Send all commands and return the event of this kind, or None if none came."""
        events: list[p.Event] = []
        self.hold(events.append, *commands)
        return next((event for event in events if isinstance(event, kind)), None)

    async def _hold(
        self, take: Callable[[p.Event], object], commands: tuple[p.Command, ...]
    ) -> None:
        loop = asyncio.get_running_loop()  # which removes the handlers when it is closed
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as a hang-up is under nohup
                loop.add_signal_handler(number, self._on_signal, number)
        try:
            take(await self._client.start())
            if self.signal is not None:
                return  # it came before there was an engine to kill
            self._wait_for_silence()
            async for event in self._client.ask(*commands):
                self._wait_for_silence()
                self._apply(event)
                take(event)
        except GeluError as error:
            if self.signal is None:
                self.error = error.info
        finally:
            if self._silence is not None:
                self._silence.cancel()
            if self._shown_at:
                self._rewrite_line("")
            await self._client.close()

    def _wait_for_silence(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
        loop = asyncio.get_running_loop()
        self._silence = loop.call_later(_SILENCE_S, self._tell_silence)

    def _tell_silence(self) -> None:
        """Once for each silence: whoever waits may not know that there is something to wait for."""
        if self._shown_at:
            self._rewrite_line("")
        message = f"The engine has said nothing for {_SILENCE_S:g} seconds."
        hint = "It may be busy with a large model; Ctrl+C ends it."
        o.complain(ErrorInfo("silent", message, hint))

    def _apply(self, event: p.Event) -> None:
        match event:
            case p.Loaded():
                self.loaded = event
                self._warn(event.model.warnings)
            case p.Started():
                self.comparison = self._earlier or Comparison.begin(event)
                self.comparison.settings = event.settings
                self.comparison.check()
                self._worth_a_cancel = True
            case p.TextStarted():
                self._worth_a_cancel = True
            case p.Failed() | p.Finished() | p.TextFinished():
                self.error = event.error
            case p.StreamFinished(error=ErrorInfo() as error) | p.FunctionFailed(error=error):
                self._errors_of_functions.append(error)
        if self.comparison is not None:
            self.comparison.apply(event)
            if isinstance(event, p.Finished):
                self.comparison.check()
        if self._shows_progress and time.monotonic() - self._shown_at >= _PROGRESS_INTERVAL_S:
            self._show_progress(event)

    def _warn(self, warnings: tuple[str, ...]) -> None:
        if warnings and self._shown_at:
            self._rewrite_line("")
        for warning in warnings:
            o.complain(ErrorInfo("config", warning))

    def _show_progress(self, event: p.Event) -> None:
        match event:
            case p.Progress() if event.unit == "bytes":
                text = transfer_sentence(event)
            case p.Progress():
                text = progress_sentence(event)
            case p.Step() if (comparison := self.comparison) is not None:
                rate = comparison.tokens_per_second or 0.0
                text = f"step {event.step + 1}/{comparison.settings.max_tokens} · {rate:.1f} tok/s"
            case _:
                return
        self._shown_at = time.monotonic()
        self._rewrite_line(visible_line(text)[: shutil.get_terminal_size().columns - 1])

    def hide_progress(self) -> None:
        """Show no more progress on stderr: the terminal shows the results as they come."""
        if self._shown_at:
            self._rewrite_line("")
        self._shows_progress = False
        self._shown_at = 0.0

    def _rewrite_line(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()

    def _on_signal(self, number: int) -> None:
        again = self.signal is not None
        self.signal = self.signal or number
        if again or not self._client.running or not self._worth_a_cancel:
            self._client.kill()
            return
        loop = asyncio.get_running_loop()
        self._cancel = loop.create_task(self._send_cancel())
        loop.call_later(_CANCEL_GRACE_S, self._client.kill)

    async def _send_cancel(self) -> None:
        with contextlib.suppress(GeluError):
            await self._client.send(p.Cancel())
