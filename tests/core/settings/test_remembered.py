"""What the app remembers comes after all that the user has said, and never stops a start."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gelu_tui.core import paths
from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.registry import DEFAULT_SET, REGISTRY
from gelu_tui.core.settings.remembered import (
    Remembered,
    as_remembered,
    recall,
    remember,
    remembered_path,
    usable,
)
from gelu_tui.core.settings.user_file import Settings
from gelu_tui.core.settings.validation import check

EIGHT = tuple(REGISTRY)[:8]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "state_dir", lambda: tmp_path / "state")
    return tmp_path / "state"


def stored(**values: object) -> None:
    remembered_path().parent.mkdir(parents=True, exist_ok=True)
    remembered_path().write_text(json.dumps(values))


def begun(decided: str = "", **settings: object) -> tuple[tuple[str, ...], str | None, str]:
    """Functions, reference and complaint of a start for which the user has decided some."""
    found, problem = as_remembered(replace(Settings(), **settings), decided.split())
    check(found)
    said = f"{problem.message} {problem.hint}" if problem else ""
    return found.activations, found.reference, said


def test_functions_order_and_reference_come_back(state: Path) -> None:
    remember(Settings(activations=("silu", "f1=x*x", "gelu"), reference="f1"))
    assert begun() == (("silu", "f1=x*x", "gelu"), "f1", "")
    remember(Settings())
    assert begun() == (DEFAULT_SET, None, "")
    assert remembered_path().stat().st_mode & 0o777 == 0o600


def test_nothing_remembered_is_no_problem(state: Path) -> None:
    assert begun() == (DEFAULT_SET, None, "")
    assert recall() == (Remembered(), None)


@pytest.mark.parametrize(
    ("decided", "settings", "functions", "reference"),
    [
        ("", {}, "silu relu", "relu"),
        ("activations", {"activations": ("mish", "gelu")}, "mish gelu", None),
        ("reference", {"reference": "silu"}, "silu relu", "silu"),
        ("activations reference", {"reference": "gelu"}, " ".join(DEFAULT_SET), "gelu"),
        ("max_tokens", {"max_tokens": 3}, "silu relu", "relu"),
    ],
)
def test_what_the_user_has_decided_comes_first(
    state: Path, decided: str, settings: dict[str, object], functions: str, reference: str | None
) -> None:
    stored(activations=["silu", "relu"], reference="relu")
    assert begun(decided, **settings) == (tuple(functions.split()), reference, "")


def test_a_decided_reference_or_control_that_does_not_fit(state: Path) -> None:
    stored(activations=["silu", "relu"], reference="relu")
    functions, reference, said = begun("reference", reference="gelu")
    assert (functions, reference) == (DEFAULT_SET, "gelu")
    assert said.startswith(
        "The functions of the last start are left out: The reference 'gelu' is not among"
    )
    stored(activations=EIGHT, reference="gelu")
    functions, _, said = begun("control", control=True)
    assert functions == DEFAULT_SET
    assert "With 8 activation functions there is no room for a control." in said


@pytest.mark.parametrize(
    ("specs", "left", "sentence"),
    [
        (["silu", "f1=1/x"], ("silu",), "'f1=1/x' is left out: The formula '1/x' is infinite at"),
        (["gone", "silu"], ("silu",), "'gone' is left out: There is no activation function named"),
        (["f1=x*", "f2=y", "silu"], ("silu",), "2 remembered functions are left out: f1=x*, f2=y."),
        (["f1=x*"], DEFAULT_SET, "'f1=x*' is left out"),
        (["silu", "silu"], DEFAULT_SET, "'silu' is chosen twice."),
        ([*EIGHT, "f1=x"], DEFAULT_SET, "9 activation functions are too many"),
        (["\x1b[31m", "silu"], ("silu",), "'␛[31m' is left out"),
    ],
)
def test_what_is_no_longer_valid_is_skipped(
    state: Path, specs: list[str], left: tuple[str, ...], sentence: str
) -> None:
    stored(activations=specs, reference="f1")
    functions, reference, said = begun()
    assert (functions, reference) == (left, None)
    assert sentence in said and said.endswith("F2 chooses again.")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"\xff\xfe", b'{"activations": 3}', b"[" * 100_000]
)
def test_a_broken_file_is_told_and_set_aside(state: Path, content: bytes) -> None:
    stored()
    remembered_path().write_bytes(content)
    functions, _, said = begun()
    assert functions == DEFAULT_SET
    assert said.startswith("The functions of the last start cannot be read from")
    assert remembered_path().read_bytes() == content, "until something is chosen"
    remember(Settings(activations=("silu",)))
    assert begun() == (("silu",), None, "")
    assert (state / "remembered.broken.json").read_bytes() == content


@pytest.mark.parametrize("kind", ["folder", "pipe", "folder is a file"])
def test_where_nothing_can_be_stored_it_is_told(state: Path, kind: str) -> None:
    if kind == "folder is a file":
        state.write_text("")
    else:
        state.mkdir()
        remembered_path().mkdir() if kind == "folder" else os.mkfifo(remembered_path())
    functions, _, said = begun()
    assert functions == DEFAULT_SET and "cannot be read" in said
    with pytest.raises(GeluError, match="The chosen functions cannot be remembered in") as caught:
        remember(Settings(activations=("silu",)))
    assert caught.value.info.hint == "They hold until the app ends."


def test_formulas_of_another_app_stay(state: Path) -> None:
    remember(Settings(), ["a=x", "b=2*x"])
    known = recall()[0].formulas
    remember(Settings(), [*known, "other=4*x"], known)  # the other app
    remember(Settings(), ["a=x", "c=3*x"], known)
    assert recall()[0].formulas == ("a=x", "c=3*x", "other=4*x")
    remember(Settings(activations=("silu",)))
    assert recall()[0].formulas == ("a=x", "c=3*x", "other=4*x"), "they are another matter"


SPECS = st.lists(
    st.one_of(
        st.sampled_from([*REGISTRY, "swish", "f1=x*x", "f2=1/x", "f2=2*x", "x*x"]),
        st.text(max_size=12),
    ),
    max_size=10,
)


@given(
    SPECS,
    st.none() | st.sampled_from(["gelu", "f1", "swish", ""]),
    st.booleans(),
    st.sets(st.sampled_from(["activations", "reference", "max_tokens"])),
)
def test_whatever_is_remembered_the_app_can_start(
    specs: list[str], reference: str | None, control: bool, decided: set[str]
) -> None:
    stored(activations=specs, reference=reference, formulas=specs)
    found, problem = as_remembered(Settings(control=control), decided)
    check(found)
    if "activations" in decided:
        assert (found.activations, problem) == (DEFAULT_SET, None)
    assert (found.activations == DEFAULT_SET) or set(found.activations) <= {
        variant.spec for variant in usable(recall()[0].activations)[0]
    }
    if "reference" in decided:
        assert found.reference is None
    if problem:
        assert problem.message.endswith(".")
