"""The registry of activation functions, and what the user chose from it.

Every function is defined once, as an expression of `core.expressions`; the engine may run a
library's own kernel of it, and its tests hold that kernel against this definition.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gelu_tui.core.errors import UsageError
from gelu_tui.core.expressions import FormulaError, Node, evaluate, parse
from gelu_tui.core.protocol import Precision, VariantInfo

MAX_VARIANTS = 8
DEFAULT_SET = ("gelu", "gelu_approx", "gelu_fast_approx", "keras_gelu_approx")

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
        Activation("gelu_fast_approx", "x·σ(1.702x)", "x*sigmoid(1.702*x)", ("quick_gelu", "gelu_sigmoid")),
        Activation(
            "keras_gelu_approx",
            "x·[0.5(1+tanh(√(2/π)(x+0.044715·x·x·x)))]",
            "x*(0.5*(1+tanh(sqrt(2/pi)*(x+0.044715*(x*x*x)))))",
            ("keras",),
        ),
        Activation("relu", "max(0,x)", "max(0,x)"),
        Activation("silu", "x·σ(x)", "x*sigmoid(x)", ("swish",)),
        Activation("relu2", "max(0,x)²", "max(0,x)**2"),
        Activation("mish", "x·tanh(ln(1+eˣ))", "x*tanh(softplus(x))"),
        Activation("identity", "x", "x"),
    )
}

# every accepted name -> canonical name
NAMES: dict[str, str] = {
    name: activation.name
    for activation in REGISTRY.values()
    for name in (activation.name, *activation.aliases)
}


@dataclass(frozen=True)
class Variant:
    """An activation function to compare; `node` is set for an own formula, None for the registry's."""

    name: str
    formula: str
    node: Node | None = None

    def info(self, precision: Precision, native_activation: str) -> VariantInfo:
        """This variant as the protocol and the documents name it."""
        native = self.node is None and self.name == native_activation
        return VariantInfo(self.name, self.formula, precision, native)


def split_specs(values: Iterable[str]) -> list[str]:
    """Split `--activations` values at commas that are not inside parentheses."""
    specs: list[str] = []
    for value in values:
        depth, start = 0, 0
        for index, char in enumerate(value):
            depth += (char == "(") - (char == ")")
            if char == "," and depth <= 0:
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


# --- float64 evaluation, for checks and for the table of errors ---------------------------------


def _guarded(function: object) -> object:
    def call(*arguments: float) -> float:
        try:
            return function(*arguments)  # type: ignore[operator, no-any-return]
        except OverflowError:
            return math.inf
        except ValueError:
            return math.nan

    return call


class _Float(float):
    """A float whose division by zero gives inf or nan, as arrays do."""

    def __truediv__(self, other: float) -> _Float:
        if other == 0:
            return _Float(math.nan if self == 0 or self != self else math.copysign(math.inf, self))
        return _Float(float(self) / other)

    def __add__(self, other: float) -> _Float:
        return _Float(float(self) + other)

    def __sub__(self, other: float) -> _Float:
        return _Float(float(self) - other)

    def __mul__(self, other: float) -> _Float:
        return _Float(float(self) * other)

    def __neg__(self) -> _Float:
        return _Float(-float(self))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


class _FloatOperations:
    """float64 scalars, for `expressions.evaluate`."""

    def __init__(self) -> None:
        plain = {
            "exp": math.exp,
            "log": lambda x: math.log(x) if x != 0 else -math.inf,
            "tanh": math.tanh,
            "sigmoid": _sigmoid,
            "erf": math.erf,
            "sqrt": math.sqrt,
            "abs": abs,
            "softplus": lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
            "min": lambda a, b: math.nan if a != a or b != b else min(a, b),
            "max": lambda a, b: math.nan if a != a or b != b else max(a, b),
            "where": lambda condition, a, b: a if condition > 0 else b,
        }
        self.functions = {
            **{name: self._wrap(function) for name, function in plain.items()},
            **{name: self._wrap(self._registry(name)) for name in REGISTRY},
        }

    @staticmethod
    def _wrap(function: object) -> object:
        guarded = _guarded(function)
        return lambda *arguments: _Float(guarded(*arguments))  # type: ignore[operator]

    def _registry(self, name: str) -> object:
        node = parse(REGISTRY[name].expression)
        return lambda x: evaluate(node, _Float(x), self)  # type: ignore[arg-type]

    def number(self, value: float) -> _Float:
        return _Float(value)

    def power(self, base: _Float, exponent: _Float) -> _Float:
        return _Float(_guarded(math.pow)(base, exponent))  # type: ignore[operator]


_operations = _FloatOperations()


def evaluate_float(node: Node, x: float) -> float:
    """The formula at one point, in float64; inf and nan as arrays would give them."""
    return float(evaluate(node, _Float(x), _operations))  # type: ignore[arg-type]


def node_of(variant: Variant) -> Node:
    """The variant's expression, parsed."""
    return variant.node or parse(REGISTRY[variant.name].expression)


_PROBE = [step / 8 for step in range(-480, 481)]  # −60 to 60, beyond which exp leaves float32


def _refuse_not_finite(source: str, node: Node) -> None:
    for x in sorted(_PROBE, key=abs):
        value = evaluate_float(node, x)
        if not math.isfinite(value):
            kind = "not a number" if math.isnan(value) else "infinite"
            raise UsageError(
                f"The formula '{source[:60]}' is {kind} at x = {x:g}.",
                "A formula must be finite for every x from −60 to 60.",
                kind="formula",
            )


def error_against_gelu(variant: Variant) -> tuple[float, float]:
    """Largest absolute difference from exact GELU for x in [−6, 6], and the x where it occurs.

    float64, on a grid of 1/512.
    """
    node, exact = node_of(variant), parse(REGISTRY["gelu"].expression)
    points = (step / 512 for step in range(-6 * 512, 6 * 512 + 1))
    return max(
        ((abs(evaluate_float(node, x) - evaluate_float(exact, x)), x) for x in points),
        key=lambda pair: pair[0],
    )


__all__ = [
    "DEFAULT_SET",
    "MAX_VARIANTS",
    "NAMES",
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
