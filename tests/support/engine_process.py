"""A real engine process, spoken to in raw JSON lines: what another program would see of it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-P", "-m", "gelu_tui.engine")
TIMEOUT_S = 120.0
ENDLESS = 100_000

# What would make a test depend on who runs it.
_UNWANTED = (
    "NO_COLOR",
    "FORCE_COLOR",
    "COLUMNS",
    "LINES",
    "PYTHONPATH",
    "HF_TOKEN",
    "HF_HUB_CACHE",
    "GELU_TUI_CONFIG",
)


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a process that finds no file of the user's and leaves none behind."""
    kinds = ("CACHE", "STATE", "DATA", "CONFIG")
    folders = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in kinds}
    kept = {name: value for name, value in os.environ.items() if name not in _UNWANTED}
    return {
        **kept,
        **folders,
        "HOME": str(home),
        "HF_HOME": str(home / "hub"),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "80",
        **more,
    }


class EngineProcess:
    """One engine; also a context manager, which leaves no process."""

    def __init__(
        self, env: Mapping[str, str], command: Sequence[str] = COMMAND, cwd: Path | None = None
    ) -> None:
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
        self._lines: queue.Queue[tuple[float, bytes]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put((time.monotonic(), line))
        self._lines.put((time.monotonic(), b""))

    def send(self, *messages: dict[str, Any] | bytes) -> None:
        """Write commands, or raw bytes as they are."""
        assert self.process.stdin is not None
        for message in messages:
            raw = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
            self.process.stdin.write(raw)
        self.process.stdin.flush()

    def next(self, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """The next event; `{}` at the end of the output. Raises `queue.Empty`."""
        _, line = self._lines.get(timeout=timeout_s)
        event = json.loads(line) if line else {}
        # Whatever a test provokes: the last resort is for faults of our own.
        error = event.get("error") or {}
        assert error.get("kind") != "internal", error
        return event

    def until(self, *names: str) -> list[dict[str, Any]]:
        """All events up to the first one of these names; none before it may be a failure."""
        events = []
        while True:
            event = self.next()
            assert event, f"the engine ended before {names}: {events[-3:]}"
            events.append(event)
            if event["event"] in names:
                return events
            assert event["event"] != "failed", event

    def quiet(self, seconds: float) -> bool:
        """Whether nothing is said for a while."""
        try:
            self.next(seconds)
        except queue.Empty:
            return True
        return False

    def wait(self) -> None:
        """Wait until the process has ended. Raises `subprocess.TimeoutExpired`."""
        self.process.wait(TIMEOUT_S)

    def __enter__(self) -> EngineProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def step_count(events: Sequence[dict[str, Any]]) -> int:
    """How many decode steps were told."""
    return sum(event["event"] == "step" for event in events)


def tokens_of(events: Sequence[dict[str, Any]]) -> list[list[int]]:
    """The tokens of each stream."""
    started = next(event for event in events if event["event"] == "started")
    streams: list[list[int]] = [[] for _ in started["variants"]]
    for event in events:
        if event["event"] == "step":
            for step in event["streams"]:
                streams[step["stream"]].append(step["token"])
    return streams


def broken_mlx(folder: Path, reason: str = "broken on purpose") -> None:
    """Put a package into `folder` that cannot be imported, in the place of MLX."""
    (folder / "mlx").mkdir()
    (folder / "mlx" / "__init__.py").write_text(f"raise ImportError({reason!r})\n")


def load(engine: EngineProcess, folder: str) -> dict[str, Any]:
    engine.send({"command": "load", "model": folder})
    event = engine.until("loaded", "failed")[-1]
    assert event["event"] == "loaded", event
    return event


def compare(prompt: str = "the sky is", *activations: str, **more: Any) -> dict[str, Any]:
    names = list(activations) or ["gelu", "relu", "silu"]
    return {"command": "compare", "prompt": prompt, "settings": {"activations": names, **more}}


def failure(engine: EngineProcess) -> dict[str, Any]:
    """The next event, which must be a failure told in one line."""
    event = engine.next()
    assert event["event"] == "failed", event
    error = event["error"]
    assert "\n" not in error["message"] and len(error["message"]) < 300
    assert "Traceback" not in error["message"]
    return {**event, **error}
