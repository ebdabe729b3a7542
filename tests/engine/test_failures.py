"""One table from exceptions to sentences: nothing that a user can bring about falls through it."""

from __future__ import annotations

import errno
import os

import jinja2
import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.memory import Memory
from gelu_tui.engine import failures
from gelu_tui.engine.failures import error_info


def raised(call: object, *arguments: object) -> BaseException:
    """What a call raises, with its traceback."""
    with pytest.raises(BaseException) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value


def bad_template() -> None:
    jinja2.Environment().from_string("{{ 1 / 0 }}").render()


def bad_shapes() -> None:
    mx.eval(mx.ones((2, 3)) @ mx.ones((2, 3)))


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (GeluError("own", "As it is.", "Do this."), "own", "As it is."),
        (MemoryError(), "memory", "Memory ran out"),
        (RuntimeError("[metal::malloc] Unable to allocate 8 bytes."), "memory", "Memory ran out"),
        (RuntimeError("std::bad_alloc"), "memory", "Memory ran out"),
        (ImportError("libx.so: failed to map segment from shared object"), "memory", "ran out"),
        (ImportError("READ THIS " * 90 + "failed to map segment"), "memory", "ran out"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory", "Memory ran out"),
        (OSError(errno.EMFILE, "Too many open files", "/x"), "limit", "The system allows no more"),
        (RuntimeError("can't start new thread"), "limit", "The system allows no more"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full", "The disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full", "The disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "unreadable", "'/x'"),
        (OSError(errno.EIO, "Input/output error", "/x"), "system", "Input/output error"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/allocations"), "system", "/allocations"),
        (ImportError("libmlx.so: cannot open shared object file"), "backend", "without a backend"),
        (ImportError("libcuda.so.1: cannot open shared object file"), "backend", "lacks a library"),
        (ImportError("libnccl.so.2: cannot open shared object file"), "backend", "lacks a library"),
        (RuntimeError("cudaGetDeviceCount(&n) failed: no device"), "backend", "the NVIDIA GPU"),
        (RuntimeError("cudaMallocAsync failed: out of memory"), "memory", "Memory ran out"),
        (ModuleNotFoundError("No module named 'mlx'"), "install", "cannot be imported"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"), "encoding", "not valid"),
        (raised(bad_shapes), "model", "mlx-lm cannot compute this model"),
        (raised(bad_template), "tokenizer", "chat template of this model fails"),
        (raised(Tokenizer.from_str, "{}"), "tokenizer", "fails"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_each_kind(error: BaseException, kind: str, words: str) -> None:
    info = error_info(error)
    assert info.kind == kind
    assert words in info.message
    assert info.hint and "\n" not in info.message


def test_the_limit_that_ends_an_allocation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    limited = Memory(1, 0, 0, limit="the limit of its control group")
    monkeypatch.setattr(failures, "machine_memory", lambda: limited)
    info = error_info(MemoryError())
    assert info.message == "Memory ran out."
    assert info.hint.endswith("a smaller model, or raise the limit of its control group.")


def test_a_panic_of_a_library_in_rust() -> None:
    """It is no `Exception`, and its class cannot be imported."""
    panic = type("PanicException", (BaseException,), {})
    assert error_info(panic("called `Option::unwrap()` on a `None` value")).kind == "tokenizer"


@given(st.sampled_from(sorted(errno.errorcode)), st.text(max_size=20))
def test_whatever_the_system_reports_has_a_sentence(number: int, name: str) -> None:
    info = error_info(OSError(number, os.strerror(number), name))
    assert info.kind != "internal"
    assert info.hint


def test_the_last_resort_is_for_faults_of_our_own() -> None:
    info = error_info(raised(lambda: {}["ours"]))
    assert (info.kind, info.message) == (
        "internal",
        "The engine met an error that it does not know: 'ours'.",
    )
