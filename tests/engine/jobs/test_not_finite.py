"""Logits that are not numbers: the cause that is told is the one that was made."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import pytest

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.models import demo
from gelu_tui.engine import device
from gelu_tui.engine.demo import convert
from gelu_tui.engine.jobs.score import score
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, odd_models, tiny_models
from tests.support.commands import comparing

PROMPT = "the sky is"
# Every function of these must get the same word about a model that is broken itself.
FUNCTIONS = ("gelu_approx", "relu", "mine=x*sigmoid(2*x)")


def scaled(**factors: float) -> Callable[[str, mx.array], mx.array]:
    """Multiply the weights whose names hold a word."""

    def change(name: str, value: mx.array) -> mx.array:
        for word, factor in factors.items():
            value = value * factor if word in name else value
        return value

    return change


def with_an_infinity(name: str, value: mx.array) -> mx.array:
    if "layers.1.mlp.up_proj" in name:
        value[0, 0] = float("inf")
    return value


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., LoadedModel]:
    device.prepare()

    def load(change: Callable[[str, mx.array], mx.array], dtype: str | None = None) -> LoadedModel:
        folder = tiny_models.write(tmp_path / "model", "gemma3_text")
        file = str(folder / "model.safetensors")
        weights = mx.load(file)
        assert isinstance(weights, dict)
        changed = {name: change(name, value) for name, value in weights.items()}
        mx.eval(changed)
        mx.save_safetensors(file, changed, metadata={"format": "mlx"})
        return in_process.load(folder, dtype)

    return load


def compared(loaded: LoadedModel, *functions: str, precision: str = "float32") -> list[ErrorInfo]:
    """The errors of the functions' streams; every one must have failed."""
    command = comparing(PROMPT, functions, max_tokens=6, activation_precision=precision)
    comparison = in_process.compare(loaded, command)
    errors = [stream.error for stream in comparison.streams if stream.error is not None]
    assert len(errors) == len(functions)
    return errors


def scored(loaded: LoadedModel, function: str, precision: str = "float32") -> ErrorInfo:
    """The error of a function as the reference of a score."""
    events: list[p.Event] = []
    settings = comparing(PROMPT, (function,), activation_precision=precision).settings
    score(loaded, p.Score(settings, PROMPT * 3), events.append, lambda: False)
    end = events[-1]
    assert isinstance(end, p.ScoreFinished) and end.error is not None
    return end.error


def told(error: ErrorInfo, why: str, hint: str) -> bool:
    assert error.kind == "not_finite"
    assert why in error.message
    assert hint in error.hint
    return True


def test_a_function_that_is_not_finite(tmp_path: Path) -> None:
    device.prepare()
    loaded = in_process.load(odd_models.loud(tmp_path / "loud"))
    for error in (*compared(loaded, odd_models.OVERFLOWS), scored(loaded, odd_models.OVERFLOWS)):
        assert told(error, "the function makes nan or infinity", "another function")


def test_a_formula_that_only_overflows_in_the_models_dtype(
    model: Callable[..., LoadedModel],
) -> None:
    # x**4 leaves float16 at 16, its millionth does not.
    formula, loaded = "f=x*x*x*x/1000000", model(scaled(gate_proj=8), "float16")
    errors = compared(loaded, formula, precision="model")
    for error in (*errors, scored(loaded, formula, "model")):
        assert told(error, "overflows in float16", "--activation-precision float32")
    command = comparing(PROMPT, (formula,), max_tokens=6)
    assert in_process.compare(loaded, command).status == "completed"


@pytest.mark.parametrize("precision", ["float32", "model"])
def test_a_function_whose_values_are_too_large_for_the_dtype(
    model: Callable[..., LoadedModel], precision: str
) -> None:
    loaded = model(scaled(gate_proj=8), "float16")
    formula = "f=x*100000"
    for error in (*compared(loaded, formula, precision=precision), scored(loaded, formula)):
        assert told(error, "too large for float16", "--dtype float32 or bfloat16")


@pytest.mark.parametrize("precision", ["float32", "model"])
def test_a_dtype_that_is_too_narrow_for_the_model(
    model: Callable[..., LoadedModel], precision: str
) -> None:
    loaded = model(scaled(up_proj=1000, gate_proj=100), "float16")
    errors = compared(loaded, *FUNCTIONS, precision=precision)
    for error in (*errors, scored(loaded, FUNCTIONS[2], precision)):
        assert told(error, "float16 is too narrow for this model", "--dtype float32 or bfloat16")
        assert "'gelu_approx', fails too" in error.message


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_weights_that_are_not_finite(model: Callable[..., LoadedModel], dtype: str) -> None:
    loaded = model(with_an_infinity) if dtype == "float32" else None
    if loaded is None:
        with pytest.raises(GeluError, match=r"layers\.1\.mlp\.up_proj.*float16"):
            model(with_an_infinity, dtype)
        return
    for error in (*compared(loaded, *FUNCTIONS), scored(loaded, FUNCTIONS[2])):
        assert told(error, "layers.1.mlp.up_proj.weight' hold nan or infinity", "again")


def test_weights_that_are_finite_and_absurd(model: Callable[..., LoadedModel]) -> None:
    loaded = model(scaled(up_proj=1e38, gate_proj=1e20))
    for error in (*compared(loaded, *FUNCTIONS), scored(loaded, FUNCTIONS[2])):
        assert told(error, "its weights may be damaged", "again")


def test_a_dtype_that_makes_weights_infinite_is_refused(model: Callable[..., LoadedModel]) -> None:
    with pytest.raises(GeluError, match="do not fit float16") as caught:
        model(scaled(down_proj=1e6), "float16")
    assert "--dtype bfloat16 or float32" in caught.value.info.hint
    assert model(scaled(down_proj=1e6), "bfloat16").info.dtype == "bfloat16"


# --- the demo's sums ------------------------------------------------------------------------------


@pytest.fixture
def rotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model in the demo's place, with some bytes changed but sizes and times as before."""
    folder = tiny_models.write(tmp_path / "demo", "gemma3_text")
    monkeypatch.setattr(demo, "folder", lambda: folder)
    names = [path.name for path in folder.iterdir()]
    entries = convert._entries(folder, names, lambda *_: None)
    convert._write_manifest(folder, convert.PACKAGED_SHA256, entries)
    file = folder / "model.safetensors"
    before = file.stat()
    data = bytearray(file.read_bytes())
    data[-40_000:-36_000] = b"\x7e" * 4000  # 8.5e37, which is finite
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    return folder


def test_the_demos_files_are_checked_before_a_function_is_blamed(rotten: Path) -> None:
    device.prepare()
    assert convert._is_current(rotten, convert.PACKAGED_SHA256), "nothing is seen from outside"
    loaded = in_process.load(rotten)
    for error in compared(loaded, *FUNCTIONS):
        assert told(error, "the demo's files have changed", "converted anew")
    assert not convert._is_current(rotten, convert.PACKAGED_SHA256), "the next load converts it"


def test_the_demos_contents_are_checked_once_a_week(rotten: Path) -> None:
    sha, manifest = convert.PACKAGED_SHA256, rotten / demo.MANIFEST
    assert convert._is_current(rotten, sha)
    a_week_ago = manifest.stat().st_mtime - 7 * 24 * 3600
    os.utime(manifest, (a_week_ago, a_week_ago))
    assert not convert._is_current(rotten, sha)
    assert not convert._is_intact(rotten, sha, lambda *_: None)
