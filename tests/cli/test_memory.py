"""Little memory is told by its cause, and nothing waits for memory that never comes."""

from __future__ import annotations

import errno
import sys

import pytest

from gelu_tui.cli import main, tree
from tests.support.command import complaint, gelu

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to this limit")


def limited(megabytes: int) -> tuple[str, ...]:
    return ("sh", "-c", f'ulimit -v {megabytes * 1000} && exec "$@"', "sh")


@pytest.mark.parametrize("megabytes", [150, 400])
def test_too_little_for_the_libraries(env: dict[str, str], model: str, megabytes: int) -> None:
    done = gelu(env, "run", "--model", model, "x", prefix=limited(megabytes))
    told, advice = complaint(done, 1)
    assert told.startswith("MLX and its libraries need 400 MB of memory, and ")
    assert told.endswith("are free under the limit of address space (ulimit -v).")
    assert advice == "Raise that limit."


@pytest.mark.parametrize("words", ["run x", "history", "models", "doctor", "--help"])
@pytest.mark.parametrize("megabytes", [40, 60])
def test_too_little_for_anything(env: dict[str, str], words: str, megabytes: int) -> None:
    done = gelu(env, *words.split(), prefix=limited(megabytes))
    told, advice = complaint(done, 1)
    assert told == "Memory ran out."
    assert advice.startswith("Raise the limit of address space (ulimit -v)")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        ImportError("x.so: failed to map segment from shared object"),
        SystemError("error return without exception set"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_too_little_for_the_command_itself(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> int:
        raise error

    monkeypatch.setattr(tree, "run_tree", fails)
    monkeypatch.setattr("os._exit", sys.exit)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert capsys.readouterr().err.splitlines()[0] == "gelu-tui: Memory ran out."


def test_too_little_for_another_blas_is_enough(env: dict[str, str], model: str) -> None:
    words = ("run", "--model", model, "--max-tokens", "3", "x")
    done = gelu(env, *words, prefix=limited(1000))
    assert (done.code, done.err) == (0, "")
