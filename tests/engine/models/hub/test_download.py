"""Downloads that go well: whole, without code, and not twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

from gelu_tui.core import protocol as p
from gelu_tui.engine.models.hub import download
from tests.support.fake_hub import REPO, WEIGHTS, FakeHub
from tests.support.fetching import WANTED, assert_whole, fetch, fetched, partials, refused
from tests.support.model_folders import tensors_of, weight_header


def test_a_model_is_fetched_whole_and_without_code(hub: FakeHub, cache: Path) -> None:
    folder = fetch()
    assert_whole(folder, hub)
    assert not any(r.path.endswith((".py", ".bin", ".md")) for r in hub.requests)
    assert not any("onnx" in r.path for r in hub.requests)
    assert partials(cache) == []


def test_progress_grows_to_the_end(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 16_384)
    hub.bytes_per_second = 3_000_000
    reports: list[p.Progress] = []
    download(REPO, reports.append)
    assert all(r.phase == "download" and r.unit == "bytes" for r in reports)
    done = [r.done for r in reports]
    assert done == sorted(done)
    # config.json is asked for first, and is no part of the sum.
    total = sum(len(hub.files[name]) for name in WANTED - {"config.json"})
    assert reports[-1].done == reports[-1].total == total
    during = [r for r in reports if 0 < r.done < r.total and r.rate > 0]
    # How many there are, and how fast it went, is the machine's.
    assert "5 of 6 files" in {r.label for r in during}


def test_a_cached_model_asks_nothing(hub: FakeHub) -> None:
    folder = fetched()
    hub.requests.clear()
    reports: list[p.Progress] = []
    assert fetch(report=reports.append) == folder
    assert hub.requests == []
    assert reports == []


def test_a_cached_model_needs_no_hub(hub: FakeHub) -> None:
    folder = fetched()
    hub.stop()
    assert fetch() == folder


def test_what_another_program_fetched_is_used(hub: FakeHub, cache: Path) -> None:
    folder = fetched()
    for trees in cache.glob("models--*/trees"):  # older versions of huggingface_hub keep none
        shutil.rmtree(trees)
    hub.requests.clear()
    assert fetch() == folder
    assert hub.requests == []


def test_what_another_program_left_unfinished_is_completed(hub: FakeHub, cache: Path) -> None:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    del hub.files[WEIGHTS]
    tensors = list(tensors_of(json.loads(hub.files["config.json"])).items())
    for shard, part in zip(shards, (tensors[:3], tensors[3:]), strict=True):
        header, size = weight_header(dict(part))
        hub.files[shard] = header + bytes(size)
    index = {name: shards[number >= 3] for number, (name, _) in enumerate(tensors)}
    hub.files["model.safetensors.index.json"] = json.dumps({"weight_map": index}).encode()
    folder = fetched()
    for trees in cache.glob("models--*/trees"):
        shutil.rmtree(trees)
    (folder / shards[1]).resolve().unlink()
    (folder / shards[1]).unlink()
    hub.requests.clear()
    assert fetch() == folder
    assert (folder / shards[1]).read_bytes() == hub.files[shards[1]]
    assert hub.asked_for(shards[1])
    assert not hub.asked_for(shards[0])


def test_the_config_is_checked_before_the_weights_are_fetched(hub: FakeHub) -> None:
    hub.files["config.json"] = b'{"model_type": "llama"}'
    assert "'llama', which gelu-tui does not serve" in refused().info.message
    assert hub.asked_for("config.json")
    assert not hub.asked_for(WEIGHTS)


def test_a_token_is_sent_and_not_shown(hub: FakeHub, cache: Path) -> None:
    cache.parent.joinpath("token").write_text("hf_secret")
    reports: list[p.Progress] = []
    download(REPO, reports.append)
    assert {r.token for r in hub.asked_for(WEIGHTS)} == {"Bearer hf_secret"}
    assert not any("hf_secret" in r.label for r in reports)


def test_the_environment_alone_leads_a_new_process(hub: FakeHub, tmp_path: Path) -> None:
    code = (
        "import sys; from gelu_tui.engine.models.hub import fetch_model;"
        "print(fetch_model(sys.argv[1], lambda progress: None, lambda: False))"
    )
    home = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.url, "NO_PROXY": "127.0.0.1"}

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        return subprocess.run(
            [sys.executable, "-c", code, REPO],
            env=clean | home | more, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    first = run()
    assert first.returncode == 0, first.stderr
    assert_whole(Path(first.stdout.strip()), hub)
    hub.stop()
    assert run(HF_HUB_OFFLINE="1").stdout == first.stdout
    empty = run(HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "other"))
    assert "HF_HUB_OFFLINE forbids" in empty.stderr
