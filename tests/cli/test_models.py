"""`gelu-tui models`: the list, and fetching by the command line."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import pytest
from rich.cells import cell_len

from gelu_tui.core.models import demo
from gelu_tui.engine.models.search import find_models
from tests.support.command import COMMAND, TIMEOUT_S, UNSAFE, complaint, fake_engine, gelu
from tests.support.model_folders import PARAMETERS, cached_repo, model_folder


@pytest.fixture
def filled(env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment whose hub's cache holds something of everything."""
    cache = tmp_path / "hub"
    cached_repo(
        cache,
        "mlx-community/gemma-3-1b-it-qat-4bit",
        model_folder(tmp_path / "a", bits=4),
    )
    cached_repo(cache, "maker/gemma-9", model_folder(tmp_path / "b", "gemma9"))
    cached_repo(cache, "maker/llama", model_folder(tmp_path / "c", "llama"))
    return {**env, "HF_HUB_CACHE": str(cache)}


def test_text_at_80_columns(filled: dict[str, str], tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "mine", "gemma2")
    done = gelu(filled, "models", "--folder", str(folder))
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert "…" not in done.out and "\x1b" not in done.out
    verdict = next(line for line in lines if line.startswith("mlx-community/gemma-3-1b"))
    assert verdict.split() == ["mlx-community/gemma-3-1b-it-qat-4bit", "fits"]
    facts = lines[lines.index(verdict) + 1].split()
    assert facts[:4] == ["gemma3_text", "1", "M", "4-bit"]
    assert facts[-1] == "gelu_approx"
    assert "which gelu-tui does not serve" in " ".join(lines)
    assert "Not listed: 1 models of other families." in done.out
    assert any(line.startswith(str(folder)[:60]) for line in lines)
    # What is here is not offered, what is not is.
    offered = done.out.partition("Can be fetched")[2]
    assert "gemma-3-1b-it-qat-4bit" not in offered
    assert re.search(r"^google/gemma-7b-it +gemma +~17.10 GB +(fits|tight|too big), gated$",
                     offered, re.MULTILINE)  # fmt: skip
    assert re.search(r"^mlx-community/gemma-2-2b-it-4bit +gemma2 +~1.50 GB +\w+", offered, re.M)
    assert "the hub could not be asked" in offered


def test_json(filled: dict[str, str], tmp_path: Path) -> None:
    done = gelu(filled, "models", "--folder", str(tmp_path / "nowhere"), "--format", "json")
    assert done.code == 0
    document = json.loads(done.raw)
    assert document["schema"] == "gelu-tui.models/1"
    models = {model["id"]: model for model in document["models"]}
    cached = models["mlx-community/gemma-3-1b-it-qat-4bit"]
    assert (cached["state"], cached["verdict"], cached["parameters"]) == (
        "ready",
        "fits",
        PARAMETERS,
    )
    assert cached["needed_bytes"] == cached["weight_bytes"] + document["allowance_bytes"]
    assert models["maker/gemma-9"]["state"] == "not_served"
    assert models[str(tmp_path / "nowhere")]["state"] == "absent"
    assert document["other_models_in_cache"] == 1
    fetchable = {model["id"]: model for model in document["fetchable"]}
    gated = fetchable["google/gemma-7b-it"]
    assert (gated["family"], gated["gated"], gated["estimated"]) == ("gemma", True, True)
    assert gated["needed_bytes"] == gated["weight_bytes"] + document["allowance_bytes"]
    assert gated["verdict"] in ("fits", "tight", "too big")


def test_the_sizes_of_the_hub_are_shown_where_it_tells_them(env: dict[str, str]) -> None:
    done = gelu(env, "models", "--engine-command", fake_engine("five"))
    assert (done.code, done.err) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines() if line.strip()}
    assert rows["mlx-community/gemma-3-12b-it-4bit"] == ["gemma3", "8.01", "GB", "tight"]
    assert rows["mlx-community/gemma-2-2b-it-4bit"] == ["gemma2", "~1.50", "GB", "fits"]


def test_hostile_names_are_harmless(env: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "a\x1b[31m\u202eb"
    model_folder(folder, "gemma\x1b]0;owned\x07")
    for output in ("text", "json"):
        done = gelu(env, "models", "--folder", str(folder), "--format", output)
        assert done.code == 0
        assert UNSAFE.search(done.out) is None


def test_a_folder_that_is_not_utf_8(env: dict[str, str], tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff"
    Path(os.fsdecode(folder)).mkdir()
    assert gelu(env, "models", "--folder", folder).code == 0
    done = gelu(env, "models", "--folder", folder, "--format", "json")
    found = [model["id"] for model in json.loads(done.raw)["models"]]
    assert f"{tmp_path}/?" in found  # as a path crosses to the engine


# --- fetching -----------------------------------------------------------------------------------


def fetch(env: dict[str, str], model: str, *more: str, step_s: float = 0.001) -> list[str]:
    return [*COMMAND, "models", "--fetch", model, "--engine-command",
            fake_engine("five", step_s), *more]  # fmt: skip


def test_fetching_prints_the_folder(env: dict[str, str]) -> None:
    words = fetch(env, "maker/gemma")[len(COMMAND) :]
    done = gelu(env, *words)
    assert (done.code, done.out, done.err) == (0, "/models/maker/gemma\n", "")
    done = gelu(env, *words, "--format", "json")
    assert json.loads(done.raw) == {
        "schema": "gelu-tui.fetched/1",
        "model": "maker/gemma",
        "folder": "/models/maker/gemma",
    }


def test_a_gated_repository_is_explained(env: dict[str, str]) -> None:
    done = gelu(env, *fetch(env, "google/x")[len(COMMAND) :])
    sentence, hint = complaint(done, 1)
    assert "gated" in sentence
    assert "https://huggingface.co/google/x" in hint and "hf auth login" in hint


def test_an_engine_that_dies(env: dict[str, str]) -> None:
    sentence, _ = complaint(gelu(env, *fetch(env, "dies/x")[len(COMMAND) :]), 1)
    assert "was killed" in sentence


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_stops_and_says_that_whole_files_are_kept(
    number: signal.Signals, env: dict[str, str]
) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        fetch(env, "maker/gemma", step_s=2), env=env, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    while b"%" not in shown:
        shown += os.read(ours, 4096)
    assert re.search(r"\d+ % · [\d.]+ MB of 243 MB · 12.5 MB/s · \d+ s left", shown.decode())
    process.send_signal(number)
    out, _ = process.communicate(timeout=TIMEOUT_S)
    told = os.read(ours, 65536).decode()
    os.close(ours)
    assert (process.returncode, out) == (128 + number, b"")
    assert "files that have arrived whole are kept" in told
    assert "fetches those that are missing" in told


def test_a_folder_through_the_real_engine(env: dict[str, str], tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "mine")
    done = gelu(env, "models", "--fetch", str(folder))
    assert (done.code, done.out) == (0, f"{folder}\n")
    (folder / "tokenizer.json").unlink()
    sentence, hint = complaint(gelu(env, "models", "--fetch", str(folder)), 1)
    assert "has no tokenizer" in sentence
    listed = gelu(env, "models", "--folder", str(folder), "--format", "json").raw
    assert json.loads(listed)["models"][-1]["reason"] == f"{sentence} {hint}"


@pytest.mark.demo
def test_the_demo_is_what_was_said_of_it_before_it_was_converted(demo_model: Path) -> None:
    done = gelu(os.environ, "models", "--fetch", "demo")
    assert (done.code, done.out) == (0, f"{demo_model}\n")
    found = find_models().models[0]
    assert (found.id, found.state) == ("demo", "ready")
    assert (found.family, found.dtype) == (demo.FAMILY, "float32")
    assert (found.parameters, found.weight_bytes) == (demo.PARAMETERS, demo.WEIGHT_BYTES)


def test_no_hub_within_reach(env: dict[str, str]) -> None:
    sentence, hint = complaint(gelu(env, "models", "--fetch", "maker/gemma"), 1)
    assert "is not on this machine" in sentence
    assert hint.startswith("Unset HF_HUB_OFFLINE")


# --- deleting -----------------------------------------------------------------------------------

ONE_B = "mlx-community/gemma-3-1b-it-qat-4bit"


def test_deleting_frees_the_room(filled: dict[str, str]) -> None:
    storage = Path(filled["HF_HUB_CACHE"]) / f"models--{ONE_B.replace('/', '--')}"
    sentence, hint = complaint(gelu(filled, "models", "--delete", ONE_B), 2)
    assert "has to be confirmed" in sentence and "--yes" in hint
    assert storage.exists()
    done = gelu(filled, "models", "--delete", ONE_B, "--yes", "--format", "json")
    document = json.loads(done.raw)
    assert document.pop("freed_bytes") > 500_000
    assert document == {
        "schema": "gelu-tui.deleted/1", "model": ONE_B, "folder": str(storage)
    }  # fmt: skip
    assert not storage.exists()
    sentence, _ = complaint(gelu(filled, "models", "--delete", ONE_B, "--yes"), 1)
    assert "There is nothing to delete" in sentence


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1)])
def test_a_terminal_is_asked_first(answer: str, code: int, filled: dict[str, str]) -> None:
    storage = Path(filled["HF_HUB_CACHE"]) / f"models--{ONE_B.replace('/', '--')}"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "models", "--delete", ONE_B],
        env=filled, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(ours, 4096)
    assert f"Delete {ONE_B} from this machine? It takes" in shown.decode()
    os.write(ours, f"{answer}\n".encode())
    out, _ = process.communicate(timeout=TIMEOUT_S)
    os.close(ours)
    assert process.returncode == code
    assert (b"freed" in out) == (not storage.exists()) == (code == 0)


@pytest.mark.parametrize("confirmed", [(), ("--yes",)])
def test_a_folder_of_ones_own_is_not_deleted(
    confirmed: tuple[str, ...], env: dict[str, str], tmp_path: Path
) -> None:
    folder = model_folder(tmp_path / "mine")
    sentence, _ = complaint(gelu(env, "models", "--delete", str(folder), *confirmed), 1)
    assert "no folder of your own" in sentence
    assert folder.is_dir()


def test_fetching_and_deleting_exclude_each_other(env: dict[str, str]) -> None:
    sentence, _ = complaint(gelu(env, "models", "--delete", "a/b", "--fetch", "a/b"), 2)
    assert "do not go together" in sentence
