"""Every key of every family's configuration, with values of every JSON type and size."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.configuration import check_layers, configure
from gelu_tui.core.models.configuration_rules import LAYER_TYPES, RULES
from gelu_tui.core.models.families import FAMILIES, family_of
from tests.support import configurations, tiny_models

# As JSON, which Python's reader takes to more than the standard: infinity, not a number.
VALUES = (
    "null", "true", "false",
    "0", "-0", "1", "-1", "2", "3", "16", "1000", "9007199254740993", "18446744073709551616",
    "1" + "0" * 400, "-1" + "0" * 400, "1" + "0" * 4200,
    "0.0", "-0.0", "0.5", "1.0", "-1.5", "16.0", "1e-320", "1e-46", "1e30", "1e200", "-1e200",
    "1e400", "-1e400", "NaN", "Infinity", "-Infinity",
    '""', '"x"', '"1"', '"null"', '"linear"', '"\\u0000\\ud800\\u001b[31m"',
    json.dumps("é" * 100_000),
    "[]", "[null]", "[true]", "[0]", "[1, 2]", "[1.5]", "[NaN]", '["x"]', "[[]]", "[{}]",
    json.dumps([1] * 1000), "[" * 200 + "]" * 200,
    json.dumps(LAYER_TYPES), json.dumps(LAYER_TYPES * 3), json.dumps(LAYER_TYPES[:1] * 6),
    "{}", '{"x": null}', '{"": {"": []}}', '{"x": ' * 200 + "1" + "}" * 200,
    '{"__float__": "NaN"}', '{"__float__": []}', '{"type": []}', '{"rope_type": "yarn"}',
    '{"rope_type": "linear", "factor": 1e400}', '{"factor": {}}', '{"rope_theta": "x"}',
    '{"full_attention": null}', '{"full_attention": []}', '{"full_attention": {"rope_type": {}}}',
    '{"sliding_attention": 1, "full_attention": {"rope_theta": 1e200}}',
    '{"group_size": 64, "bits": 4}', '{"group_size": {}, "bits": NaN}', '{"0": {"head_dim": []}}',
)  # fmt: skip


def changed() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Each tiny model's configuration with one key of it changed: family, key, value, all of it."""
    for model, own in tiny_models.CONFIGS.items():
        family = FAMILIES[own["model_type"]]
        config = json.loads(json.dumps(own))
        text = config["text_config"] if family.nested else config
        keys = dict.fromkeys((*RULES[family.name], *configurations.OTHER_KEYS))
        places = [(text, key) for key in keys]
        places += [(config, key) for key in dict.fromkeys((*config, *configurations.AROUND))]
        for place, key in places:
            before = dict(place)
            for value in VALUES:
                place[key] = json.loads(value)
                yield model, key, value, config
            place.clear()
            place.update(before)


def is_sentence(text: str) -> bool:
    return text.endswith(".") and len(text) < 600 and text.isprintable()


def test_any_value_is_taken_or_refused_by_its_key() -> None:
    seen = Counter[str]()
    for model, key, value, config in changed():
        given = f"{key} of {model} is {value[:200]}"
        try:
            family = family_of(config)
            found = configure(config, family)
        except GeluError as error:
            message = error.info.message
            # A text is told as the family's name; a text model is told by a key of its own.
            named = key in message or (key == "model_type" and value.startswith('"'))
            assert named or (key == "text_config" and " in config.json" in message), given
            assert is_sentence(message) and is_sentence(error.info.hint), given
            seen["refused"] += 1
        else:
            assert all(map(is_sentence, found.warnings)), given
            with suppress(GeluError):
                check_layers(found.text, ["model.layers.3.mlp.up_proj.weight"])
            seen["taken"] += 1
    assert seen["refused"] > 10_000 and seen["taken"] > 5_000
