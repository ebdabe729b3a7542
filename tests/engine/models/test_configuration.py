"""One value of a configuration changed to any JSON: as mlx-lm runs it, or refused by its key."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from mlx_lm.models import gemma3, gemma3_text, gemma4, gemma4_text
from mlx_lm.utils import load_config, load_model

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.configuration_rules import LAYER_TYPES, RULES
from gelu_tui.engine.jobs.prompt import feed
from gelu_tui.engine.models.tokenizer_files import configured_end_ids
from tests.support import configurations, in_process, tiny_models

FAMILIES = tuple(tiny_models.CONFIGS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    parent = tmp_path_factory.mktemp("configurations")
    return {family: tiny_models.write(parent / family, family) for family in FAMILIES}


@given(configurations.changes(FAMILIES))
@settings(
    max_examples=int(os.environ.get("CONFIGURATIONS", "60")),
    suppress_health_check=[HealthCheck.too_slow],
)
def test_any_value_of_any_key(folders: dict[str, Path], change: tuple[str, bool, str, Any]) -> None:
    model, around, key, value = change
    folder = folders[model]
    config = configurations.changed(model, around, key, value)
    (folder / "config.json").write_text(json.dumps(config))
    try:
        loaded = in_process.load(folder, "float32")
    except GeluError as error:
        assert error.info.kind in (
            "config",
            "not_causal",
            "not_served",
            "weights_damaged",
            "tokenizer",
        )
        # What is missing in an empty text_config is named instead of it.
        assert key in error.info.message or key in ("text_config", "model_type")
        assert len(error.info.message) < 600
        return
    ids = feed(loaded.tokenizer, configurations.PROMPT, False)[1]
    if loaded.context_length < len(ids) + configurations.COUNT:
        return
    expected = configurations.theirs(folder, ids, loaded.tokenizer.end_ids)
    if expected is not None and not any("is obeyed" in each for each in loaded.info.warnings):
        assert configurations.ours(loaded) == expected


def _changed(folder: Path, **changes: Any) -> Path:
    """Set keys of the text model's configuration; None deletes a key."""
    file = folder / "config.json"
    config = json.loads(file.read_text())
    text = config.get("text_config", config)
    text |= changes
    for key in [key for key, value in text.items() if value is None]:
        del text[key]
    file.write_text(json.dumps(config))
    return folder


# What transformers 5 writes, and the same in the keys that mlx-lm reads.
TRANSLATED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "gemma",
        {"rope_parameters": {"rope_theta": 100.0, "rope_type": "default"}},
        {"rope_theta": 100.0},
    ),
    ("gemma", {"rope_scaling": {"rope_theta": 50.0}}, {"rope_theta": 50.0}),
    (
        "gemma2",
        {
            "rope_parameters": {
                "full_attention": {"rope_theta": 9},
                "sliding_attention": {"rope_theta": 9},
            }
        },
        {"rope_theta": 9},
    ),
]
for family in ("gemma3_text", "gemma3"):
    TRANSLATED += [
        (
            family,
            {
                "rope_parameters": {
                    "full_attention": {"rope_theta": 500.0, "rope_type": "linear", "factor": 8.0},
                    "sliding_attention": {"rope_theta": 70.0, "rope_type": "default"},
                }
            },
            {
                "rope_theta": 500.0,
                "rope_local_base_freq": 70.0,
                "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            },
        ),
        (
            family,
            {"layer_types": [*LAYER_TYPES[:1] * 3, LAYER_TYPES[1]], "sliding_window_pattern": None},
            {"sliding_window_pattern": 4},
        ),
        (family, {"layer_types": [LAYER_TYPES[1]] * 4}, {"sliding_window_pattern": 1}),
    ]
TRANSLATED.append(
    (
        "gemma3n",
        {
            "rope_theta": None,
            "rope_local_base_freq": None,
            "rope_parameters": {
                "full_attention": {"rope_theta": 500.0, "rope_type": "default"},
                "sliding_attention": {"rope_theta": 70.0, "rope_type": "default"},
            },
        },
        {"rope_theta": 500.0, "rope_local_base_freq": 70.0},
    )
)
TRANSLATED += [
    (
        "gemma4_text",
        {
            "global_head_dim": None,
            "per_layer_config": {written.format(i): {"head_dim": 32} for i in (1, 3)},
        },
        {"global_head_dim": 32},
    )
    for written in ("{}", "{:02}")  # transformers writes all with as many digits
]
TRANSLATED.append(
    (
        "recurrent_gemma",
        {"rope_theta": None, "rope_parameters": {"rope_theta": 1e4}},
        {},
    )
)


@pytest.mark.parametrize(("family", "newer", "older"), TRANSLATED)
def test_newer_keys_are_translated(
    family: str, newer: dict[str, Any], older: dict[str, Any], tmp_path: Path
) -> None:
    """As mlx-lm computes it with the keys that it reads."""
    folder = tiny_models.write(tmp_path / "newer", family)
    loaded = in_process.load(_changed(folder, **newer), "float32")
    by_hand = _changed(tiny_models.write(tmp_path / "older", family), **older)
    ids = feed(loaded.tokenizer, configurations.PROMPT, False)[1]
    assert np.array_equal(_logits(loaded.model, ids), _logits(load_model(by_hand)[0], ids))
    if older and family != "gemma3n" and family != "gemma4_text":
        plain = load_model(tiny_models.write(tmp_path / "plain", family))[0]
        assert not np.array_equal(_logits(loaded.model, ids), _logits(plain, ids))
        key = next(iter(newer))
        assert any(each.startswith(key) for each in loaded.info.warnings), loaded.info.warnings


def _logits(model: Any, ids: list[int]) -> Any:
    return np.array(model(mx.array([ids])).astype(mx.float32))


PLAIN_ROPE = {
    "full_attention": {"rope_theta": 1_000_000.0, "rope_type": "default"},
    "sliding_attention": {"rope_theta": 10_000.0, "rope_type": "default"},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_said_of_a_plain_model(family: str, tmp_path: Path) -> None:
    assert in_process.load(tiny_models.write(tmp_path, family)).info.warnings == ()


@pytest.mark.parametrize("family", ["gemma3_text", "gemma3", "gemma3n"])
def test_nothing_is_said_of_what_changes_nothing(family: str, tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, family)
    layers = tiny_models.CONFIGS[family].get("text_config", tiny_models.CONFIGS[family])
    types = [LAYER_TYPES[i % 2] for i in range(layers["num_hidden_layers"])]
    _changed(
        folder, rope_parameters=PLAIN_ROPE, layer_types=types, hidden_activation="gelu_pytorch_tanh"
    )
    assert in_process.load(folder).info.warnings == ()


@pytest.mark.parametrize(
    ("family", "changes", "said"),
    [
        ("gemma", {"hidden_act": "silu"}, 'hidden_act in config.json is ignored: it is "silu"'),
        ("gemma3", {"hidden_activation": "silu"}, "mlx-lm computes gemma3 with gelu_approx."),
        ("gemma", {"hidden_activation": "gelu_pytorch_tanh"}, "mlx-lm computes gemma with gelu."),
        ("gemma", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling"),
        ("gemma2", {"sliding_window": 8}, "sliding_window"),
        ("gemma2", {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "rope_parameters"),
        ("gemma3_text", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ("gemma3_text", {"final_logit_softcapping": 30.0}, "final_logit_softcapping"),
        (
            "gemma3_text",
            {"layer_types": ["full_attention", *["sliding_attention"] * 3]},
            "layer_types",
        ),
        ("gemma3_text", {"rope_parameters": {"rope_theta": 5.0}}, "rope_parameters"),
        ("gemma3n", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "rope_scaling"),
        ("gemma4", {"rope_parameters": {"rope_theta": 5.0}}, "rope_parameters"),
        ("gemma4", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "rope_scaling"),
        ("recurrent_gemma", {"rope_theta": 500.0}, "rope_theta"),
        ("recurrent_gemma", {"partial_rotary_factor": 1.0}, "rotates half of each head"),
    ],
)
def test_what_mlx_lm_does_not_compute_is_told(
    family: str, changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    folder = _changed(tiny_models.write(tmp_path, family), **changes)
    [warning] = in_process.load(folder).info.warnings
    assert said in warning
    assert next(iter(changes)) in warning
    assert "ignored" in warning


@pytest.mark.parametrize(
    ("family", "changes", "said"),
    [
        (
            "gemma3_text",
            {"use_bidirectional_attention": True},
            "use_bidirectional_attention is true",
        ),
        ("gemma4", {"use_bidirectional_attention": "all"}, "use_bidirectional_attention"),
        ("gemma", {"architectures": ["GemmaForSequenceClassification"]}, "architectures"),
        ("gemma2", {"attn_logit_softcapping": float("nan")}, "attn_logit_softcapping is NaN"),
        ("gemma3_text", {"layer_types": ["sliding_attention"] * 4}, "layer_types"),
        ("gemma3_text", {"sliding_window_pattern": 5}, "sliding_window_pattern is 5"),
        ("gemma", {"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000 in config.json"),
        ("gemma", {"num_hidden_layers": 999}, "is 999 in config.json, not 4, the number of layers"),
        ("gemma", {"head_dim": 0}, "head_dim is 0 in config.json, not an even integer."),
        ("gemma", {"vocab_size": -1}, "vocab_size is -1 in config.json, not an integer from 1"),
        ("gemma", {"rope_theta": "x"}, 'is "x" in config.json, not a number from 1e-30 to 1e30.'),
        ("gemma", {"rms_norm_eps": 1e200}, "is 1e+200 in config.json, not a number from 1e-30"),
        ("gemma", {"rope_theta": float("inf")}, "rope_theta is Infinity in config.json, not a"),
        ("gemma", {"hidden_size": None}, "config.json has no hidden_size"),
        ("gemma3", {"rms_norm_eps": True}, "rms_norm_eps is true in config.json"),
        ("gemma", {"hidden_size": 128}, "follows from hidden_size"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_key(
    family: str, changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    folder = _changed(tiny_models.write(tmp_path, family), **changes)
    with pytest.raises(GeluError, match=re.escape(said)):
        in_process.load(folder)


def test_no_capping_is_refused_by_key(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "gemma2")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attn_logit_softcapping": None}))
    with pytest.raises(GeluError, match="attn_logit_softcapping is null"):
        in_process.load(folder)


@pytest.mark.parametrize("depth", [100, 300, 400, 600, 900, 5000])
def test_deep_nesting_is_read_or_told(depth: int, tmp_path: Path) -> None:
    file = tiny_models.write(tmp_path, "gemma") / "config.json"
    file.write_text(file.read_text()[:-1] + ', "deep": ' + "[" * depth + "]" * depth + "}")
    try:
        in_process.load(tmp_path)
    except GeluError as error:
        assert depth > 100
        assert error.info.message.startswith("config.json")


def test_images_may_be_seen_in_both_directions(tmp_path: Path) -> None:
    folder = _changed(tiny_models.write(tmp_path, "gemma4"), use_bidirectional_attention="vision")
    assert in_process.load(folder).info.warnings == ()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_context_without_a_word_of_it_is_mlx_lms(family: str, tmp_path: Path) -> None:
    folder = _changed(tiny_models.write(tmp_path, family), max_position_embeddings=None)
    loaded = in_process.load(folder)
    text = tiny_models.MODULES[family]
    text = {gemma3: gemma3_text, gemma4: gemma4_text}.get(text, text)
    arguments = getattr(text, "TextConfig", text.ModelArgs)
    fields = {field.name: field.default for field in dataclasses.fields(arguments)}
    own = fields.get("max_position_embeddings", dataclasses.MISSING)
    fallback = 32768 if family == "gemma3n" else 8192  # transformers' own; mlx-lm has none
    assert loaded.context_length == (fallback if own is dataclasses.MISSING else own)


@pytest.mark.parametrize("family", FAMILIES)
def test_rules_are_for_the_keys_that_mlx_lm_reads(family: str) -> None:
    text = tiny_models.MODULES[family]
    text = {gemma3: gemma3_text, gemma4: gemma4_text}.get(text, text)
    fields = dataclasses.fields(getattr(text, "TextConfig", text.ModelArgs))
    unused = {
        "model_type",
        "max_position_embeddings",
        "pad_token_id",
        "partial_rotary_factor",
        "global_partial_rotary_factor",
    }
    rules = RULES[tiny_models.CONFIGS[family]["model_type"]]
    named = {field.name for field in fields}
    if family == "gemma3n":
        unused.add("rope_scaling")
    assert set(rules) == named - unused
    needed = {each.name for each in fields if each.default is dataclasses.MISSING}
    assert {key for key, rule in rules.items() if rule.required} == needed - unused


@pytest.mark.parametrize(
    ("generation", "config", "expected"),
    [
        ('{"eos_token_id": [5, 7],}', 1, {1}),  # not JSON: skipped
        ('{"eos_token_id": 5}', 1, {5}),
        ('{"eos_token_id": 0}', 7, {7}),
        ('{"eos_token_id": null}', 7, {7}),
        ("{}", 0, {0}),
        ("{}", True, {1}),
        ("{}", [5.0, "x", None, 7], {5, 7}),
        ("{}", "106", set()),
        ("{}", {}, set()),
    ],
)
def test_end_ids(generation: str, config: object, expected: set[int], tmp_path: Path) -> None:
    """As mlx-lm reads them; `theirs` is its own code."""
    (tmp_path / "generation_config.json").write_text(generation)
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": config}))
    assert configured_end_ids(tmp_path) == expected
    found = load_config(tmp_path)["eos_token_id"]
    theirs = {found} if isinstance(found, int) else set(found or [])
    assert {each for each in range(200) if each in theirs} == expected


@pytest.mark.parametrize("value", ["[[145]]", "1.5", '[{"a": 1}]'])
@pytest.mark.parametrize("file", ["generation_config.json", "config.json"])
def test_end_ids_that_are_none(value: str, file: str, tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "gemma")
    if file == "config.json":
        _changed(folder, eos_token_id=json.loads(value))
    else:
        (folder / file).write_text(f'{{"eos_token_id": {value}}}')
    with pytest.raises(GeluError, match=f"eos_token_id is .* in {file}, not a token id"):
        in_process.load(folder)


@pytest.mark.parametrize("file", ["config.json", "generation_config.json", "hf_quant_config.json"])
def test_a_pipe_or_a_device_in_place_of_a_file(file: str, tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "gemma")
    (folder / file).unlink(missing_ok=True)
    os.mkfifo(folder / file)
    with pytest.raises(GeluError, match=f"{file} .*it is a pipe or a device, not a file"):
        in_process.load(folder)
    (folder / file).unlink()
    (folder / file).symlink_to("/dev/zero")
    with pytest.raises(GeluError, match=f"{file} .*it is a pipe or a device, not a file"):
        in_process.load(folder)


def test_a_vocabulary_that_only_the_text_model_names(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "gemma3")
    config = json.loads((folder / "config.json").read_text())
    del config["vocab_size"]
    (folder / "config.json").write_text(json.dumps(config))
    assert in_process.load(folder).context_length == 256
