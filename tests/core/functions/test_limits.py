"""Functions that are limited to layers and kinds of places: how they are written and named."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.limits import KINDS, LAST_LAYER, Limits
from gelu_tui.core.functions.variants import (
    canonical_name,
    check_limits,
    check_variants,
    is_formula,
    named,
    parse_variant,
    parse_variants,
    resolve_reference,
    split_specs,
)


def refused(*specs: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        check_variants([parse_variant(spec) for spec in named(specs)])
    assert caught.value.info.message.endswith(".") and caught.value.info.hint
    return caught.value


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("silu@12,0-5", "silu@0-5,12"),
        ("swish@3,2,1", "silu@1-3"),
        ("silu@4-4,0003", "silu@3-4"),
        ("silu@gate@0-5", "silu@gate@0-5"),
        ("silu@0-5@gate", "silu@gate@0-5"),
        ("silu@experts,mlp", "silu@mlp,experts"),
        ("silu@recurrent@1@gate@0,2", "silu@gate,recurrent@0-2"),
        (" silu @ 0 - 5 , 12 ", "silu@0-5,12"),
        (f"silu@0-{LAST_LAYER}", f"silu@0-{LAST_LAYER}"),
        ("f=x*x@3", "f@3"),
        ("f = x*x @ 3,1", "f@1,3"),
        ("x*x@3", "f1@3"),
    ],
)
def test_the_name_is_the_canonical_form(spec: str, name: str) -> None:
    variant = parse_variant(spec)
    assert variant.name == name
    assert str(variant.limits) == name.partition("@")[2]
    assert variant.function == name.partition("@")[0]
    assert parse_variant(variant.spec) == variant
    assert variant.formula == parse_variant(spec.partition("@")[0].strip()).formula


ALLOWED = "Allowed are layers, as in silu@0-5,12, kinds (mlp, gate,"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("@", "There is no function before @."),
        ("@3", "There is no function before @."),
        ("silu@", "After @ a layer or a kind is missing."),
        ("silu@@3", "After @ a layer or a kind is missing."),
        ("silu@3,,4", "After @ a layer or a kind is missing."),
        ("silu@-1", "'-1' is neither layers nor a kind."),
        ("silu@3-", "'3-' is neither layers nor a kind."),
        ("silu@5-3", "The layers 5-3 end before they begin."),
        ("silu@1e9", "'1e9' is neither layers nor a kind."),
        ("silu@1.5", "'1.5' is neither layers nor a kind."),
        ("silu@0 5", "'0 5' is neither layers nor a kind."),
        ("silu@\u0663", "'\u0663' is neither layers nor a kind."),
        ("silu@layers", "'layers' is neither layers nor a kind."),
        ("silu@mpl", "'mpl' is neither layers nor a kind."),
        ("silu@0-999999999", "'0-999999999' is too high: 999 is the last layer."),
        ("silu@1000", "'1000' is too high: 999 is the last layer."),
        ("silu@gate,3", "'gate,3' has kinds and layers in one list."),
        ("f=x@2*x", "'2*x' is neither layers nor a kind."),
    ],
)
def test_hostile_limits(spec: str, message: str) -> None:
    error = refused("gelu", spec)
    assert error.info.message == message
    assert error.info.hint.startswith(ALLOWED)
    assert all(word in error.info.hint for word in KINDS)


def test_long_limits_are_cut() -> None:
    for text in ("9" * 100_000, "x" * 100_000, "0," * 1000 + "y" * 100_000):
        assert len(refused("gelu", f"silu@{text}").info.message) < 120
    every_other = parse_variant(f"silu@{','.join(map(str, range(0, LAST_LAYER, 2)))}")
    with pytest.raises(UsageError, match="there is no layer 998 for 'silu@0,2,4") as caught:
        check_limits([every_other], [(0, "feed-forward")])
    assert len(caught.value.info.message) < 120


@given(st.text("silu@0123456789-,. e()*+=xgatemlp\u0663\n", max_size=30))
@settings(max_examples=300)
def test_nothing_that_is_typed_raises_anything_else(text: str) -> None:
    try:
        variant = parse_variant(f"silu@{text}")
    except UsageError as error:
        assert error.info.message and error.info.hint
    else:
        assert parse_variant(variant.spec) == variant


RANGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=5)
WORDS = st.lists(st.sampled_from(sorted(KINDS)), max_size=4)


@given(RANGES, WORDS, st.randoms())
@settings(max_examples=200)
def test_what_is_written_in_any_order_means_the_same_places(
    ranges: list[tuple[int, int]], words: list[str], random
) -> None:
    layers = {layer for first, more in ranges for layer in range(first, first + more + 1)}
    written = [f"{first}-{first + more}" if more else f"{first}" for first, more in ranges]
    parts = [",".join(part) for part in (written, words) if part]
    random.shuffle(parts)
    if not parts:
        return
    spec = "@".join(["relu", *parts])
    variant = parse_variant(spec)
    limits = variant.limits
    assert limits is not None
    for layer in range(40):
        for word, kind in KINDS.items():
            wanted = (layer in layers or not layers) and (word in words or not words)
            assert limits.includes(layer, kind) == wanted
    # Equal places have one name, and ranges neither overlap nor meet.
    again = [*written]
    random.shuffle(again)
    single = ",".join(map(str, sorted(layers, reverse=True)))
    for other in (",".join(again), single):
        texts = [other, ",".join(words[::-1])]
        assert parse_variant("@".join(["relu", *filter(None, texts)])) == variant
    assert all(b + 1 < c for (_, b), (c, _) in zip(limits.layers, limits.layers[1:], strict=False))
    assert split_specs([f"gelu,{spec},f=max(x,1)"]) == ["gelu", spec, "f=max(x,1)"]
    assert split_specs([variant.spec]) == [variant.spec]


@pytest.mark.parametrize(
    ("value", "specs"),
    [
        ("gelu,silu@0-5,12,relu", ["gelu", "silu@0-5,12", "relu"]),
        ("silu@0, 3 ,5-7 , relu", ["silu@0,3,5-7", "relu"]),
        ("silu@gate,experts@3,4,mish", ["silu@gate,experts@3,4", "mish"]),
        ("f=max(x,0)@1,2,x*x@7,2*x", ["f=max(x,0)@1,2", "x*x@7", "2*x"]),
        ("silu@0,1e9,-1,relu", ["silu@0,1e9,-1", "relu"]),  # refused as limits
        ("silu,3", ["silu", "3"]),
        ("silu@,3", ["silu@,3"]),
    ],
)
def test_commas_of_limits_divide_no_functions(value: str, specs: list[str]) -> None:
    assert split_specs([value]) == specs
    assert split_specs(specs) == specs


def test_a_number_continues_no_other_value() -> None:
    assert split_specs(["silu@3", "4"]) == ["silu@3", "4"]


def test_a_limited_formula_is_a_formula_and_a_limited_name_is_none() -> None:
    assert is_formula("x*x@3") and is_formula("f=x@3")
    assert not is_formula("silu@0-5") and not is_formula("silu@experts")
    assert "Layers stand behind the formula" in refused("f@3=x").info.hint


def test_limits_are_one_more_variant_of_the_function() -> None:
    variants = parse_variants(["gelu", "relu", "relu@3", "relu@4", "f=x@1", "f=x"])
    assert [variant.name for variant in variants] == [
        "gelu",
        "relu",
        "relu@3",
        "relu@4",
        "f@1",
        "f",
    ]
    assert "'relu@3' is chosen twice." in refused("gelu", "relu@3", "relu@3-3").info.message
    assert refused("gelu", "relu@3", "relu@3-3").info.hint.endswith("again=relu(x)@3.")
    assert "'f' is the name of two formulas." in refused("gelu", "f=x", "f=2*x@3").info.message


def test_a_limited_function_is_never_the_reference() -> None:
    variants = parse_variants(["silu@3", "relu", "gelu"])
    assert resolve_reference(variants, None, "gelu") == 2
    assert resolve_reference(variants, None, "silu") == 1
    for reference in ("silu@3", "swish@3", "gelu@1"):
        with pytest.raises(UsageError, match="cannot be the reference: outside of its limits"):
            resolve_reference(variants, reference, None)
    with pytest.raises(UsageError, match="not among the chosen") as caught:
        resolve_reference(variants, "silu", None)
    assert caught.value.info.hint == "Chosen are relu, gelu."
    error = refused("silu@3", "relu@4")
    assert error.info.kind == "reference"
    assert error.info.message.startswith("All chosen functions are limited")


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("swish", "silu"),
        ("swish@3,1", "silu@1,3"),
        ("f@2,1,mlp", "f@2,1,mlp"),
        ("f@2,1@mlp", "f@mlp@1-2"),
        ("control", "control"),
        ("relu@0 #12", "relu@0 #12"),
        ("", ""),
    ],
)
def test_a_name_in_another_spelling(name: str, canonical: str) -> None:
    assert canonical_name(name) == canonical


def test_they_are_told_and_stored_and_old_documents_have_none() -> None:
    variant = parse_variant("silu@gate@0-5,12")
    info = p.VariantInfo.of(variant, "float32", "silu")
    assert not info.native
    assert info.limits == Limits(((0, 5), (12, 12)), ("gate",))
    assert msgspec.json.decode(msgspec.json.encode(info), type=p.VariantInfo) == info
    old = b'{"name": "silu", "formula": "x", "precision": "float32"}'
    assert msgspec.json.decode(old, type=p.VariantInfo).limits is None
