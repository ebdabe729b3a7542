"""Each command as a process of its own, which most tests spare: it says what the server's says."""

from __future__ import annotations

import pytest

from gelu_tui.cli.tree import _MODULES
from tests.support.command import fake_engine, gelu

WORDS: dict[str, tuple[str, ...]] = {
    "activations": ("--format", "csv"),
    "app": ("hello",),  # needs a terminal
    "bench": ("--tokens", "0"),
    "completion": ("bash",),
    "doctor": ("--help",),
    "engine": (),
    "history": (),
    "inputs": ("--text", "/nowhere"),
    "layers": ("--text", "/nowhere"),
    "man": (),
    "models": ("--engine-command", fake_engine("five")),
    "open": ("1",),
    "run": ("--engine-command", fake_engine("five"), "-a", "gelu,silu", "--format", "csv", "hello"),
    "schema": ("run",),
    "score": ("--text", "/nowhere"),
    "settings": (),
    "show": ("1",),
    "sweep": ("/nowhere",),
}


@pytest.mark.parametrize("command", _MODULES)
def test_a_command_by_itself(env: dict[str, str], command: str) -> None:
    words = (command, *WORDS[command])
    alone = gelu(env, *words, prefix=("env",))
    if command != "engine":  # which tells its process id
        assert gelu(env, *words) == alone
    assert (alone.code in (0, 1, 2)) and (alone.out or alone.err)


def test_a_signal_and_an_exit_code_are_told_as_of_a_process(env: dict[str, str]) -> None:
    assert gelu(env, "nope --misspelt").code == gelu(env, "nope --misspelt", prefix=("env",)).code
