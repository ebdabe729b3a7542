"""A translated configuration means the same to transformers as the one that it comes from."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gelu_tui.core.models.configuration import configure
from gelu_tui.core.models.configuration_rules import LAYER_TYPES
from gelu_tui.core.models.families import FAMILIES
from tests.support import tiny_models

_THETA = st.sampled_from([10.0, 500.0, 10_000.0, 1_000_000.0])
_SCALED = st.one_of(
    st.fixed_dictionaries({"rope_type": st.just("default")}),
    st.fixed_dictionaries({"rope_type": st.just("linear"), "factor": st.floats(1.5, 16)}),
    st.fixed_dictionaries(
        {
            "rope_type": st.just("yarn"),
            "factor": st.floats(1.5, 16),
            "original_max_position_embeddings": st.sampled_from([64, 128]),
        }
    ),
)
_OWN_THETA = st.fixed_dictionaries({}, optional={"rope_theta": _THETA})
_FULL = st.builds(lambda scaled, theta: {**scaled, **theta}, _SCALED, _OWN_THETA)
_SLIDING = st.fixed_dictionaries({"rope_type": st.just("default")}, optional={"rope_theta": _THETA})
_BY_TYPE = st.fixed_dictionaries(
    {}, optional={"full_attention": _FULL, "sliding_attention": _SLIDING}
).filter(bool)
_OLDER = st.fixed_dictionaries(
    {},
    optional={
        "rope_theta": _THETA,
        "rope_local_base_freq": _THETA,
        "rope_scaling": st.fixed_dictionaries(
            {"rope_type": st.just("linear"), "factor": st.floats(1.5, 16)}
        ),
    },
)
_NEWER_KEYS = ("rope_parameters", "layer_types", "per_layer_config")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """transformers warns of unusual positions."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    yield
    logging.set_verbosity(before)


def _meaning(family: str, values: dict[str, Any]) -> dict[str, Any]:
    """What transformers reads in a configuration: positions, and the type of each layer."""
    from transformers import Gemma3TextConfig, GemmaConfig, RecurrentGemmaConfig

    kinds = {"gemma3_text": Gemma3TextConfig, "gemma": GemmaConfig}
    config = kinds.get(family, RecurrentGemmaConfig)(**copy.deepcopy(values))
    rope = config.rope_parameters
    if family == "gemma3_text":
        rope = {each: rope[each] for each in LAYER_TYPES}
    return {"rope": rope, "types": getattr(config, "layer_types", None)}


def _checked(family: str, changes: dict[str, Any]) -> None:
    values = {**tiny_models.CONFIGS[family], **changes}
    translated = configure(values, FAMILIES[family])
    older = {key: value for key, value in translated.text.items() if key not in _NEWER_KEYS}
    older.pop("text_config", None)
    assert _meaning(family, older) == _meaning(family, values)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_OLDER, _BY_TYPE, st.integers(1, 4))
def test_gemma_3(older: dict[str, Any], rope: dict[str, Any], pattern: int) -> None:
    # transformers itself fails where only the older key is about full attention.
    assume("rope_scaling" not in older or "full_attention" in rope)
    types = [LAYER_TYPES[(index + 1) % pattern == 0] for index in range(4)]
    _checked("gemma3_text", {**older, "rope_parameters": rope, "layer_types": types})


@pytest.mark.parametrize("family", ["gemma", "recurrent_gemma"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(theta=_THETA, before=_THETA)
def test_one_base_for_all_layers(family: str, theta: float, before: float) -> None:
    rope = {"rope_theta": theta, "rope_type": "default"}
    _checked(family, {"rope_theta": before, "rope_parameters": rope})
