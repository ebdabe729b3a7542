"""Ctrl+C while there is nothing of ours yet, or nothing any more: no traceback, exit code 130."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Interrupts the process where Python prints a traceback and goes on: in a callback of a weak
# reference, of which the import system has one for each module.
_INTERRUPT = """
import os, signal, sys, weakref

class Thing: pass

def interrupt():
    thing = Thing()
    kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
    del thing
"""
_WHILE_IMPORTING = """
module = sys.argv.pop(1)

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            interrupt()

sys.meta_path.insert(0, Interrupting())
from gelu_tui.cli import main
main()
"""


def python(code: str, *words: str) -> tuple[int, str]:
    """The exit code of some code, and what it wrote."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "module",
    ["gelu_tui.cli.tree", "click", "msgspec", "gelu_tui.cli.run", "asyncio", "gelu_tui.client"],
)
def test_while_modules_are_imported(module: str) -> None:
    words = ("run", "--model", "/nowhere", "x")
    assert python(_INTERRUPT + _WHILE_IMPORTING, module, *words) == (130, "")


def test_while_python_ends() -> None:
    at_exit = "import atexit; atexit.register(interrupt)\nfrom gelu_tui.cli import main\nmain()"
    code, said = python(_INTERRUPT + at_exit, "activations")
    assert code == 130
    assert "Traceback" not in said and "Exception" not in said


def test_afterwards_an_interrupt_is_an_exception_again() -> None:
    code = """
from gelu_tui.cli.interrupts import EndsAtOnce
with EndsAtOnce():
    pass
try:
    os.kill(os.getpid(), signal.SIGINT)
    print("went on")
except KeyboardInterrupt:
    print("raised")
"""
    assert python(_INTERRUPT + code) == (0, "raised\n")


def test_an_interrupt_that_is_ignored_stays_ignored() -> None:
    code = """
from gelu_tui.cli.interrupts import EndsAtOnce
signal.signal(signal.SIGINT, signal.SIG_IGN)
with EndsAtOnce():
    interrupt()
interrupt()
print("went on")
"""
    assert python(_INTERRUPT + code) == (0, "went on\n")


def test_nothing_else_is_imported_before_it_is_guarded() -> None:
    code = (
        "import sys; before = {*sys.modules}; import gelu_tui.cli; print({*sys.modules} - before)"
    )
    exit_code, said = python(code)
    assert exit_code == 0
    assert set(eval(said)) == {"gelu_tui", "gelu_tui.cli"}
