"""`gelu-tui run --continue` on a tiny model: one whole run, in place of the first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import gelu

OPTIONS = ("-a", "gelu,relu,mine=x*sigmoid(1.7*x)", "--temperature", "0.9", "--seed", "3")
TIMES = {"created", "timing", "peak_memory_bytes", "decode_s", "time_to_first_token_s"}
TIMES |= {"prompt_tps", "generation_tps"}


def untimed(value: Any) -> Any:
    """A document without what is measured anew in each run."""
    if isinstance(value, dict):
        return {name: untimed(its) for name, its in value.items() if name not in TIMES}
    return [untimed(its) for its in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def home(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with a history of its own."""
    return {**env, "XDG_DATA_HOME": str(tmp_path_factory.mktemp("data"))}


@pytest.fixture(scope="module")
def finished(home: dict[str, str], model: str) -> dict[str, Any]:
    """A run of six tokens."""
    words = ("run", *OPTIONS, "--model", model, "--max-tokens", "6", "--format", "json", "the sky")
    done = gelu(home, *words)
    assert (done.code, done.err) == (0, "")
    return json.loads(done.raw)


def test_what_cannot_be_continued(
    home: dict[str, str], finished: dict[str, Any], tmp_path: Path
) -> None:
    for words, code, sentence in (
        (("last", "the sky"), 2, "--continue takes the prompt of its run"),
        (("1", "--temperature", "0.5"), 2, "the settings of its run: --temperature cannot be"),
        (("1", "--max-tokens", "6"), 2, "The streams of this run have 6 tokens already"),
        (("7",), 1, "There is no saved run 7."),
        ((str(tmp_path),), 2, "cannot be read"),
    ):
        done = gelu(home, "run", "--continue", *words)
        assert done.code == code, done.err
        assert sentence in " ".join(done.err.split())
    merged = {**finished, "variants": [*finished["variants"], {**finished["variants"][0]}]}
    merged["variants"][-1]["name"] = "gelu #2"
    file = tmp_path / "merged.json"
    file.write_text(json.dumps(merged))
    done = gelu(home, "run", "--continue", str(file))
    assert done.code == 1
    assert "Two runs are shown as one here." in done.err


def test_a_finished_run_gets_more_tokens(
    home: dict[str, str], env: dict[str, str], model: str, finished: dict[str, Any], tmp_path: Path
) -> None:
    whole = gelu(
        {**env, "XDG_DATA_HOME": str(tmp_path)},
        *("run", *OPTIONS, "--model", model, "--max-tokens", "15", "--format", "json", "the sky"),
    )
    more = gelu(home, "run", "--continue", "last", "--max-tokens", "15", "--format", "json")
    assert (more.code, more.err) == (0, "")
    assert untimed(json.loads(more.raw)) == untimed(json.loads(whole.raw))
    assert json.loads(more.raw)["created"] == finished["created"]
    listed = json.loads(gelu(home, "history", "--format", "json").raw)["runs"]
    assert [(run["id"], run["total_tokens"]) for run in listed] == [(1, 45)]
    assert json.loads(gelu(home, "show", "1", "--format", "json").raw) == json.loads(more.raw)
