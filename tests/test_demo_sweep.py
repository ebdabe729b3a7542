"""A sweep on the real demo model, from one command."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import gelu_tui
from tests.support.command import COMMAND

PROMPTS = ["The sky is", "空が青いのは", "One two three four five six"]
FUNCTIONS = ("gelu", "gelu_approx", "relu")


def sweep(env: dict[str, str], file: Path) -> Any:
    words = ("sweep", str(file), "--model", "demo", "-a", ",".join(FUNCTIONS), "--max-tokens", "6")
    command = [*COMMAND, *words, "--full-kl", "--format", "json"]
    done = subprocess.run(command, env=env, capture_output=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.demo
def test_three_prompts_of_different_length(
    demo_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share a batch; their tokens are those of single runs, and the figures follow."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    file = tmp_path / "set.txt"
    file.write_text("\n".join(PROMPTS))
    document = sweep(dict(os.environ), file)
    assert (document["completed"], document["status"]) == (3, "completed")
    results = {result["variant"]: result for result in document["results"]}
    assert list(results) == ["gelu", "relu", "control"]
    assert [results[name]["diverged"] for name in ("relu", "control")] == [3, 0]
    assert results["relu"]["full_kl"]["positions"] == 3 * 6
    assert 0 < results["gelu"]["full_kl"]["mean"] < results["relu"]["full_kl"]["mean"]
    with gelu_tui.Engine("demo") as engine:
        for number, prompt in enumerate(PROMPTS):
            alone = engine.compare(
                prompt, activations=FUNCTIONS, max_tokens=6, control=True, replay=False
            )
            together = gelu_tui.load_run(f"{document['id']}/{number}")
            assert [list(v.tokens) for v in together.values()] == [
                list(v.tokens) for v in alone.values()
            ]
