"""Passes that branch at a layer are whole passes of mlx-lm's model, bit for bit."""

from __future__ import annotations

import itertools
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import make_prompt_cache

from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.engine import device
from gelu_tui.engine.compute import layer_passes as module
from gelu_tui.engine.compute.activation_sites import rowwise
from gelu_tui.engine.compute.functions import function_of
from gelu_tui.engine.compute.layer_passes import at_positions, layer_passes
from gelu_tui.engine.compute.row_functions import RowFunctions
from gelu_tui.engine.failures import Interrupted
from gelu_tui.engine.jobs.layers import Except
from tests.support import in_process, tiny_models

TOKENS = [2, *np.random.default_rng(7).integers(6, 380, 33).tolist()]
REFERENCE = function_of(parse_variant("gelu_approx"), "float32")
VARIANT = function_of(parse_variant("relu"), "float32")


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    device.prepare()


def plain(model: object, sites: RowFunctions, function: Except, parts: list[int]) -> np.ndarray:
    cache, found = make_prompt_cache(model), []
    with sites.use(function):
        for start, end in itertools.pairwise(parts):
            logits = model(mx.array([TOKENS[start:end]]), cache=cache)[0]  # type: ignore[operator]
            found.append(np.array(logits))
    return np.concatenate(found)


@pytest.mark.parametrize(
    ("family", "parts"),
    [*((family, [0, 17, 18, 34]) for family in tiny_models.CONFIGS), ("gemma3n", [0, 34])],
)
def test_a_branch_is_a_whole_pass(family: str, parts: list[int], tmp_path: Path) -> None:
    loaded = in_process.load(tiny_models.write(tmp_path, family))
    model = loaded.model
    places = [loaded.places[0], loaded.places[len(loaded.places) // 2], loaded.places[-1]]
    functions = [Except(place, VARIANT, REFERENCE) for place in places]
    with rowwise(model) as sites:
        expected = [plain(model, sites, function, parts) for function in functions]
        with layer_passes(model, lambda: False) as passes:
            base, caches = passes.new_cache(), [passes.new_cache() for _ in places]
            found: list[list[np.ndarray]] = [[] for _ in places]
            for start, end in itertools.pairwise(parts):
                tokens = TOKENS[start:end]
                with sites.use(REFERENCE):
                    whole = passes.whole(tokens, base)
                for row, (place, function) in enumerate(zip(places, functions, strict=True)):
                    with sites.use(function):
                        last = passes.branch(tokens, caches[row], whole, place.layer)
                    for at in range(0, len(tokens), 9):  # the head, some positions at a time
                        part = at_positions(last, at, at + 9)
                        logits = passes.logits(tokens[at : at + 9], part)
                        found[row].append(np.array(logits))
    for row, logits in enumerate(expected):
        assert np.array_equal(np.concatenate(found[row]), logits), places[row]


def test_a_cancel_is_seen_between_layers(tmp_path: Path) -> None:
    loaded = in_process.load(tiny_models.write(tmp_path, "gemma3_text"))
    kinds = [type(layer) for layer in loaded.model.layers]
    asked = iter([False, False, True])
    with (
        rowwise(loaded.model) as sites,
        pytest.raises(Interrupted),
        layer_passes(loaded.model, lambda: next(asked)) as passes,
        sites.use(REFERENCE),
    ):
        passes.whole(TOKENS, passes.new_cache())
    assert [type(layer) for layer in loaded.model.layers] == kinds


def test_a_model_in_several_processes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = in_process.load(tiny_models.write(tmp_path, "gemma3_text"))
    monkeypatch.setattr(module.LayersElsewhere, "of", lambda model: [model])
    with (
        pytest.raises(GeluError, match="one process"),
        layer_passes(loaded.model, lambda: False),
    ):
        pass
