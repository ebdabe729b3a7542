"""Controls: the same function, written so that it rounds differently, and where they have room."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.controls import control_of, is_the_function_itself, with_control
from gelu_tui.core.functions.expressions import Call, Variable
from gelu_tui.core.functions.numpy_operations import values
from gelu_tui.core.functions.registry import DEFAULT_SET, NATIVE_OF, REGISTRY
from gelu_tui.core.functions.variants import (
    CONTROL,
    Variant,
    parse_variant,
    parse_variants,
    resolve_reference,
)
from gelu_tui.core.protocol.requests import compare_command
from gelu_tui.core.runs.restore import restore
from gelu_tui.core.settings.run_settings import RunSettings
from tests.support.comparisons import as_older, run_document

OWN = (
    "g=x*sigmoid(1.773*x)",
    "h=x**3-2*x",
    "again=silu(x)",
    "cut=where(x,x,0)",
    "long=x" + "+0*x" * 124,
)
POINTS = [step / 8 for step in range(-480, 481)]
SEVEN = ("gelu", "gelu_approx", "gelu_fast_approx", "relu", "silu", "relu2", "mish")


@pytest.mark.parametrize("spec", [*REGISTRY, *OWN])
def test_a_control_is_its_function_and_finite(spec: str) -> None:
    variant = parse_variant(spec)
    control = control_of(variant)
    assert control.name == CONTROL
    found = values(control.node, POINTS)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, values(variant.node, POINTS), rtol=1e-12, atol=1e-12)


def test_only_what_has_no_other_order_is_its_own_control() -> None:
    same = [n for n in REGISTRY if is_the_function_itself(control_of(parse_variant(n)).formula)]
    assert same == ["relu", "relu2", "identity"]
    assert is_the_function_itself(control_of(parse_variant("again=relu(x)")).formula)
    assert not is_the_function_itself(control_of(parse_variant("mine=max(0,x)")).formula)


def test_the_two_tanh_forms_are_the_controls_of_each_other() -> None:
    for one, other in (("gelu_approx", "keras_gelu_approx"), ("keras_gelu_approx", "gelu_approx")):
        control = control_of(parse_variant(one))
        assert control.node == Call(other, (Variable(),)), "the library's own order"
        assert control.formula == REGISTRY[other].expression


def test_a_function_by_another_name_has_the_functions_control() -> None:
    assert control_of(parse_variant("again=swish(x)")) == control_of(parse_variant("silu"))


# --- which variant is the control -----------------------------------------------------------------


def chosen(
    names: tuple[str, ...], reference: str | None, *, wanted: bool
) -> tuple[list[Variant], int | None]:
    variants = parse_variants(names)
    return with_control(
        variants, resolve_reference(variants, reference, "gelu_approx"), wanted=wanted
    )


@pytest.mark.parametrize("wanted", [False, True])
@pytest.mark.parametrize(
    ("names", "reference", "control"),
    [
        (DEFAULT_SET, None, "keras_gelu_approx"),
        (DEFAULT_SET, "keras", "gelu_approx"),
        (DEFAULT_SET, "gelu", None),
        (("gelu", "gelu_approx"), None, None),
        (("silu", "keras"), "silu", None),
        (("gelu_approx", "again=keras_gelu_approx(x)"), None, None),
    ],
)
def test_a_control_is_added_unless_one_is_chosen(
    names: tuple[str, ...], reference: str | None, control: str | None, wanted: bool
) -> None:
    variants, index = chosen(names, reference, wanted=wanted)
    before = parse_variants(names)
    assert variants[: len(before)] == before
    if control is not None:
        assert index is not None and variants[index].name == control
        assert variants == before
    elif wanted:
        assert index == len(before) and [v.name for v in variants[index:]] == [CONTROL]
    else:
        assert index is None and variants == before


def test_eight_functions_leave_no_room() -> None:
    full = (*SEVEN, "identity")
    assert len(chosen(SEVEN, None, wanted=True)[0]) == 8
    assert len(chosen((*SEVEN, "keras"), None, wanted=True)[0]) == 8
    assert len(chosen(full, None, wanted=False)[0]) == 8
    with pytest.raises(UsageError, match="no room for a control") as caught:
        chosen(full, None, wanted=True)
    assert caught.value.info.kind == "too_many_variants"
    assert caught.value.info.hint


@pytest.mark.parametrize(
    ("names", "reference", "refused"),
    [
        (SEVEN, None, False),
        ((*SEVEN, "identity"), None, True),
        ((*SEVEN, "keras"), "gelu", True),
        ((*SEVEN, "keras"), "gelu_tanh", False),
        # A Gemma 1 refuses it later: there gelu is native.
        ((*SEVEN, "keras"), None, False),
    ],
)
def test_a_command_is_refused_before_a_model_is_needed(
    names: tuple[str, ...], reference: str | None, refused: bool
) -> None:
    assert len(NATIVE_OF) > 1
    settings = RunSettings(activations=names, reference=reference)
    with_one = replace(settings, control=True)
    compare_command("Hi", settings)
    if not refused:
        assert compare_command(
            "Hi", RunSettings(activations=names, reference=reference, control=True)
        ).settings.control
        return
    with pytest.raises(UsageError) as caught:
        compare_command("Hi", with_one)
    assert caught.value.info.kind == "too_many_variants"


@pytest.mark.parametrize("spec", ["control=x", " control = gelu(x)"])
def test_the_name_is_not_for_own_formulas(spec: str) -> None:
    with pytest.raises(UsageError, match="--control adds") as caught:
        parse_variant(spec)
    assert caught.value.info.kind == "formula"


def test_run_again_the_added_control_is_no_choice() -> None:
    texts = {"gelu_approx": ["a", "b"], "silu": ["a", "c"], CONTROL: ["a", "b"]}
    document = run_document(texts=texts, control=CONTROL)
    assert [v.control for v in document.variants] == [False, False, True]
    assert [s.variant.control for s in restore(document).streams] == [False, False, True]
    asked = as_older(document).settings
    assert asked.activations == ("gelu_approx", "silu")
    assert asked.control
    chosen_one = run_document(
        texts={"gelu_approx": ["a"], "keras_gelu_approx": ["a"]}, control="keras_gelu_approx"
    )
    assert as_older(chosen_one).settings.activations == ("gelu_approx", "keras_gelu_approx")


def test_the_protocol_names_the_control() -> None:
    info = p.VariantInfo.of(parse_variant("silu"), "float32", "gelu", control=True)
    assert info == p.VariantInfo("silu", REGISTRY["silu"].formula, "float32", False, True)
