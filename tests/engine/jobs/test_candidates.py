"""What could have stood at a place of a scored text, with the numbers of the scoring itself."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.scoring.statistics import Scoring
from gelu_tui.engine import device
from gelu_tui.engine.failures import Interrupted
from gelu_tui.engine.jobs.candidates import find_candidates
from gelu_tui.engine.jobs.score import score
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, tiny_models
from tests.support.commands import scoring
from tests.support.subclasses import with_function

TEXT = "Why is the sky blue? 空が青い is the blue, the sky\n" * 3
NAMES = ("gelu_approx", "silu", "mine=max(x, 0.1*x)")


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    device.prepare()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return in_process.load(tiny_models.write(tmp_path_factory.mktemp("m"), "gemma3_text"))


def scored(loaded: LoadedModel, command: p.Score) -> Scoring:
    found: list[Scoring] = []

    def take(event: p.Event) -> None:
        event = p.decode_event(p.encode(event))
        if isinstance(event, p.ScoreStarted):
            found.append(Scoring(event))
        if found:
            found[0].apply(event)

    score(loaded, command, take, lambda: False)
    return found[0]


def asked(command: p.Score, made: Scoring, token: int, variant: int) -> p.Candidates:
    tokens, place = made.text.window_of(token)
    return p.Candidates(command.settings, variant, tokens, place)


@pytest.mark.parametrize("family", ["gemma3_text", "gemma2", "gemma3n", "recurrent_gemma"])
def test_the_numbers_are_those_of_the_scoring_to_the_bit(family: str, tmp_path: Path) -> None:
    """Of several windows of several chunks, longer than a sliding window, each fifth token."""
    loaded = in_process.load(tiny_models.write(tmp_path, family))
    command = scoring(NAMES, text=TEXT, context=40)
    made = scored(loaded, command)
    assert made.started.windows > 2
    variants = cycle((1, 2, 3))  # the last is the control
    for token, variant in zip(range(0, len(made.text), 5), variants, strict=False):
        found = find_candidates(loaded, asked(command, made, token, variant), lambda: False)
        at, row = made.text.positions[token], made.rows[variant]
        assert found.token == made.text.ids[token]
        assert found.reference.logprob == made.rows[0].logprob[at]
        assert found.other.logprob == row.logprob[at]
        assert found.kl == row.kl[at]
        assert found.same_top == bool(row.same_top[at])


def test_the_first_ten_of_both_against_numpy(loaded: LoadedModel) -> None:
    command = scoring(NAMES, text=TEXT, context=64)
    made = scored(loaded, command)
    tokens, place = made.text.window_of(25)
    found = find_candidates(loaded, asked(command, made, 25, 1), lambda: False)
    for name, top, chance in (
        ("gelu_approx", found.reference_top, found.reference),
        ("silu", found.variant_top, found.other),
    ):
        with with_function(loaded.model, name):
            logits = np.array(loaded.model(mx.array([tokens[:place]]))[0, -1], dtype=np.float64)
        odds = np.exp(logits - logits.max())
        odds /= odds.sum()
        order = np.argsort(-odds, kind="stable")
        assert [each.id for each in top] == list(order[:10])
        assert [each.probability for each in top] == pytest.approx(odds[order[:10]], rel=1e-3)
        assert chance.rank == list(order).index(tokens[place])
        assert np.exp(chance.logprob) == pytest.approx(odds[tokens[place]], rel=1e-3)
        assert [each.text for each in top] == [loaded.tokenizer.piece(each.id) for each in top]


def test_a_stopped_scoring_knows_enough_of_its_window(loaded: LoadedModel) -> None:
    command = scoring(NAMES, text=TEXT, context=64)
    chunks: list[p.Event] = []
    score(loaded, command, chunks.append, lambda: len(chunks) > 3)  # two chunks are there
    assert isinstance(chunks[0], p.ScoreStarted)
    made = Scoring(chunks[0])
    for event in chunks:
        made.apply(event)
    assert 0 < made.positions < made.started.positions
    last = len(made.text) - 1
    found = find_candidates(loaded, asked(command, made, last, 2), lambda: False)
    assert found.kl == made.rows[2].kl[-1]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"place": 0}, "place"),
        ({"place": 3}, "place"),
        ({"variant": 9}, "place"),
        ({"variant": -1}, "place"),
        ({"tokens": ()}, "place"),
        ({"tokens": (2, 5, 10**6)}, "tokenizer"),
        ({"tokens": (5,) * 400}, "context"),
    ],
)
def test_what_cannot_be_asked(loaded: LoadedModel, change: dict[str, Any], kind: str) -> None:
    fields = {"variant": 1, "tokens": (2, 5, 6), "place": 2, **change}
    command = p.Candidates(scoring(NAMES).settings, **fields)
    with pytest.raises(GeluError) as raised:
        find_candidates(loaded, command, lambda: False)
    assert raised.value.info.kind == kind


def test_it_can_be_cancelled(loaded: LoadedModel) -> None:
    command = p.Candidates(scoring(NAMES).settings, 1, (2, 5, 6), 2)
    with pytest.raises(Interrupted):
        find_candidates(loaded, command, lambda: True)
