"""The registry of activation functions: one row defines everything about a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from gelu_tui.core.functions.expressions import Call, Node, Number, Variable, parse
from gelu_tui.core.models.families import FAMILIES

Precision = Literal["float32", "model"]  # what a function is evaluated in

DEFAULT_SET = ("gelu", "gelu_approx", "gelu_fast_approx", "keras_gelu_approx")


@dataclass(frozen=True)
class Activation:
    """One function of the registry; `formula` is for people, `expression` its definition.

    `other_order` is the same function in another order of operations, for its control: finite
    wherever the function is, empty where no other order rounds differently. `kernel` names a
    function of `mlx.nn` or of `engine.compute.functions`; if empty, the engine evaluates the
    expression.
    """

    name: str
    formula: str
    expression: str
    aliases: tuple[str, ...] = ()
    other_order: str = ""
    kernel: str = ""

    @cached_property
    def definition(self) -> Node:
        return parse(self.expression, names())


_ROWS = (
    Activation(
        "gelu",
        "x·Φ(x), by erf",
        "x*(1+erf(x/sqrt(2)))/2",
        ("gelu_exact", "gelu_erf"),
        other_order="0.5*x+0.5*x*erf(x/sqrt(2))",
        kernel="gelu",
    ),
    Activation(
        "gelu_approx",
        "0.5x(1+tanh(√(2/π)(x+0.044715x³)))",
        "0.5*x*(1+tanh(sqrt(2/pi)*(x+0.044715*x**3)))",
        ("gelu_tanh", "gelu_pytorch_tanh", "gelu_new"),
        other_order="keras_gelu_approx(x)",
        kernel="gelu_approx",
    ),
    # other_order: exp may overflow, and then the quotient is the limit
    Activation(
        "gelu_fast_approx",
        "x·σ(1.702x)",
        "x*sigmoid(1.702*x)",
        ("quick_gelu", "gelu_sigmoid"),
        other_order="x/(1+exp(-1.702*x))",
        kernel="gelu_fast_approx",
    ),
    Activation(
        "keras_gelu_approx",
        "0.5x(1+tanh(√(2/π)·x·(1+0.044715x²)))",
        "0.5*x*(1+tanh(sqrt(2/pi)*x*(1+0.044715*x*x)))",
        ("keras",),
        other_order="gelu_approx(x)",
        kernel="keras_gelu_approx",
    ),
    Activation("relu", "max(0,x)", "max(0,x)", kernel="relu"),
    Activation("silu", "x·σ(x)", "x*sigmoid(x)", ("swish",), "x/(1+exp(-x))", kernel="silu"),
    Activation("relu2", "max(0,x)²", "max(0,x)**2", kernel="relu2"),
    Activation(
        "mish",
        "x·tanh(ln(1+eˣ))",
        "x*tanh(softplus(x))",
        other_order="x/(1+2/(exp(x)*(exp(x)+2)))",
        kernel="mish",
    ),
    Activation("identity", "x", "x"),
)
REGISTRY: dict[str, Activation] = {activation.name: activation for activation in _ROWS}

# what mlx-lm itself computes for each family that is served (Gemma 1 was trained with tanh)
NATIVE_OF: dict[str, tuple[str, ...]] = {
    native: tuple(f.name for f in FAMILIES.values() if f.native_activation == native)
    for native in dict.fromkeys(family.native_activation for family in FAMILIES.values())
}


def names() -> dict[str, str]:
    """Return the canonical name of every accepted name."""
    return {name: row.name for row in REGISTRY.values() for name in (row.name, *row.aliases)}


def registered(node: Node) -> str | None:
    """Return the name of the function if a formula is just its call, like `gelu(x)`, else None."""
    match node:
        case Call(function, (Variable(),)) if function in REGISTRY:
            return function
    return None


def evaluate(node: Node, x: Any, operations: Mapping[str, Callable[..., Any]]) -> Any:
    """Evaluate a formula at `x` with a backend's functions.

    `operations` has one for every name of a `Call`, and `number`, which returns a constant; a
    function of the registry that is missing is evaluated by its definition.
    """
    match node:
        case Number(value):
            return operations["number"](value)
        case Variable():
            return x
        case Call(function, arguments):
            values = [evaluate(argument, x, operations) for argument in arguments]
            if function in operations:
                return operations[function](*values)
            return evaluate(REGISTRY[function].definition, values[0], operations)
