"""What the user chose to compare: functions of the registry, and the user's own formulas."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from itertools import count
from typing import TYPE_CHECKING

from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.expressions import Call, Node, Variable, parse, reads_as_formula
from gelu_tui.core.functions.limits import Limits, check_places, goes_on, parse_limits, refused
from gelu_tui.core.functions.registry import REGISTRY, names

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAX_VARIANTS = 8
CONTROL = "control"  # the variant that `--control` adds

_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]{0,31}")
_BEGINS_WITH_NAME = re.compile(r"[^(<>!=]*=(?!=)")  # in `where(x>=0, x, 0)` nothing is named
_LARGEST = 60.0  # formulas are tried up to here, to both sides of 0


@dataclass(frozen=True)
class Variant:
    """A function to compare: one of the registry, or a formula of the user's own.

    With `limits` it is only the reference's function elsewhere; the name then ends with them.
    """

    name: str
    formula: str
    node: Node = field(hash=False)  # name and formula are unique, and hash faster
    limits: Limits | None = None

    @property
    def function(self) -> str:
        """The name without the limits."""
        return function_name(self.name)

    @property
    def is_own(self) -> bool:
        """Whether the user wrote it: a formula, or a function within limits; or it is a control."""
        return self.name not in REGISTRY

    @property
    def aliases(self) -> tuple[str, ...]:
        return () if self.is_own else REGISTRY[self.name].aliases

    @property
    def spec(self) -> str:
        """The text from which `parse_variant` returns this variant."""
        if self.function in REGISTRY:
            return self.name
        return f"{self.function}={self.formula}{self.name.removeprefix(self.function)}"

    def renamed(self, function: str) -> Variant:
        """Return the same formula under another name, within the same limits."""
        return replace(self, name=function + self.name.removeprefix(self.function))


def function_name(name: str) -> str:
    """Return the name of a variant without its limits."""
    return name.partition("@")[0]


def canonical_name(name: str) -> str:
    """Return the name of the variant that a name means: without aliases, its limits in order."""
    function, at, limits = name.partition("@")
    if at:
        with suppress(UsageError):
            limits = str(parse_limits(limits))
    return f"{names().get(function, function)}{at}{limits}"


def split_specs(values: Iterable[str]) -> list[str]:
    """Split `--activations` values at the commas between functions.

    Those inside parentheses, and those of limits (`silu@0-5,12`), are none.
    """
    specs: list[str] = []
    for value in values:
        own: list[str] = []
        for part in _parts(value):
            if own and "@" in own[-1] and goes_on(part):
                own[-1] += f",{part}"
            else:
                own.append(part)
        specs += own
    return specs


def _parts(value: str) -> list[str]:
    """What stands between commas outside of parentheses."""
    parts: list[str] = []
    depth, start = 0, 0
    for index, char in enumerate(value):
        depth = max(0, depth + (char == "(") - (char == ")"))
        if char == "," and depth == 0:
            parts.append(value[start:index])
            start = index + 1
    return [part.strip() for part in (*parts, value[start:]) if part.strip()]


def has_name(spec: str) -> bool:
    """Return whether a spec is `NAME=EXPRESSION`, whatever name and expression are worth."""
    return _BEGINS_WITH_NAME.match(spec) is not None


def is_formula(spec: str) -> bool:
    """Return whether a spec is meant as a formula, with a name or without, and not as a name."""
    function = spec.partition("@")[0]
    return has_name(spec) or (function.strip() not in names() and reads_as_formula(function))


def free_name(taken: Collection[str]) -> str:
    """Return the first of `f1`, `f2`, … that is not taken."""
    return next(name for number in count(1) if (name := f"f{number}") not in taken)


def named(specs: Iterable[str]) -> list[str]:
    """Return the specs with a name of its own for each formula that has none: `f1=x*x`."""
    given = list(specs)
    taken = {spec.partition("=")[0].strip() for spec in given if has_name(spec)}
    found = []
    for spec in given:
        if is_formula(spec) and not has_name(spec):
            taken.add(name := free_name(taken))
            found.append(f"{name}={spec.strip()}")
        else:
            found.append(spec)
    return found


@lru_cache(maxsize=256)
def parse_variant(spec: str) -> Variant:
    """Resolve a name, an alias, `NAME=EXPRESSION`, or a bare formula, which becomes `f1`.

    Each may have limits behind it, as in `silu@0-5,12`. Cached, because checking a formula takes
    milliseconds. Raises `UsageError`.
    """
    (spec,) = named([spec])
    function, limited, text = spec.partition("@")
    if limited and not function.strip():
        raise refused("There is no function before @.")
    variant = _own_formula(spec) if has_name(spec) else _registered(function.strip())
    if not limited:
        return variant
    limits = parse_limits(text)
    return replace(variant, name=f"{variant.name}@{limits}", limits=limits)


def _registered(spec: str) -> Variant:
    canonical = names().get(spec)
    if canonical is None:
        shown = spec if len(spec) <= 40 else spec[:37] + "…"
        message = f"There is no activation function named '{shown}'."
        hint = (
            f"Known are {', '.join(REGISTRY)}; a formula of your own is e.g. x*sigmoid(1.7*x), "
            "or NAME=x*sigmoid(1.7*x)."
        )
        raise UsageError(message, hint, kind="unknown_activation")
    return Variant(canonical, REGISTRY[canonical].formula, Call(canonical, (Variable(),)))


def _own_formula(spec: str) -> Variant:
    name, _, source = spec.partition("=")
    name, source = name.strip(), source.partition("@")[0].strip()
    if not _NAME.fullmatch(name):
        hint = "A name has letters, digits and underscores, at most 32, and starts with a letter."
        if "@" in name:
            hint = "Layers stand behind the formula, as in f=x*sigmoid(1.7*x)@0-5."
        raise UsageError(f"'{name[:40]}' cannot name a formula.", hint, kind="formula")
    # Also without --control: in saved runs and reports its name must mean one thing.
    if name == CONTROL or name in names():
        builtin = "already the name of a built-in activation function"
        owner = "the name of the function that --control adds" if name == CONTROL else builtin
        hint = "Give your formula a name of its own."
        raise UsageError(f"'{name}' is {owner}.", hint, kind="formula")
    node = parse(source, names())
    # numpy takes a tenth of a second to import, and most starts of the app need no formula.
    import numpy as np

    from gelu_tui.core.functions.numpy_operations import values

    xs = _tried()
    ys = values(node, xs)
    if (wrong := np.flatnonzero(~np.isfinite(ys))).size:
        x, y = xs[wrong[0]], ys[wrong[0]]
        message = f"The formula '{source[:60]}' is {'not a number' if np.isnan(y) else 'infinite'}"
        hint = f"A formula is tried at {xs.size:,} values from −60 to 60, and must be finite there."
        raise UsageError(f"{message} at x = {x:g}.", hint, kind="formula")
    return Variant(name, source, node)


@cache
def _tried() -> npt.NDArray[np.float64]:
    """The x at which a formula is tried: round ones first, and those near 0 first.

    A fine grid, and what bfloat16 has near 0, where it is finer; powers of two below.
    """
    import numpy as np

    bfloat16 = (np.arange(0x3580, 0x4000, dtype=np.uint32) << 16).view(np.float32)
    powers = np.ldexp(1.0, np.arange(-126, -20))
    fine = np.concatenate((powers, bfloat16, np.arange(1, 512 * _LARGEST + 1) / 512))
    fine = np.unique(fine.astype(np.float64))
    round_ones = np.arange(1, 8 * _LARGEST + 1) / 8
    both = (np.stack((-xs, xs), axis=-1).ravel() for xs in (round_ones, fine))
    return np.concatenate(([0.0], *both))


def parse_variants(specs: Sequence[str]) -> list[Variant]:
    """Resolve the chosen functions, in order. Raises `UsageError`."""
    variants = [parse_variant(spec) for spec in named(specs)]
    check_variants(variants)
    return variants


def check_variants(variants: Sequence[Variant]) -> None:
    """Raise `UsageError` unless these are one to eight variants of different names.

    One of them must have its function in the whole model.
    """
    if not variants:
        hint = "Choose one to eight with --activations."
        raise UsageError("No activation function is chosen.", hint)
    if len(variants) > MAX_VARIANTS:
        message = f"{len(variants)} activation functions are too many for one comparison."
        hint = f"Choose at most {MAX_VARIANTS}."
        raise UsageError(message, hint, kind="too_many_variants")
    name, count = Counter(variant.name for variant in variants).most_common(1)[0]
    own_name = "Give each formula a name of its own."
    if count > 1:
        function, at, limits = name.partition("@")
        again = f"For a second copy as a control, write again={function}(x){at}{limits}."
        hint = again if function in REGISTRY else own_name
        raise UsageError(f"'{name}' is chosen twice.", hint, kind="duplicate_activation")
    formulas: dict[str, str] = {}
    for variant in variants:
        if formulas.setdefault(variant.function, variant.formula) != variant.formula:
            message = f"'{variant.function}' is the name of two formulas."
            raise UsageError(message, own_name, kind="duplicate_activation")
    if all(variant.limits is not None for variant in variants):
        raise all_limited()


def check_limits(variants: Iterable[Variant], places: Collection[tuple[int, str]]) -> None:
    """Raise `UsageError` where limits name what the model with these places has not."""
    for variant in variants:
        if variant.limits is not None:
            check_places(variant.name, variant.limits, places)


def all_limited(instead: str = "") -> UsageError:
    """Return the error of functions that all have limits; `instead` is what else could be done."""
    message = "All chosen functions are limited to a part of the model, and none is the reference."
    why = "the limited ones use it elsewhere, and are compared with it."
    hint = f"Choose one without @ too{instead}: {why}"
    return UsageError(message, hint, kind="reference")


def limited_reference(name: str, other: str) -> UsageError:
    """Return the error of a reference with limits; `other` is a function without."""
    message = f"'{name[:40]}' cannot be the reference"
    why = "outside of its limits it is itself the reference's function"
    hint = f"Choose one without @, e.g. {other}."
    return UsageError(f"{message}: {why}.", hint, kind="reference")


def resolve_reference(
    variants: Sequence[Variant], reference: str | None, native: str | None
) -> int:
    """Return the index of the reference: the named one, else `native` if chosen, else the first.

    It is none with limits. Raises `UsageError`.
    """
    chosen = [variant.name for variant in variants]
    whole = [variant.name for variant in variants if variant.limits is None]
    if not whole:
        raise all_limited()
    if reference is not None:
        canonical = canonical_name(reference)
        if "@" in canonical:
            raise limited_reference(canonical, whole[0])
        if canonical not in whole:
            named = f"The reference '{reference[:40]}'"
            message = f"{named} is not among the chosen activation functions."
            raise UsageError(message, f"Chosen are {', '.join(whole)}.", kind="reference")
        return chosen.index(canonical)
    return chosen.index(native if native in whole else whole[0])
