"""The registry against the design, the choice of variants, and the table of errors."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.curves import curve
from gelu_tui.core.functions.expressions import FormulaError
from gelu_tui.core.functions.numpy_operations import values
from gelu_tui.core.functions.registry import DEFAULT_SET, REGISTRY, names
from gelu_tui.core.functions.variants import (
    MAX_VARIANTS,
    has_name,
    is_formula,
    named,
    parse_variant,
    parse_variants,
    resolve_reference,
    split_specs,
)

# name -> aliases, as the design has them
DESIGN = {
    "gelu": {"gelu_exact", "gelu_erf"},
    "gelu_approx": {"gelu_tanh", "gelu_pytorch_tanh", "gelu_new"},
    "gelu_fast_approx": {"quick_gelu", "gelu_sigmoid"},
    "keras_gelu_approx": {"keras"},
    "relu": set(),
    "silu": {"swish"},
    "relu2": set(),
    "mish": set(),
    "identity": set(),
}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def tanh_gelu(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


# written a second time, so that a slip in the registry shows
FUNCTIONS = {
    "gelu": lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2)),
    "gelu_approx": tanh_gelu,
    "gelu_fast_approx": lambda x: x * sigmoid(1.702 * x),
    "keras_gelu_approx": tanh_gelu,
    "relu": lambda x: max(0.0, x),
    "silu": lambda x: x * sigmoid(x),
    "relu2": lambda x: max(0.0, x) ** 2,
    "mish": lambda x: x * math.tanh(math.log(1 + math.exp(x))),
    "identity": lambda x: x,
}


def refused(*specs: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse_variants(list(specs))
    assert caught.value.info.message.endswith(".")
    assert caught.value.info.hint
    return caught.value


# --- the registry ---------------------------------------------------------------------------------


def test_the_registry_is_the_designs() -> None:
    assert {name: set(a.aliases) for name, a in REGISTRY.items()} == DESIGN
    assert set(DEFAULT_SET) <= set(REGISTRY)


def test_every_name_and_alias_is_known_and_means_one_function() -> None:
    every = [name for name, aliases in DESIGN.items() for name in (name, *aliases)]
    assert sorted(names()) == sorted(every)
    for name, aliases in DESIGN.items():
        for alias in aliases:
            assert parse_variant(alias) == parse_variant(name)


@pytest.mark.parametrize("name", REGISTRY)
@settings(max_examples=60, deadline=1000)
@given(x=st.floats(-30, 30))
def test_expressions_are_the_functions(name: str, x: float) -> None:
    assert values(REGISTRY[name].definition, x) == pytest.approx(
        FUNCTIONS[name](x), rel=1e-12, abs=1e-14
    )


@pytest.mark.parametrize(
    ("spec", "error", "at"),
    [
        ("gelu", 0.0, None),
        ("gelu_approx", 4.73e-4, 2.70),
        ("keras_gelu_approx", 4.73e-4, 2.70),
        ("gelu_fast_approx", 0.0203, 2.27),
        ("old=x*sigmoid(1.773*x)", 0.0139, 0.90),
        ("older=x*sigmoid(1.60033*x*(1+0.0433603*x**2))", 2.7e-4, 1.74),
        ("silu", 0.193, 1.97),
        ("relu", 0.170, 0.75),
    ],
)
def test_errors_against_exact_gelu(spec: str, error: float, at: float | None) -> None:
    found = curve(parse_variant(spec))
    assert float(f"{found.error:.{2 if error < 4e-4 else 3}g}") == error
    if at is not None:  # all these errors are even functions, so either side may be named
        assert abs(found.error_at) == pytest.approx(at, abs=0.01)


# --- choosing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "specs"),
    [
        ([], []),
        (["gelu,silu", "relu"], ["gelu", "silu", "relu"]),
        ([" gelu , ,silu,, "], ["gelu", "silu"]),
        (["a=max(x,0),gelu"], ["a=max(x,0)", "gelu"]),
        (["a=where(x,min(x,1),max(x,-1)),b=x"], ["a=where(x,min(x,1),max(x,-1))", "b=x"]),
        (["a=x),b=max(x,0)"], ["a=x)", "b=max(x,0)"]),
        (["a=max(x,b"], ["a=max(x,b"]),
    ],
)
def test_splitting(values: list[str], specs: list[str]) -> None:
    assert split_specs(values) == specs


def test_eight_are_enough() -> None:
    eight = [*list(REGISTRY)[:7], "a=x*2"]
    assert [v.name for v in parse_variants(eight)] == [*list(REGISTRY)[:7], "a"]
    error = refused(*eight, "b=x*3")
    assert error.info.kind == "too_many_variants"
    assert "9 activation functions" in error.info.message
    assert str(MAX_VARIANTS) in error.info.hint


def test_none_is_too_few() -> None:
    assert "No activation function" in refused().info.message


@pytest.mark.parametrize("second", ["silu", "swish"])
def test_twice_the_same_is_refused(second: str) -> None:
    error = refused("silu", "relu", second)
    assert error.info.kind == "duplicate_activation"
    assert "'silu' is chosen twice" in error.info.message
    assert "again=silu(x)" in error.info.hint
    assert parse_variants(["silu", "again=silu(x)"])[1].name == "again"


def test_own_formulas_of_one_name_are_refused() -> None:
    error = refused("a=x", "a=2*x")
    assert error.info.kind == "duplicate_activation"
    assert "name of its own" in error.info.hint


@pytest.mark.parametrize("spec", ["gleu", "GELU", "", "gelu-approx", "2", "e", "g" * 500])
def test_unknown_names(spec: str) -> None:
    error = refused(spec)
    assert error.info.kind == "unknown_activation"
    assert len(error.info.message) < 100
    for name in REGISTRY:
        assert name in error.info.hint


def test_own_formulas() -> None:
    variant = parse_variant(" gelu2024 = x*sigmoid(1.773*x) ")
    assert (variant.name, variant.formula) == ("gelu2024", "x*sigmoid(1.773*x)")
    assert values(variant.node, 2.0) == pytest.approx(2 * sigmoid(3.546))
    again = parse_variant("again=gelu_erf(x)")
    assert values(again.node, 1.25) == values(parse_variant("gelu").node, 1.25)


@pytest.mark.parametrize(
    ("specs", "resolved"),
    [
        ("gelu x*sigmoid(1.7*x)", "gelu f1=x*sigmoid(1.7*x)"),
        ("x*x f1=x f3=2*x -x", "f2=x*x f1=x f3=2*x f4=-x"),
        ("x*x x*x", "f1=x*x f2=x*x"),  # on purpose twice: a control
        ("x swish gelu(x)", "f1=x silu f2=gelu(x)"),
        ("e**2", "f1=e**2"),
    ],
)
def test_a_bare_formula_gets_the_first_free_name(specs: str, resolved: str) -> None:
    assert [variant.spec for variant in parse_variants(specs.split())] == resolved.split()


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("gelu()", "unexpected ')' at character 6"),
        ("2x", "unexpected 'x' at character 2"),
        ("x*sigmoid(1.7*x", "expected ')', found the end at character 16"),
        ("where(x>=0, x, 0)", "unexpected '>' at character 8"),
        ("x==0", "unexpected '=' at character 2"),
        ("x·σ(1.702x)", "unexpected '·' at character 2"),  # as the list shows it
        ("1/x", "is infinite at x = 0"),
    ],
)
def test_a_bare_formula_that_is_wrong_is_refused_as_a_formula(spec: str, reason: str) -> None:
    error = refused("gelu", spec)
    assert error.info.kind == "formula"
    assert reason in error.info.message


FORMULAS = st.recursive(
    st.just("x"),
    lambda inner: st.one_of(
        st.builds("{}{}{}".format, inner, st.sampled_from("+-*"), inner),
        st.builds("{}({})".format, st.sampled_from(["tanh", "gelu", "swish", "abs"]), inner),
        st.builds("max({}, {})".format, inner, inner),
        st.builds("-{}".format, inner),
    ),
    max_leaves=4,
)
SPECS = st.lists(
    st.one_of(
        st.sampled_from(sorted(names())),
        FORMULAS,
        st.builds("{}={}".format, st.sampled_from(["f1", "f2", " f3 ", "own"]), FORMULAS),
    ),
    max_size=12,
)


@settings(max_examples=200)
@given(SPECS)
def test_naming_changes_bare_formulas_alone(specs: list[str]) -> None:
    found = named(specs)
    for spec, resolved in zip(specs, found, strict=True):
        if spec in names() or has_name(spec):
            assert resolved == spec
        else:
            assert has_name(resolved) and is_formula(resolved)
            name, _, formula = resolved.partition("=")
            assert formula == spec
            assert [other.partition("=")[0].strip() for other in found].count(name) == 1
    assert named(found) == found, "what has names keeps them"
    assert named(split_specs([", ".join(specs)])) == [spec.strip() for spec in found]


@pytest.mark.parametrize("name", ["", "2gelu", "my gelu", "a-b", "ä", "a" * 33, "\x1b[0m"])
def test_names_that_cannot_be(name: str) -> None:
    assert "cannot name a formula" in refused(f"{name}=x").info.message


@pytest.mark.parametrize("name", ["gelu", "swish", "keras"])
def test_names_that_are_taken(name: str) -> None:
    assert "already the name" in refused(f"{name}=x").info.message


def test_a_malformed_formula_points_at_the_place() -> None:
    with pytest.raises(FormulaError) as caught:
        parse_variants(["a=x*sigmoid(x"])
    assert caught.value.position == len("x*sigmoid(x")


@pytest.mark.parametrize(
    ("formula", "what", "at"),
    [
        ("1/x", "infinite", "0"),
        ("x/x", "not a number", "0"),
        ("x**-1", "infinite", "0"),
        ("log(x)", "infinite", "0"),
        ("log(x+1)", "infinite", "-1"),
        ("sqrt(x)", "not a number", "-0.125"),
        ("(x-1)**0.5", "not a number", "0"),
        ("exp(x*x)", "infinite", "-9.5"),  # beyond float32, not beyond float64
        ("exp(2*x)/(1+exp(2*x))", "not a number", "44.375"),
        ("1/exp(-2*x)", "infinite", "43.75"),  # exp underflows in float32
        ("where(x, 1, 1/0)*0", "not a number", "0"),
        ("max(x, 0/0)", "not a number", "0"),
        ("min(0/0, x)", "not a number", "0"),
        ("-9**999", "infinite", "0"),
    ],
)
def test_formulas_that_are_not_finite(formula: str, what: str, at: str) -> None:
    error = refused(f"mine={formula}")
    assert error.info.kind == "formula"
    assert f"is {what} at x = {at}." in error.info.message


@given(st.floats(-59.9, 59.9), st.sampled_from(["1/0", "-1/0", "0/0"]))
def test_what_is_not_finite_over_a_five_hundredth_of_x_is_found(x: float, value: str) -> None:
    error = refused(f"mine=where(0.001 - abs(x - ({x:.17f})), {value}, x)")
    assert "A formula is tried at 66,967 values" in error.info.hint


@given(st.integers(0x3580, 0x4000), st.sampled_from([-1, 1]))
def test_the_values_of_bfloat16_near_0_are_all_tried(bits: int, sign: int) -> None:
    x = sign * struct.unpack("<f", struct.pack("<I", bits << 16))[0]
    refused(f"mine=x/(x - ({x:.40f}))")


@pytest.mark.parametrize(
    "formula", ["x/(1+exp(-x))", "exp(x)", "x**3", "1/(1+x**2)", "softplus(2*x)", "abs(x)**0.5"]
)
def test_formulas_that_are_finite(formula: str) -> None:
    assert parse_variant(f"mine={formula}").formula == formula


# --- the reference --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("specs", "reference", "native", "index"),
    [
        ("silu gelu gelu_approx", None, "gelu_approx", 2),
        ("silu gelu", None, "gelu_approx", 0),
        ("silu gelu", None, None, 0),
        ("silu gelu", "gelu_erf", "silu", 1),
        ("swish gelu", "silu", None, 0),
        ("silu mine=x*x", "mine", None, 1),
    ],
)
def test_the_reference(specs: str, reference: str | None, native: str | None, index: int) -> None:
    assert resolve_reference(parse_variants(specs.split()), reference, native) == index


@pytest.mark.parametrize("reference", ["relu", "nonsense", ""])
def test_a_reference_that_is_not_chosen(reference: str) -> None:
    with pytest.raises(UsageError, match="not among the chosen") as caught:
        resolve_reference(parse_variants(["silu", "gelu"]), reference, None)
    assert caught.value.info.hint == "Chosen are silu, gelu."


def test_native_is_marked_only_on_the_registrys_own() -> None:
    chosen = parse_variants(["gelu_tanh", "gelu", "mine=gelu_approx(x)"])
    infos = [p.VariantInfo.of(variant, "model", "gelu_approx") for variant in chosen]
    assert [info.native for info in infos] == [True, False, False]
    assert [info.precision for info in infos] == ["model"] * 3
    assert infos[2].formula == "gelu_approx(x)"
