"""One value of a configuration changed to any JSON: as mlx-lm runs it, or refused by its key."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from gelu_tui.core.errors import GeluError
from gelu_tui.engine.jobs.prompt import feed
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
        assert error.info.kind in ("config", "not_causal", "not_served", "weights_damaged")
        assert key in error.info.message
        assert len(error.info.message) < 500
        return
    ids = feed(loaded.tokenizer, configurations.PROMPT, False)[1]
    expected = configurations.theirs(folder, ids, loaded.tokenizer.end_ids)
    if expected is not None and not any("is obeyed" in each for each in loaded.info.warnings):
        assert configurations.ours(loaded) == expected
