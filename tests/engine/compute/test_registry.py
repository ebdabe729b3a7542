"""Adding a function is one row: everything that knows functions takes it from there."""

from __future__ import annotations

import json
from collections.abc import Iterator

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from gelu_tui.cli.activations import activations_command
from gelu_tui.core.functions.controls import control_of, is_the_function_itself
from gelu_tui.core.functions.curves import curve
from gelu_tui.core.functions.numpy_operations import values
from gelu_tui.core.functions.registry import REGISTRY, Activation
from gelu_tui.core.functions.variants import parse_variant, resolve_reference
from gelu_tui.engine.compute.functions import _operations, function_of

X = np.linspace(-8, 8, 129, dtype=np.float32)
EXPECTED = X * np.clip(X + 3, 0, 6) / 6


@pytest.fixture(params=["", "hardswish"], ids=["no kernel", "a kernel of MLX"])
def row(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Activation]:
    added = Activation(
        "hard_silu",
        "x·min(max(x+3,0),6)/6",
        "x*min(max(x+3,0),6)/6",
        aliases=("hard_swish",),
        other_order="x/6*min(max(x+3,0),6)",
        kernel=request.param,
    )
    monkeypatch.setitem(REGISTRY, added.name, added)
    caches = parse_variant, curve, _operations
    for cached in caches:
        cached.cache_clear()
    yield added
    for cached in caches:
        cached.cache_clear()


@pytest.mark.parametrize("spec", ["hard_silu", "hard_swish", "mine=hard_swish(x)", "control"])
def test_a_row_is_computed_by_numpy_and_by_mlx(row: Activation, spec: str) -> None:
    variant = control_of(parse_variant(row.name)) if spec == "control" else parse_variant(spec)
    np.testing.assert_allclose(values(variant.node, X), EXPECTED, rtol=1e-6, atol=1e-7)
    for precision in ("float32", "model"):
        found = np.array(function_of(variant, precision)(mx.array(X)))
        np.testing.assert_allclose(found, EXPECTED, rtol=1e-5, atol=1e-6)


def test_a_row_has_its_kernel(row: Activation) -> None:
    kernel = _operations(mx.float32).get(row.name)
    assert kernel is (nn.hardswish if row.kernel else None)


def test_a_row_has_its_control(row: Activation) -> None:
    control = control_of(parse_variant("again=hard_swish(x)"))
    assert control.formula == row.other_order
    assert not is_the_function_itself(control.formula)


def test_a_row_is_chosen_by_any_name(row: Activation) -> None:
    variants = [parse_variant("gelu"), parse_variant("hard_swish")]
    assert variants[1].formula == row.formula and variants[1].aliases == row.aliases
    assert resolve_reference(variants, "hard_swish", None) == 1


@pytest.mark.parametrize("output_format", ["text", "json"])
def test_a_row_is_listed(
    row: Activation, output_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    activations_command(["--format", output_format, "--color", "never"], standalone_mode=False)
    printed = capsys.readouterr().out
    if output_format == "text":
        assert row.formula in printed and "hard_swish" in printed
        return
    entry = json.loads(printed)["activations"][-1]
    assert (entry["name"], entry["expression"]) == (row.name, row.expression)
    assert entry["max_error"] == curve(parse_variant(row.name)).error > 0.1
