"""A/A: one function on several rows is one stream, whatever their order and their neighbours.

In this process MLX's own BLAS is at work: a real one, which the engine may put in front of it, is
not exact on every machine, and there the engine's self-check measures by how much.
"""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import pytest

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.engine import device
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, tiny_models
from tests.support.commands import comparing

PROMPT = "Why is the sky blue?"

# MLX's CPU backend has matrix products of experts in float32 only.
FAMILIES = [
    *((family, "float32") for family in tiny_models.CONFIGS),
    *((family, "bfloat16") for family in tiny_models.CONFIGS if "experts" not in family),
]
KINDS = [("float32", None), ("bfloat16", None), ("float32", 4), ("float32", 8), ("bfloat16", 4)]


def load(folder: Path, family: str, dtype: str, bits: int | None = None) -> LoadedModel:
    device.prepare()
    stored = getattr(mx, dtype)
    return in_process.load(tiny_models.write(folder, family, dtype=stored, bits=bits), dtype)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]}-{kind[1] or 'plain'}")
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(tmp_path_factory.mktemp("m"), "gemma3_text", *request.param)


def run(loaded: LoadedModel, *names: str, tokens: int = 6, **options: object) -> Comparison:
    options = {"replay": False, **options}  # of what is compared here no replay changes anything
    command = comparing(PROMPT, names, max_tokens=tokens, **options)  # type: ignore[arg-type]
    return in_process.compare(loaded, command)


def stream_of(comparison: Comparison, name: str) -> list[tuple[object, ...]]:
    """All that a stream says by itself, to the last bit."""
    stream = next(s for s in comparison.streams if s.name == name)
    steps = zip(stream.tokens, stream.steps, strict=True)
    return [(token, step.text, step.logprob, step.margin) for token, step in steps]


def assert_one_stream(comparison: Comparison, names: list[str]) -> None:
    """The named streams are the reference's, with a KL of exactly 0 at every step."""
    reference = comparison.reference
    said = stream_of(comparison, reference.name)
    assert len(said) > 1
    for stream in comparison.streams:
        if stream.name in names and stream is not reference:
            assert stream.first_divergent_token is None
            assert [step.kl for step in stream.steps] == [0.0] * len(said)
            assert stream_of(comparison, stream.name) == said


@pytest.mark.parametrize(("family", "dtype"), FAMILIES)
def test_same_function_on_all_rows_is_bit_identical(
    family: str, dtype: str, tmp_path: Path
) -> None:
    """The fewest and the most rows; the numbers between are tried on one family, below."""
    loaded = load(tmp_path, family, dtype)
    names = ("gelu_approx", *(f"again{i}=gelu_approx(x)" for i in range(7)))
    for rows in (2, 8):
        comparison = run(loaded, *names[:rows])
        assert comparison.self_check == p.SelfCheckReport(rows, 3, True, 0.0)
        assert_one_stream(comparison, [name.partition("=")[0] for name in names])


# The precision concerns the function alone: it is tried with each dtype, and odd and even rows.
ROWS = [*((rows, "float32") for rows in range(2, 9)), (3, "model"), (8, "model")]


@pytest.mark.parametrize(("rows", "precision"), ROWS)
def test_in_every_dtype_and_number_of_rows(
    loaded: LoadedModel, rows: int, precision: p.Precision
) -> None:
    names = ("gelu", *(f"again{i}=gelu(x)" for i in range(rows - 1)))
    comparison = run(loaded, *names, activation_precision=precision)
    assert_one_stream(comparison, [stream.name for stream in comparison.streams])


def test_own_formulas_are_functions_like_others(loaded: LoadedModel) -> None:
    formula = "x*sigmoid(1.773*x)"
    comparison = run(loaded, f"a={formula}", "gelu", f"b={formula}", f"c={formula}", reference="b")
    assert_one_stream(comparison, ["a", "b", "c"])


# Three copies of one function among functions that part from it early. In the three orders there is
# a copy at each of the eight places.
SPECS = ("gelu", "relu", "identity", "a=gelu(x)", "silu", "relu2", "b=gelu(x)", "mish")
ORDERS = {"gelu": SPECS, "b": SPECS[::-1], "a": SPECS[-2:] + SPECS[:-2]}  # by the reference


def test_whatever_the_order_and_the_neighbours(loaded: LoadedModel) -> None:
    said: dict[str, set[tuple[object, ...]]] = {}
    for reference, specs in ORDERS.items():
        comparison = run(loaded, *specs, reference=reference)
        assert_one_stream(comparison, ["gelu", "a", "b"])
        for stream in comparison.streams:
            said.setdefault(stream.name, set()).add(tuple(stream_of(comparison, stream.name)))
    assert {name: len(streams) for name, streams in said.items()} == dict.fromkeys(said, 1)
    assert len(said) == 8 and len(set.union(*said.values())) > 4, "the neighbours do differ"


def test_other_neighbours_change_nothing(loaded: LoadedModel) -> None:
    """Of the same number of rows: another number may mean other kernels."""
    companies = [("relu", "identity"), ("silu", "relu2"), ("mish", "relu")]
    said = {tuple(stream_of(run(loaded, "gelu", *company), "gelu")) for company in companies}
    assert len(said) == 1


def test_solo_too(loaded: LoadedModel) -> None:
    names = ("relu", "gelu", "again=gelu(x)")
    comparison = run(loaded, *names, reference="gelu", schedule="solo")
    assert_one_stream(comparison, ["gelu", "again"])
