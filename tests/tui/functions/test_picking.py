"""The picker's state, without a screen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.registry import DEFAULT_SET
from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.compare.choices import chosen_variants
from gelu_tui.tui.functions.picking import SETS, Picking


def choices(*activations: str, reference: str | None = None) -> RunSettings:
    return RunSettings(activations=activations, reference=reference)


def picking(*activations: str, reference: str | None = None) -> Picking:
    return Picking(choices(*activations, reference=reference), "gelu_approx")


def names(it: Picking) -> list[str]:
    return [variant.name for variant in it.chosen]


def test_the_chosen_come_first_in_their_order() -> None:
    it = picking("silu", "mine=x*x", "gelu")
    assert [row.variant.name for row in it.rows[:4]] == ["silu", "mine", "gelu", "gelu_approx"]
    assert [it.number(index) for index in range(4)] == [1, 2, 3, None]
    assert not it.changed


def test_toggling_twice_changes_nothing() -> None:
    it = picking("gelu", "silu")
    it.toggle(0)
    assert it.changed and names(it) == ["silu"] and it.number(1) == 1
    it.toggle(0)
    assert not it.changed and names(it) == ["gelu", "silu"]


def test_moving_jumps_over_what_is_not_chosen() -> None:
    it = picking("gelu", "silu", "relu")
    it.toggle(1)
    assert it.move(2, "up") == 0
    assert names(it) == ["relu", "gelu"]
    assert it.move(0, "up") == 0, "there is nothing above the first"
    with pytest.raises(UsageError, match="Only chosen"):
        it.move(it.index("silu") or 0, "down")


def test_the_reference() -> None:
    it = picking("gelu", "gelu_approx")
    assert it.effective_reference() == "gelu_approx"
    it.refer(0)
    assert it.reference == it.effective_reference() == "gelu"
    it.toggle(0)
    assert it.reference is None
    it.refer(it.index("relu") or 0)
    assert it.reference == "relu" and "relu" in names(it)
    it.refer(it.index("relu") or 0)
    assert it.reference is None
    unknown_model = Picking(choices("gelu", "gelu_approx"), None)
    assert unknown_model.effective_reference() is None


def test_adding_and_removing() -> None:
    it = picking("gelu", "silu")
    assert it.add(parse_variant("mine=x*x")) == 2
    assert names(it) == ["gelu", "silu", "mine"]
    assert it.add(parse_variant("mine=x*x*x")) == 2
    assert it.result().activations == ("gelu", "silu", "mine=x*x*x")
    it.remove(2)
    assert not it.changed
    with pytest.raises(UsageError, match="own formulas"):
        it.remove(0)


def test_more_than_eight_and_none() -> None:
    it = picking(*SETS[2][1])
    with pytest.raises(UsageError, match="8 functions are the most"):
        it.toggle(8)
    index = it.add(parse_variant("mine=x*x"))
    assert not it.rows[index].chosen, "it is in the list, and the eight stay"
    for row in range(8):
        it.toggle(row)
    with pytest.raises(UsageError, match="No activation function"):
        it.result()


def test_the_sets_go_round_and_come_back() -> None:
    it = picking("mine=x*x", "relu", reference="relu")
    seen = []
    for _ in SETS:
        it.next_set()
        seen.append(names(it))
        assert it.index("mine") is not None, "own formulas stay in the list"
    assert seen[0] == list(DEFAULT_SET)
    assert len(seen[1]) == 6 and "gelu_fast_mlx04" in seen[1]
    assert len(seen[2]) == 8 and "identity" not in seen[2]
    assert it.next_set() == "as it was before"
    assert not it.changed
    it.next_set()
    it.toggle(0)
    for _ in range(len(SETS) + 1):
        it.next_set()
    assert names(it) == list(DEFAULT_SET[1:]), "a change by hand is what the sets come back to"


def test_own_formulas_are_listed_and_none_hides_another() -> None:
    chosen = choices("gelu", "f1=x*x")
    own = [parse_variant(f"{name}") for name in ("f1=x*x", "f1=2*x", "f2=3*x", "c=1", "gelu(x)")]
    it = Picking(chosen, None, own)
    assert it.formulas == ("f1=x*x", "f3=2*x", "f2=3*x", "c=1", "f4=gelu(x)")
    assert names(it) == ["gelu", "f1"] and not it.changed
    it.remove(it.index("c") or 0)
    assert it.changed, "a formula that was not chosen is lost, too"


def test_a_bare_formula_has_the_name_of_its_row_or_a_free_one() -> None:
    it = picking("gelu", "f1=x*x", "mine=max(x, 0)")
    assert it.spec(" max( x,0 ) ") == "mine=max( x,0 )"
    assert it.spec("gelu(x)") == "f2=gelu(x)"
    assert it.spec(" a = x ") == "a = x"
    assert [it.is_formula(text) for text in ("x", "mine", "gelu", "relux", "a=", "(")] == [
        True, False, False, False, True, True,
    ]  # fmt: skip


def test_functions_with_limits() -> None:
    it = picking("gelu_approx", "relu@0-5")
    assert it.is_formula("silu@12,0-5") and it.is_formula("silu@") and not it.is_formula("relu@0-5")
    assert it.spec(" silu@12,0-5 ") == "silu@12,0-5"
    at = it.add(parse_variant(it.spec("silu@12,0-5")))
    assert names(it) == ["gelu_approx", "relu@0-5", "silu@0-5,12"]
    assert it.formulas == ("relu@0-5", "silu@0-5,12")
    assert it.result().activations == ("gelu_approx", "relu@0-5", "silu@0-5,12")
    with pytest.raises(UsageError, match="'silu@0-5,12' cannot be the reference"):
        it.refer(at)
    it.toggle(0)
    assert it.effective_reference() is None
    with pytest.raises(UsageError, match="All chosen functions are limited"):
        it.result()
    it.undo()
    it.remove(at)
    assert names(it) == ["gelu_approx", "relu@0-5"] and not it.changed


def test_formulas_with_limits_have_the_name_of_the_same_formula() -> None:
    it = picking("gelu", "f1=x*x@3", "relu@1")
    assert it.spec("x * x@4") == "f1=x * x@4"
    assert it.spec("x*x") == "f1=x*x"
    assert it.spec("max(0,x)@3") == "f2=max(0,x)@3", "relu's formula, but not its name"
    own = [parse_variant(spec) for spec in ("f1=x*x@3", "f1=2*x@3", "relu@1")]
    it = Picking(choices("gelu", "f1=x*x@3"), None, own)
    assert it.formulas == ("f1=x*x@3", "f2=2*x@3", "relu@1")


def test_finding() -> None:
    it = picking("gelu")
    assert it.rows[it.find("mis") or 0].variant.name == "mish"
    assert it.rows[it.find("SWISH") or 0].variant.name == "silu"
    assert it.rows[it.find("fast") or 0].variant.name == "gelu_fast_approx"
    assert it.find("nothing like it") is None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["toggle", "up", "down", "refer", "remove", "add", "set", "undo"]),
        st.integers(0, 20),
    ),
    max_size=30,
)


@given(STEPS)
def test_whatever_is_done_it_can_be_run_or_says_why(steps: list[tuple[str, int]]) -> None:
    it = picking("gelu", "gelu_approx", "own=x*x")
    for what, number in steps:
        index = number % len(it.rows)
        act = {
            "toggle": lambda index=index: it.toggle(index),
            "up": lambda index=index: it.move(index, "up"),
            "down": lambda index=index: it.move(index, "down"),
            "refer": lambda index=index: it.refer(index),
            "remove": lambda index=index: it.remove(index),
            "add": lambda number=number: it.add(parse_variant(f"own{number}=x*{number}")),
            "set": it.next_set,
            "undo": it.undo,
        }[what]
        try:
            act()
        except UsageError as error:
            assert error.info.message.endswith(".")
        rows = [row.variant.name for row in it.rows]
        assert len(set(rows)) == len(rows) >= 9
        assert len(it.chosen) <= 8
        assert it.reference is None or it.reference in names(it)
        numbers = [it.number(at) for at in range(len(it.rows)) if it.rows[at].chosen]
        assert numbers == list(range(1, len(it.chosen) + 1))
    if it.chosen:
        assert [variant.name for variant in chosen_variants(it.result())] == names(it)
    while it.undo():
        pass
    assert not it.changed, "everything can be taken back"


@given(STEPS)
def test_undo_takes_one_change_back(steps: list[tuple[str, int]]) -> None:
    it = picking("gelu", "gelu_approx", "own=x*x")
    for what, number in steps:
        changes = {"toggle": it.toggle, "refer": it.refer, "remove": it.remove}
        before = list(it.rows), it.reference
        try:
            changes.get(what, it.toggle)(number % len(it.rows))
        except UsageError:
            assert (list(it.rows), it.reference) == before
        else:
            assert (list(it.rows), it.reference) != before
            if number % 2:
                assert it.undo()
                assert (list(it.rows), it.reference) == before
