"""Controls as the engine computes them: the function's values, other roundings, one more row."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import pytest

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.noise import noise_floor, times_noise_floor
from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.controls import control_of
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.functions.variants import CONTROL, parse_variant
from gelu_tui.engine import device
from gelu_tui.engine.compute.functions import function_of
from gelu_tui.engine.jobs.request import resolve
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, tiny_models
from tests.support.commands import comparing

PROMPT = "Why is the sky blue?"
ONE_ORDER = ("relu", "relu2", "identity")
SEVERAL = [name for name in REGISTRY if name not in ONE_ORDER]
OWN = ["a=x*sigmoid(1.773*x)", "b=max(0,x)+0.01*x**2", "c=x-tanh(x)"]
DTYPES = [("float32", "float32"), ("bfloat16", "model"), ("float16", "model")]


def inputs(dtype: str) -> mx.array:
    return (mx.random.normal((50_000,), key=mx.random.key(3)) * 2).astype(getattr(mx, dtype))


def both(spec: str, x: mx.array, precision: p.Precision) -> tuple[mx.array, mx.array]:
    variant = parse_variant(spec)
    return function_of(variant, precision)(x), function_of(control_of(variant), precision)(x)


@pytest.mark.parametrize(("dtype", "precision"), DTYPES)
@pytest.mark.parametrize("spec", [*SEVERAL, *OWN])
def test_a_control_rounds_differently_and_no_more_than_that(
    spec: str, dtype: str, precision: p.Precision
) -> None:
    x = inputs(dtype)
    function, control = both(spec, x, precision)
    assert control.dtype == function.dtype == x.dtype
    share = (function != control).astype(mx.float32).mean().item()
    assert 0.05 < share < 0.6, share
    difference = mx.abs(function.astype(mx.float32) - control.astype(mx.float32))
    size = mx.maximum(mx.abs(x), mx.abs(function)).astype(mx.float32)
    # Of the order of the dtype's own steps at the size of what is added up inside.
    assert (difference <= 4 * mx.finfo(x.dtype).eps * mx.maximum(size, 0.1)).all()


@pytest.mark.parametrize(("dtype", "precision"), DTYPES)
@pytest.mark.parametrize("spec", [*REGISTRY, "a=x*sigmoid(1.773*x)"])
def test_a_control_is_finite_where_its_function_is(
    spec: str, dtype: str, precision: p.Precision
) -> None:
    x = mx.arange(-960, 961).astype(getattr(mx, dtype)) / 16
    function, control = both(spec, x, precision)
    assert mx.isfinite(function).all() and mx.isfinite(control).all()


@pytest.mark.parametrize("spec", ONE_ORDER)
def test_what_has_one_order_is_its_own_control_bit_by_bit(spec: str) -> None:
    function, control = both(spec, inputs("float32"), "float32")
    assert mx.array_equal(function, control)


def test_evaluated_in_float32_a_bfloat16_model_sees_no_difference() -> None:
    """Of the two tanh forms: only what is rounded in bfloat16 itself differs there."""
    function, control = both("gelu_approx", inputs("bfloat16"), "float32")
    assert mx.array_equal(function, control)


# --- in a comparison ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    device.prepare()
    return in_process.load(tiny_models.write(tmp_path_factory.mktemp("m"), "gemma3_text"))


@pytest.mark.parametrize("schedule", ["lockstep", "solo"])
@pytest.mark.parametrize("reference", ["gelu", "gelu_approx", "mish", "mine"])
def test_the_control_is_one_more_stream_near_the_reference(
    loaded: LoadedModel, schedule: p.Schedule, reference: str
) -> None:
    names = ("silu", "gelu", "gelu_approx", "mish", "mine=x*sigmoid(1.773*x)")
    command = comparing(PROMPT, names, reference, max_tokens=6, schedule=schedule, control=True)
    comparison = in_process.compare(loaded, command)
    assert [stream.name for stream in comparison.streams][-1] == CONTROL
    assert [stream.variant.control for stream in comparison.streams] == [False] * 5 + [True]
    floor = noise_floor(comparison)
    assert floor is not None and floor.control == CONTROL
    assert 0 < floor.mean_kl < 1e-6 and floor.steps == 6
    for stream in comparison.streams[:-1]:
        if stream is not comparison.reference:
            multiple = times_noise_floor(comparison, stream)
            assert multiple is not None and multiple > 100, stream.name


def test_the_control_of_relu_is_relu(loaded: LoadedModel) -> None:
    command = comparing(PROMPT, ("relu", "silu"), "relu", max_tokens=6, control=True)
    comparison = in_process.compare(loaded, command)
    floor = noise_floor(comparison)
    assert floor is not None and floor.max_kl == 0.0
    assert comparison.streams[2].tokens == comparison.reference.tokens


def test_the_engine_marks_a_chosen_control(loaded: LoadedModel) -> None:
    for control in (False, True):
        command = comparing(PROMPT, ("keras", "gelu_approx", "gelu"), control=control)
        variants = resolve(loaded, command).started.variants
        assert [(v.name, v.control) for v in variants] == [
            ("keras_gelu_approx", True), ("gelu_approx", False), ("gelu", False)
        ]  # fmt: skip


def test_there_is_no_room_where_gelu_turns_out_to_be_native(tmp_path: Path) -> None:
    device.prepare()
    gemma = in_process.load(tiny_models.write(tmp_path, "gemma"))
    names = tuple(name for name in REGISTRY if name != "identity")
    command = comparing(PROMPT, names, control=True)
    with pytest.raises(UsageError, match="no room for a control"):
        resolve(gemma, command)
