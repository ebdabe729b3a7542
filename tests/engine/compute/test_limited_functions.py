"""Functions in a part of the model, and the reference's elsewhere, for every family."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.limits import KINDS
from gelu_tui.core.functions.variants import check_limits, parse_variants
from gelu_tui.engine.compute.activation_sites import places_of, rowwise
from gelu_tui.engine.compute.limited_functions import functions_of
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, tiny_models
from tests.support.subclasses import with_function

WORDS = {kind: word for word, kind in KINDS.items()}
TOKENS = [2, 5, 9, 300, 17]


@pytest.fixture(scope="module", params=tiny_models.CONFIGS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    return in_process.load(tiny_models.write(tmp_path_factory.mktemp("m"), request.param))


def logits(loaded: LoadedModel, specs: list[str], precision="model") -> np.ndarray:
    """Of the first spec, which is the reference, and the others, as rows of one batch."""
    variants = parse_variants(specs)
    check_limits(variants, loaded.places)
    with rowwise(loaded.model) as sites, sites.use(*functions_of(variants, 0, precision)):
        return np.array(loaded.model(mx.array([TOKENS] * len(specs))).astype(mx.float32))


def last_layer(loaded: LoadedModel) -> int:
    return len(loaded.model.layers) - 1


def words_of(loaded: LoadedModel) -> list[str]:
    return sorted({WORDS[site.kind] for site in loaded.places})


def test_in_all_layers_and_kinds_it_is_the_full_swap_bit_for_bit(loaded) -> None:
    last, native = last_layer(loaded), loaded.info.native_activation
    spellings = [f"relu@0-{last}", f"relu@{','.join(words_of(loaded))}"]
    spellings.append("@".join(["relu", *words_of(loaded), f"{last},0-{last - 1}"]))
    full = logits(loaded, [native, "relu", "silu"])
    for spelling in spellings:
        assert np.array_equal(logits(loaded, [native, spelling, "silu"]), full)
    full, limited = (logits(loaded, [native, s, "silu"], "float32") for s in ("relu", spellings[0]))
    assert np.array_equal(full, limited)
    together = logits(loaded, [native, "relu", spellings[0]])
    assert np.array_equal(together[1], together[2])


def test_the_references_own_function_within_limits_changes_no_bit(loaded) -> None:
    native, last = loaded.info.native_activation, last_layer(loaded)
    for limits in ("0", str(last), *words_of(loaded)):
        rows = logits(loaded, [native, f"{native}@{limits}", native + "@0-1"])
        assert np.array_equal(rows[0], rows[1]) and np.array_equal(rows[0], rows[2])


def test_every_place_is_swapped_alone_as_by_hand(loaded) -> None:
    native = loaded.info.native_activation
    seen = set()
    for site in loaded.places:
        word = WORDS[site.kind]
        rows = logits(loaded, [native, f"relu@{word}@{site.layer}"])
        with with_function(loaded.model, "relu", lambda *at, of=(site.layer, word): at == of):
            expected = np.array(loaded.model(mx.array([TOKENS] * 2)).astype(mx.float32))
        np.testing.assert_allclose(rows[1], expected[1], rtol=0, atol=2e-4)
        assert not np.array_equal(rows[0], rows[1]), site
        seen.add(rows[1].tobytes())
    assert len(seen) == len(loaded.places)


@given(st.data())
@settings(max_examples=5, deadline=None)
def test_any_limits_are_what_a_swap_by_hand_computes(loaded, data) -> None:
    native, last = loaded.info.native_activation, last_layer(loaded)
    layers = data.draw(st.sets(st.integers(0, last)), "layers")
    words = data.draw(st.sets(st.sampled_from(words_of(loaded))), "words")
    parts = [",".join(words), ",".join(map(str, layers))]
    spec = "@".join(["silu", *filter(None, parts)])

    def where(layer: int, word: str) -> bool:
        return (layer in layers or not layers) and (word in words or not words)

    try:
        rows = logits(loaded, [native, spec])
    except UsageError:
        assert not any(where(site.layer, WORDS[site.kind]) for site in loaded.places)
        return
    with with_function(loaded.model, "silu", where):
        expected = np.array(loaded.model(mx.array([TOKENS] * 2)).astype(mx.float32))
    np.testing.assert_allclose(rows[1], expected[1], rtol=0, atol=2e-4)


def test_elsewhere_it_is_the_references_function_and_not_the_models(loaded) -> None:
    rows = logits(loaded, ["silu", "relu@0"])
    with (
        with_function(loaded.model, "silu", lambda layer, _: layer > 0),
        with_function(loaded.model, "relu", lambda layer, _: layer == 0),
    ):
        expected = np.array(loaded.model(mx.array([TOKENS] * 2)).astype(mx.float32))
    np.testing.assert_allclose(rows[1], expected[1], rtol=0, atol=2e-4)


def test_rows_that_share_a_function_at_a_site_are_one_block(loaded) -> None:
    native, last = loaded.info.native_activation, last_layer(loaded)
    specs = [native, "relu@0", "relu@1", "relu", f"{native}@{last}"]
    functions = functions_of(parse_variants(specs), 0, "float32")
    with rowwise(loaded.model) as sites, sites.use(*functions):
        for site in loaded.places:
            relu = {0: [1, 1, 1, 1, 1], 1: [2, 2, 1]}.get(site.layer, [3, 1, 1])
            relu = [1, 1, 1, 1, 1] if site.layer == 0 else relu
            assert [rows for _, rows in sites.blocks(site)] == relu


def test_functions_of_other_names_stay_blocks_of_their_own() -> None:
    functions = functions_of(parse_variants(["gelu", "again=gelu(x)", "a=gelu(x)@0"]), 0, "float32")
    assert functions[0] is not functions[1]


def test_layers_that_the_model_has_not(loaded) -> None:
    last = last_layer(loaded)
    for limits, missing in (
        (f"0-{last + 1}", last + 1),
        ("99", 99),
        (f"0,{last + 3}-400", last + 3),
    ):
        with pytest.raises(UsageError) as caught:
            logits(loaded, ["gelu", f"relu@{limits}"])
        assert caught.value.info.message == (
            f"This model has {last + 1} layers, 0 to {last}: there is no layer {missing} for "
            f"'relu@{limits}'."
        )


def test_kinds_that_the_model_has_not(loaded) -> None:
    has = words_of(loaded)
    for word in set(KINDS) - set(has):
        with pytest.raises(UsageError) as caught:
            logits(loaded, ["gelu", f"relu@{word}"])
        message = caught.value.info.message
        assert message.startswith(f"This model has no {word}, only ")
        assert all(own in message for own in has)


def test_a_kind_and_layers_that_have_it_not(tmp_path) -> None:
    loaded = in_process.load(tiny_models.write(tmp_path, "recurrent_gemma"))
    assert logits(loaded, ["gelu", "relu@recurrent@1-2"]).shape
    with pytest.raises(UsageError) as caught:
        logits(loaded, ["gelu", "relu@recurrent@2"])
    assert caught.value.info.message == (
        "This model has recurrent only in layers 0-1, 3: there is no place for 'relu@recurrent@2'."
    )


def test_places_are_in_order_and_those_of_the_model(loaded) -> None:
    assert list(loaded.places) == sorted(loaded.places) == list(places_of(loaded.model))
    assert {site.layer for site in loaded.places} == set(range(len(loaded.model.layers)))
