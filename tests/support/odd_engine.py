"""A child process that behaves as an engine should not; run as `python odd_engine.py WHAT`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

HELLO = {"event": "hello", "protocol": 3, "versions": {}, "log_file": "/the/engine.log"}


def say(document: object) -> None:
    """One line on stdout, at once."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def hello(**changes: object) -> None:
    """The handshake."""
    say({**HELLO, "pid": os.getpid(), **changes})


def progress(label: str) -> None:
    """An event that carries any text."""
    say({"event": "progress", "phase": "load", "label": label, "done": 0, "total": 0,
         "unit": "parts"})  # fmt: skip


def until_the_end() -> None:
    """As an engine: end with stdin."""
    sys.stdin.read()


def echo() -> None:
    """Tell every line of stdin as an event, and end with it."""
    hello()
    for line in sys.stdin:
        progress(line.strip())


def wrong_version() -> None:
    hello(protocol=99)
    until_the_end()


def no_hello() -> None:
    progress("first")
    until_the_end()


def silent() -> None:
    until_the_end()


def deaf() -> None:
    """Read nothing of what is sent."""
    hello()
    time.sleep(60)


def dies_at_once() -> None:
    print("some warning", file=sys.stderr)
    sys.exit("ModuleNotFoundError: No module named \x1b[31m'mlx'")


def dies_quietly() -> None:
    hello()
    sys.exit(7)


def killed() -> None:
    hello()
    os.kill(os.getpid(), signal.SIGKILL)


def aborts() -> None:
    hello()
    print("[METAL] Command buffer execution failed: Insufficient Memory", file=sys.stderr)
    sys.stderr.flush()
    signal.signal(signal.SIGABRT, signal.SIG_DFL)
    os.abort()


def prints_garbage() -> None:
    hello()
    print("Fetching 7 files: 100%", flush=True)
    until_the_end()


def garbage_first() -> None:
    """Greet as a login shell does, then be an engine."""
    print("Welcome to mac.example!\n\n{}\nno line feed> ", end="", flush=True)
    echo()


def garbage_only() -> None:
    for _ in range(10_000):  # more than is skipped
        print("Welcome to mac.example!", flush=True)
    until_the_end()


def huge_line() -> None:
    hello()
    progress("x" * 300_000)
    until_the_end()


def half_a_line() -> None:
    hello()
    sys.stdout.write('{"event":"progress"')
    sys.stdout.flush()


def closes_stdout() -> None:
    hello()
    os.close(1)
    until_the_end()


def talks_on_stderr() -> None:
    hello()
    sys.stderr.write("\r".join(f"{i}%" for i in range(200_000)) + "\nthe last line\n")
    sys.stderr.flush()
    progress("done")
    sys.stdin.read()


def stubborn() -> None:
    """Ignore the end of stdin, SIGTERM and SIGINT, and have a child that does so too."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    hello(versions={"child": str(child.pid)})
    time.sleep(60)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
