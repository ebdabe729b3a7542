"""Two saved runs as one comparison."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gelu_tui.core.comparison.fork_sentences import explain_pair
from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.variants import MAX_VARIANTS
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.merge import Choice, choices, merged
from gelu_tui.core.runs.restore import read_document, restore
from tests.support.comparisons import run_document

BLUE = ["The", " sky", " is", " blue", "."]
GREY = ["The", " sky", " was", " grey", "."]
RED = ["The", " sky", " is", " red", "."]


def names(document: ComparisonDocument) -> list[str]:
    return [variant.name for variant in document.variants]


def divergent(document: ComparisonDocument) -> dict[str, int | None]:
    return {variant.name: variant.first_divergent_token for variant in document.variants}


def limited(document: ComparisonDocument, most: int) -> ComparisonDocument:
    return replace(document, settings=replace(document.settings, max_tokens=most))


def test_streams_side_by_side_and_a_document_that_can_be_read_again() -> None:
    both = merged(
        run_document(texts={"gelu": BLUE, "silu": GREY}),
        run_document(texts={"relu": RED, "silu": BLUE}),
        (3, 12),
    )
    assert both.reference == "gelu"
    assert divergent(both) == {"gelu": None, "silu": 2, "relu": 3, "silu #12": None}
    assert read_document(msgspec.json.encode(both)) == both
    assert [stream.text for stream in restore(both).streams][2:] == ["".join(RED), "".join(BLUE)]


def test_against_another_reference_there_is_no_kl_and_no_fork() -> None:
    one = run_document(texts={"gelu": BLUE, "silu": GREY})
    other = run_document(texts={"gelu_approx": BLUE, "mish": RED})
    both = merged(one, other, (1, 2))
    for index in (2, 3):
        measured = other.variants[index - 2]
        assert both.variants[index].fork is None
        assert [step.kl for step in both.variants[index].steps] == [None] * 5
        assert [(s.logprob, s.margin, s.text) for s in both.variants[index].steps] == [
            (s.logprob, s.margin, s.text) for s in measured.steps
        ]
    assert other.variants[1].fork is not None, "the run itself had one"
    assert both.variants[1] == one.variants[1], "the first run keeps its own"
    explained = explain_pair(restore(both), 0, 3)
    assert "gelu took “␣blue”" in explained and "mish took “␣red”" in explained


def test_of_the_same_reference_kl_and_fork_are_kept() -> None:
    one = run_document(texts={"gelu": BLUE, "silu": GREY})
    other = run_document(texts={"gelu": BLUE, "mish": RED})
    both = merged(one, other, (1, 2))
    assert both.variants[3] == other.variants[1]
    assert both.variants[3].fork is not None
    assert divergent(both) == {"gelu": None, "silu": 2, "gelu #2": None, "mish": 3}


def test_functions_with_limits_are_the_references_elsewhere() -> None:
    one = run_document(texts={"gelu": BLUE, "relu@0": GREY, "silu@1": RED})
    same = merged(one, run_document(texts={"gelu": BLUE, "relu@0": GREY, "relu@1": RED}), (1, 2))
    assert names(same)[3:] == ["gelu #2", "relu@0 #2", "relu@1"]
    other = run_document(texts={"silu": BLUE, "relu@0": GREY, "relu@1": RED})
    both = merged(one, other, (1, 2))
    assert names(both)[3:] == ["silu", "relu@0 #2 elsewhere silu", "relu@1 #2 elsewhere silu"]
    assert [choice.same for choice in choices(one, other, (1, 2))] == [False] * 6
    assert read_document(msgspec.json.encode(both)) == both


@pytest.mark.parametrize("changed", ["weights", "tokens", "formula"])
def test_a_reference_that_only_looks_the_same(changed: str) -> None:
    one = run_document(texts={"gelu": BLUE})
    other = run_document(texts={"gelu": BLUE, "mish": RED})
    reference = other.variants[0]
    match changed:
        case "weights":
            steps = [replace(step, logprob=-0.51) for step in reference.steps]
            reference = replace(reference, steps=steps)
        case "tokens":
            reference = run_document(texts={"gelu": [*BLUE, " So"]}).variants[0]
        case _:
            reference = replace(reference, formula="another")
    other = replace(other, variants=[reference, other.variants[1]])
    mish = merged(one, other, (1, 2)).variants[2]
    assert mish.fork is None
    assert all(step.kl is None for step in mish.steps)


@pytest.mark.parametrize(
    ("model", "settings", "device", "words"),
    [
        ({"dtype": "bfloat16"}, {}, "cpu", "bfloat16"),
        ({"id": "google/gemma-3-1b-it"}, {}, "cpu", "gemma-3-1b-it"),
        ({"id": "mine/demo"}, {}, "cpu", "mine/demo"),
        ({"quantization": {"bits": 4}}, {}, "cpu", "4-bit"),
        ({}, {"activation_precision": "model"}, "cpu", "precision model"),
        ({}, {"temperature": 0.7, "seed": 5}, "cpu", "temperature 0.7 seed 5"),
        ({"dtype": "float16"}, {"schedule": "solo"}, "Apple M3", "float16 solo Apple M3"),
    ],
)
def test_what_the_second_run_did_in_another_way_stands_in_the_names(
    model: dict[str, object], settings: dict[str, object], device: str, words: str
) -> None:
    one = run_document(texts={"gelu": BLUE})
    other = run_document(texts={"gelu": BLUE, "mish": RED})
    other = replace(
        other,
        model=replace(other.model, **model),
        settings=replace(other.settings, **settings),
        device=device,
    )
    both = merged(one, other, (1, 12))
    assert names(both) == ["gelu", f"gelu #12 {words}", f"mish #12 {words}"]
    assert both.variants[2].fork is None, "another distribution"
    assert (both.model, both.device) == (one.model, one.device)


def test_what_nothing_was_drawn_with_makes_no_difference() -> None:
    one = run_document(texts={"gelu": BLUE})
    other = run_document(texts={"gelu": BLUE, "mish": RED})
    other = replace(other, settings=replace(other.settings, seed=5, top_k=3))
    assert names(merged(one, other, (1, 12))) == ["gelu", "gelu #12", "mish"]


def test_a_lower_limit_of_tokens_is_no_divergence() -> None:
    longer = [*BLUE, " So", " it", " is"]
    short, long = run_document(texts={"gelu": BLUE}), run_document(texts={"relu": longer})
    assert divergent(merged(short, long, (1, 2)))["relu"] == 5, "both ended by themselves"
    both = merged(limited(short, 5), limited(long, 8), (1, 2))
    assert both.settings.max_tokens == 8
    assert divergent(both) == {"gelu": None, "relu": None}
    cut, whole = both.variants
    assert (cut.finish_reason, cut.formula) == ("cancelled", "limit 5 · f(x)")
    assert (whole.finish_reason, whole.formula) == ("length", "f(x)")
    again = merged(limited(long, 8), limited(short, 5), (2, 1))
    assert divergent(again) == {"relu": None, "gelu": None}


def test_identical_streams_give_way_only_where_there_are_too_many() -> None:
    own = {f"own{number}": RED for number in range(5)}
    one = run_document(texts={"gelu": BLUE, "silu": GREY, "mish": RED})
    five = run_document(texts={"gelu": BLUE, **dict(list(own.items())[:4])})
    assert len(names(merged(one, five, (1, 2)))) == MAX_VARIANTS
    six = run_document(texts={"gelu": BLUE, "silu": RED, **dict(list(own.items())[:4])})
    both = merged(one, six, (1, 2))
    assert names(both) == ["gelu", "silu", "mish", "silu #2", "own0", "own1", "own2", "own3"]
    formulas = [variant.formula for variant in both.variants]
    assert formulas == ["same in #2 · f(x)", *["f(x)"] * 7]
    assert divergent(both)["own0"] == 3


def test_too_many_streams_are_refused_with_the_limit() -> None:
    one = run_document(texts={"gelu": BLUE, **{f"a{i}": RED for i in range(4)}})
    other = run_document(texts={"gelu": BLUE, **{f"b{i}": RED for i in range(4)}})
    with pytest.raises(GeluError) as refused:
        merged(one, other, (3, 12))
    assert refused.value.info.message == (
        "Runs 3 and 12 have 10 streams together, 9 without those that are identical in both; "
        "the limit of one comparison is 8."
    )
    bigger = replace(other, model=replace(other.model, id="bigger"))
    with pytest.raises(GeluError, match="10 streams together; the limit"):
        merged(one, bigger, (3, 12))


def test_other_prompts_are_refused() -> None:
    one, other = run_document("Why?"), run_document("How?")
    other = replace(other, prompt_tokens=(2, 6))
    with pytest.raises(GeluError, match="Runs 1 and 2 have different prompts"):
        merged(one, other, (1, 2))
    with pytest.raises(GeluError, match="the same prompt to the model as other tokens"):
        merged(one, replace(other, prompt="Why?"), (1, 2))


def test_an_end_that_was_not_good_and_the_times_of_both() -> None:
    whole = run_document(texts={"gelu": BLUE})
    stopped = run_document(texts={"relu": BLUE[:3]}, status="cancelled")
    both = merged(whole, stopped, (1, 2))
    assert both.status == "cancelled"
    assert divergent(both)["relu"] is None, "a stopped stream has not left"
    timing = both.timing
    assert (timing.prefill_s, timing.decode_s, timing.decode_steps) == (0.4, 0.25, 10)
    assert timing.tokens_per_second == pytest.approx(120)
    unknown = replace(stopped, timing=replace(stopped.timing, decode_s=None))
    assert merged(whole, unknown, (1, 2)).timing.tokens_per_second is None


@given(st.data())
def test_any_choice_of_streams_is_merged_with_the_reference(data: st.DataObject) -> None:
    one = run_document(texts={"gelu": BLUE, "silu": GREY, **{f"a{i}": RED for i in range(5)}})
    texts = {"silu": GREY, "gelu": BLUE, **{f"b{i}": GREY for i in range(5)}}
    other = run_document(texts=texts)
    offered = choices(one, other, (3, 12))
    assert offered[0] == Choice(3, "gelu", same=True)
    assert len({(choice.run, choice.name) for choice in offered}) == len(offered) == 12
    chosen = data.draw(st.lists(st.sampled_from(offered[1:]), max_size=7, unique=True))
    both = merged(one, other, (3, 12), chosen)
    assert both.reference == "gelu"
    assert sorted(names(both)) == sorted(["gelu", *(choice.name for choice in chosen)])
    assert read_document(msgspec.json.encode(both)) == both
    for variant in both.variants:
        assert variant.first_divergent_token == {"s": 2, "g": None, "a": 3, "b": 2}[variant.name[0]]


def test_more_chosen_streams_than_fit_are_refused() -> None:
    one = run_document(texts={f"a{i}": RED for i in range(6)})
    other = run_document(texts={f"b{i}": RED for i in range(6)})
    with pytest.raises(GeluError, match="limit of one comparison is 8"):
        merged(one, other, (1, 2), choices(one, other, (1, 2)))
