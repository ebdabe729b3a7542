"""The registry of activation functions: a row says everything about a function."""

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
    """One function of the registry.

    Attributes:
        formula: The function as people write it.
        expression: Its definition, in the language of `core.expressions`.
        aliases: Other names that are accepted.
        other_order: The same function in another order of operations, for its control; finite
            wherever the function is. Empty where no other order rounds differently.
        kernel: The engine's own function for it: one of `mlx.nn`, or of `engine.functions`. Empty
            where the engine evaluates the expression.
    """

    name: str
    formula: str
    expression: str
    aliases: tuple[str, ...] = ()
    other_order: str = ""
    kernel: str = ""

    @cached_property
    def definition(self) -> Node:
        """`expression`, parsed."""
        return parse(self.expression, names())


REGISTRY: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation(
            "gelu",
            "x·Φ(x), by erf",
            "x*(1+erf(x/sqrt(2)))/2",
            aliases=("gelu_exact", "gelu_erf"),
            other_order="0.5*x+0.5*x*erf(x/sqrt(2))",
            kernel="gelu",
        ),
        Activation(
            "gelu_approx",
            "0.5x(1+tanh(√(2/π)(x+0.044715x³)))",
            "0.5*x*(1+tanh(sqrt(2/pi)*(x+0.044715*x**3)))",
            aliases=("gelu_tanh", "gelu_pytorch_tanh", "gelu_new"),
            other_order="keras_gelu_approx(x)",
            kernel="gelu_approx",
        ),
        Activation(
            "gelu_fast_approx",
            "x·σ(1.702x)",
            "x*sigmoid(1.702*x)",
            aliases=("quick_gelu", "gelu_sigmoid"),
            # exp may overflow, and then the quotient is what it tends to
            other_order="x/(1+exp(-1.702*x))",
            kernel="gelu_fast_approx",
        ),
        Activation(
            "keras_gelu_approx",
            "0.5x(1+tanh(√(2/π)·x·(1+0.044715x²)))",
            "0.5*x*(1+tanh(sqrt(2/pi)*x*(1+0.044715*x*x)))",
            aliases=("keras",),
            other_order="gelu_approx(x)",
            kernel="keras_gelu_approx",
        ),
        Activation("relu", "max(0,x)", "max(0,x)", kernel="relu"),
        Activation(
            "silu",
            "x·σ(x)",
            "x*sigmoid(x)",
            aliases=("swish",),
            other_order="x/(1+exp(-x))",
            kernel="silu",
        ),
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
}

# what mlx-lm itself computes for each family that is served (Gemma 1 was trained with tanh)
NATIVE_OF: dict[str, tuple[str, ...]] = {
    native: tuple(f.name for f in FAMILIES.values() if f.native_activation == native)
    for native in dict.fromkeys(family.native_activation for family in FAMILIES.values())
}


def names() -> dict[str, str]:
    """Every accepted name, to the canonical one."""
    return {
        name: activation.name
        for activation in REGISTRY.values()
        for name in (activation.name, *activation.aliases)
    }


def registered(node: Node) -> str | None:
    """The function that a formula only calls, as `gelu(x)` does; None for other formulas."""
    match node:
        case Call(function, (Variable(),)) if function in REGISTRY:
            return function
    return None


def evaluate(node: Node, x: Any, operations: Mapping[str, Callable[..., Any]]) -> Any:
    """Evaluate a formula over the arrays of one backend.

    Args:
        node: The formula.
        x: Its input, an array or a number.
        operations: The backend's function for every name of a `Call`, and `number`, which returns
            a constant. A function of the registry that is not among them is evaluated by its
            definition.
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
