"""The registry of activation functions, and what the user chose from it.

Every function is defined once, as an expression of `core.expressions`; the engine may run a
library's own kernel of it, and its tests hold that kernel against this definition.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gelu_tui.core.errors import UsageError
from gelu_tui.core.expressions import FormulaError, Node, evaluate, parse
from gelu_tui.core.families import FAMILIES
from gelu_tui.core.protocol import Precision, VariantInfo

MAX_VARIANTS = 8
CONTROL = "control"  # the variant that `--control` adds

_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]{0,31}")


@dataclass(frozen=True)
class Activation:
    """One function of the registry; `formula` is for people, `expression` is exact."""

    name: str
    formula: str
    expression: str
    aliases: tuple[str, ...] = ()


REGISTRY: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation(
            "gelu",
            "x·Φ(x), by erf",
            "x*(1+erf(x/sqrt(2)))/2",
            ("gelu_exact", "gelu_erf"),
        ),
        Activation(
            "gelu_approx",
            "0.5x(1+tanh(√(2/π)(x+0.044715x³)))",
            "0.5*x*(1+tanh(sqrt(2/pi)*(x+0.044715*x**3)))",
            ("gelu_tanh", "gelu_pytorch_tanh", "gelu_new"),
        ),
        Activation(
            "gelu_fast_approx", "x·σ(1.702x)", "x*sigmoid(1.702*x)", ("quick_gelu", "gelu_sigmoid")
        ),
        Activation(
            "keras_gelu_approx",
            "0.5x(1+tanh(√(2/π)·x·(1+0.044715x²)))",
            "0.5*x*(1+tanh(sqrt(2/pi)*x*(1+0.044715*x*x)))",
            ("keras",),
        ),
        Activation("relu", "max(0,x)", "max(0,x)"),
        Activation("silu", "x·σ(x)", "x*sigmoid(x)", ("swish",)),
        Activation("relu2", "max(0,x)²", "max(0,x)**2"),
        Activation("mish", "x·tanh(ln(1+eˣ))", "x*tanh(softplus(x))"),
        Activation("identity", "x", "x"),
    )
}

# what mlx-lm itself computes for each family that is served (Gemma 1 was trained with tanh)
NATIVE_OF: dict[str, tuple[str, ...]] = {
    native: tuple(f.name for f in FAMILIES.values() if f.native_activation == native)
    for native in dict.fromkeys(family.native_activation for family in FAMILIES.values())
}

# every accepted name -> canonical name
NAMES: dict[str, str] = {
    name: activation.name
    for activation in REGISTRY.values()
    for name in (activation.name, *activation.aliases)
}


@dataclass(frozen=True)
class Variant:
    """A function to compare; `node` is set for an own formula and None for the registry's."""

    name: str
    formula: str
    node: Node | None = None

    @property
    def spec(self) -> str:
        """What `parse_variant` takes to make this variant again."""
        return self.name if self.node is None else f"{self.name}={self.formula}"

    def info(
        self, precision: Precision, native_activation: str, *, control: bool = False
    ) -> VariantInfo:
        """This variant as the protocol and the documents name it."""
        native = self.node is None and self.name == native_activation
        return VariantInfo(self.name, self.formula, precision, native, control)


def split_specs(values: Iterable[str]) -> list[str]:
    """Split `--activations` values at commas that are not inside parentheses."""
    specs: list[str] = []
    for value in values:
        depth, start = 0, 0
        for index, char in enumerate(value):
            depth = max(0, depth + (char == "(") - (char == ")"))
            if char == "," and depth == 0:
                specs.append(value[start:index])
                start = index + 1
        specs.append(value[start:])
    return [spec.strip() for spec in specs if spec.strip()]


def parse_variant(spec: str) -> Variant:
    """Resolve a name, an alias or `NAME=EXPRESSION`. Raises `UsageError`."""
    if "=" in spec:
        return _own_formula(spec)
    canonical = NAMES.get(spec)
    if canonical is None:
        shown = spec if len(spec) <= 40 else spec[:37] + "…"
        raise UsageError(
            f"There is no activation function named '{shown}'.",
            f"Known are {', '.join(REGISTRY)}; a formula of your own is NAME=EXPRESSION.",
            kind="unknown_activation",
        )
    return Variant(canonical, REGISTRY[canonical].formula)


def _own_formula(spec: str) -> Variant:
    name, _, source = spec.partition("=")
    name, source = name.strip(), source.strip()
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"'{name[:40]}' cannot name a formula.",
            "A name has letters, digits and underscores, at most 32, and starts with a letter.",
            kind="formula",
        )
    if name in NAMES:
        raise UsageError(
            f"'{name}' is already the name of a built-in activation function.",
            "Give your formula a name of its own.",
            kind="formula",
        )
    if name == CONTROL:
        # Also without --control: in saved runs and reports the name must mean one thing.
        raise UsageError(
            f"'{CONTROL}' is the name of the function that --control adds.",
            "Give your formula a name of its own.",
            kind="formula",
        )
    node = parse(source, NAMES)
    _refuse_not_finite(source, node)
    return Variant(name, source, node)


def parse_variants(specs: Sequence[str]) -> list[Variant]:
    """Resolve the chosen functions, in order. Raises `UsageError`."""
    variants = [parse_variant(spec) for spec in specs]
    if not variants:
        raise UsageError(
            "No activation function is chosen.", "Choose one to eight with --activations."
        )
    if len(variants) > MAX_VARIANTS:
        raise UsageError(
            f"{len(variants)} activation functions are too many for one comparison.",
            f"Choose at most {MAX_VARIANTS}.",
            kind="too_many_variants",
        )
    seen: set[str] = set()
    for variant in variants:
        if variant.name in seen:
            raise UsageError(
                f"'{variant.name}' is chosen twice.",
                f"For a second copy as a control, write again={variant.name}(x)."
                if variant.node is None
                else "Give each formula a name of its own.",
                kind="duplicate_activation",
            )
        seen.add(variant.name)
    return variants


def resolve_reference(
    variants: Sequence[Variant], reference: str | None, native: str | None
) -> int:
    """Index of the reference: the named one, else the native one if chosen, else the first.

    `native` None leaves that to whoever knows the model; then the first stands in.
    """
    names = [variant.name for variant in variants]
    if reference is not None:
        canonical = NAMES.get(reference, reference)
        if canonical not in names:
            raise UsageError(
                f"The reference '{reference[:40]}' is not among the chosen activation functions.",
                f"Chosen are {', '.join(names)}.",
                kind="reference",
            )
        return names.index(canonical)
    return names.index(native) if native in names else 0


# --- evaluation at a point, for checks and for the table of errors --------------------------------

_FLOAT32_MAX = 3.4028234663852886e38
_FLOAT32_TINY = 1.1754943508222875e-38  # smaller is subnormal, which arrays may flush to zero


class _Float(float):
    """A float64 within float32's range; out of it, and divided by zero, it does as arrays do.

    The range is that of the engine, so that exp(x)/exp(x) is found to fail at x = 60 here already.
    """

    def __new__(cls, value: float) -> _Float:
        if abs(value) > _FLOAT32_MAX:
            value = math.copysign(math.inf, value)
        elif abs(value) < _FLOAT32_TINY:
            value = math.copysign(0.0, value)
        return super().__new__(cls, value)

    def __truediv__(self, other: float) -> _Float:
        if float(other) == 0.0:
            sign = math.copysign(1.0, self) * math.copysign(1.0, other)
            return _Float(
                math.nan if not self or math.isnan(self) else math.copysign(math.inf, sign)
            )
        return _Float(float(self) / other)

    def __add__(self, other: float) -> _Float:
        return _Float(float(self) + other)

    def __sub__(self, other: float) -> _Float:
        return _Float(float(self) - other)

    def __mul__(self, other: float) -> _Float:
        return _Float(float(self) * other)

    def __neg__(self) -> _Float:
        return _Float(-float(self))


def _array_like(function: Callable[..., float]) -> Callable[..., _Float]:
    """Give inf and nan where Python's own functions raise."""

    def call(*arguments: float) -> _Float:
        try:
            return _Float(function(*arguments))
        except OverflowError:
            return _Float(math.inf)
        except ValueError:
            return _Float(math.nan)

    return call


def _power(base: float, exponent: float) -> float:
    return math.inf if base == 0 and exponent < 0 else math.pow(base, exponent)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


class _FloatOperations:
    """The language over `_Float`, for `expressions.evaluate`."""

    def __init__(self) -> None:
        functions: dict[str, Callable[..., float]] = {
            "exp": math.exp,
            "log": lambda x: math.log(x) if x != 0 else -math.inf,
            "tanh": math.tanh,
            "sigmoid": _sigmoid,
            "erf": math.erf,
            "sqrt": math.sqrt,
            "abs": abs,
            "softplus": lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
            "min": lambda a, b: math.nan if math.isnan(a) or math.isnan(b) else min(a, b),
            "max": lambda a, b: math.nan if math.isnan(a) or math.isnan(b) else max(a, b),
            "where": lambda condition, a, b: a if condition > 0 else b,
            **{name: self._registered(name) for name in REGISTRY},
        }
        self.functions = {name: _array_like(function) for name, function in functions.items()}
        self.power = _array_like(_power)

    def _registered(self, name: str) -> Callable[[float], float]:
        node = parse(REGISTRY[name].expression)
        return lambda x: float(evaluate(node, _Float(x), self))

    def number(self, value: float) -> _Float:
        return _Float(value)


_operations = _FloatOperations()


def evaluate_float(node: Node, x: float) -> float:
    """The formula at one point: float64 precision, float32 range, inf and nan as arrays give."""
    return float(evaluate(node, _Float(x), _operations))


def node_of(variant: Variant) -> Node:
    """The variant's expression, parsed."""
    return variant.node or parse(REGISTRY[variant.name].expression)


_PROBE = sorted((step / 8 for step in range(-480, 481)), key=abs)


def _refuse_not_finite(source: str, node: Node) -> None:
    for x in _PROBE:
        value = evaluate_float(node, x)
        if not math.isfinite(value):
            kind = "not a number" if math.isnan(value) else "infinite"
            raise UsageError(
                f"The formula '{source[:60]}' is {kind} at x = {x:g}.",
                "A formula must be finite in float32 for every x from −60 to 60.",
                kind="formula",
            )


def error_against_gelu(variant: Variant) -> tuple[float, float]:
    """Largest absolute difference from exact GELU for x in [−6, 6], and the x where it occurs.

    float64, on a grid of 1/64, refined to 1/1024 around its worst point.
    """
    node, exact = node_of(variant), parse(REGISTRY["gelu"].expression)

    def error(x: float) -> float:
        return abs(evaluate_float(node, x) - evaluate_float(exact, x))

    coarse = max((step / 64 for step in range(-6 * 64, 6 * 64 + 1)), key=error)
    fine = (coarse + step / 1024 for step in range(-16, 17))
    worst = max((x for x in fine if abs(x) <= 6), key=error)
    return error(worst), worst


__all__ = [
    "CONTROL",
    "MAX_VARIANTS",
    "NAMES",
    "NATIVE_OF",
    "REGISTRY",
    "Activation",
    "FormulaError",
    "Variant",
    "error_against_gelu",
    "evaluate_float",
    "node_of",
    "parse_variant",
    "parse_variants",
    "resolve_reference",
    "split_specs",
]
