"""Any configuration is checked and translated, or refused by a sentence, without a model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.configuration import check_layers, configure, keys_behind
from gelu_tui.core.models.configuration_rules import RULES
from gelu_tui.core.models.families import FAMILIES
from tests.support import configurations, tiny_models


@given(st.sampled_from(list(tiny_models.CONFIGS)), st.data())
def test_several_values_at_once(model: str, data: st.DataObject) -> None:
    config = json.loads(json.dumps(tiny_models.CONFIGS[model]))
    family = FAMILIES[config["model_type"]]
    keys = st.sampled_from([*RULES[family.name], *configurations.OTHER_KEYS])
    around = st.sampled_from(configurations.AROUND)
    config.get("text_config", config).update(
        data.draw(st.dictionaries(keys, configurations.values, max_size=4))
    )
    config.update(data.draw(st.dictionaries(around, configurations.values, max_size=1)))
    before = json.dumps(config)
    try:
        found = configure(config, family)
    except GeluError as error:
        assert error.info.message.endswith(".")
        assert len(error.info.message) < 600
    else:
        assert found.context_length > 0
        for warning in found.warnings:
            assert " in config.json is " in warning
            assert warning.endswith(".")
            assert len(warning) < 600
    assert json.dumps(config) == before, "the caller's configuration stays as it is"


@given(configurations.values)
def test_a_text_model_that_is_anything(value: Any) -> None:
    for family in FAMILIES.values():
        try:
            configure({"model_type": family.name, "text_config": value}, family)
        except GeluError as error:
            assert "config.json" in error.info.message


@pytest.mark.parametrize("prefix", ["model.", "language_model.model.", "model.language_model."])
def test_layers_are_counted_in_the_names_of_tensors(prefix: str) -> None:
    tensors = [f"{prefix}layers.{index}.mlp.up_proj.weight" for index in range(3)]
    tensors += ["vision_tower.encoder.layers.26.fc1.weight", "audio_tower.conformer.11.norm.weight"]
    check_layers({"num_hidden_layers": 3}, tensors)
    with pytest.raises(GeluError, match=r"num_hidden_layers is 4 .* not 3, the number of layers"):
        check_layers({"num_hidden_layers": 4}, tensors)
    check_layers({"num_hidden_layers": 4}, ["model.norm.weight"])


def test_keys_of_a_tensor() -> None:
    assert keys_behind("model.embed_tokens.weight") == "hidden_size and vocab_size"
    assert "head_dim" in keys_behind("model.layers.0.self_attn.q_proj.weight")
    assert keys_behind("model.norm.weight") == "hidden_size and num_hidden_layers"
