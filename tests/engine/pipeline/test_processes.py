"""Ranks as processes of mlx.launch: what they answer, how they end, and that none is left."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gelu_tui.client import EngineClient, EngineDied
from gelu_tui.core import protocol as p
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.engine.pipeline.launcher import free_port
from tests.support import odd_models, tiny_models
from tests.support.command import soon_gone
from tests.support.engine_process import COMMAND, ENDLESS, EngineProcess, compare, environment, load

RANKS = (sys.executable, "-m", "gelu_tui", "engine", "--ranks")
# A character that is cut in two where the launcher reads 8192 bytes would be lost.
PROMPT = "Why is the sky blue? the sky is 空が青い" * 3


def processes_of(engine: psutil.Process, ranks: int) -> list[psutil.Process]:
    """The ranks, in order: the launcher becomes the engine's process and starts them."""
    found = {int(child.environ().get("MLX_RANK", -1)): child for child in engine.children()}
    return [found[rank] for rank in range(ranks)]


def said(events: list[dict[str, Any]]) -> list[Any]:
    """What is told of streams, forks and scores, without times."""
    kept: list[Any] = []
    for event in events:
        if event["event"] == "step":
            kept.append([{k: v for k, v in s.items() if k != "decode_s"} for s in event["streams"]])
        elif event["event"] in ("fork", "fork_replayed", "self_checked", "score_chunk"):
            kept.append(event)
    return kept


def conversation(engine: EngineProcess, folder: Path) -> list[Any]:
    load(engine, str(folder))
    settings = {"activations": ["gelu_approx", "gelu", "relu"], "control": True, "max_tokens": 8}
    engine.send(
        {"command": "compare", "prompt": PROMPT, "settings": settings, "id": 2},
        {"command": "list_models", "folders": [], "id": 3},
        {"command": "score", "text": PROMPT, "settings": settings, "context": 30, "id": 4},
        compare(PROMPT, max_tokens=ENDLESS) | {"id": 5},
    )
    events = engine.until("score_finished")
    assert any("blue" in str(e.get("prompt_text")) for e in events)
    engine.until("step")
    engine.send({"command": "cancel"})
    assert engine.until("finished")[-1]["status"] == "cancelled"
    # Two that share a batch: fewer answers of rank 0 than commands.
    for number in (6, 7):
        engine.send(compare("the", max_tokens=3) | {"id": number, "rows": 8})
    ended = [engine.until("finished")[-1]["status"] for _ in range(2)]
    assert ended == ["completed", "completed"]
    engine.send({"command": "render_prompt", "prompt": PROMPT, "chat": False, "id": 8})
    assert engine.until("prompt_rendered")[-1]["prompt"] == PROMPT
    load(engine, str(folder))
    engine.send({"command": "shutdown"})
    engine.wait()
    return said(events)


def test_three_ranks_answer_as_one_process(tmp_path: Path) -> None:
    folder = odd_models.long_running(tmp_path / "m")
    with EngineProcess(environment(tmp_path)) as engine:
        one = conversation(engine, folder)
    with EngineProcess(environment(tmp_path), [*RANKS, "3"]) as engine:
        loaded = load(engine, str(folder))
        assert loaded["device"].endswith(", 3 ranks")
        assert [(r["first_layer"], r["end_layer"]) for r in loaded["ranks"]] == [
            (0, 1), (1, 2), (2, 4),
        ]  # fmt: skip
        ranks = processes_of(psutil.Process(engine.process.pid), 3)
        assert conversation(engine, folder) == one
    assert all(soon_gone(rank.pid) for rank in ranks)


def test_a_host_file_and_a_family_that_is_refused(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.json"
    hosts.write_text(
        '{"backend": "ring", "hosts": [{"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}, '
        '{"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}]}'
    )
    refused = tiny_models.write(tmp_path / "refused", "gemma3n")
    served = tiny_models.write(tmp_path / "served", "gemma2")
    command = [*RANKS[:-1], "--hostfile", str(hosts)]
    with EngineProcess(environment(tmp_path), command) as engine:
        engine.until("hello")
        engine.send({"command": "load", "model": str(refused)})
        events = [engine.next()]
        while events[-1]["event"] == "progress":
            events.append(engine.next())
        assert "A gemma3n cannot be split by layers" in events[-1]["error"]["message"]
        assert len(load(engine, str(served))["ranks"]) == 2


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    return


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.usefixtures("environ")
async def test_a_rank_that_dies_is_named_and_none_is_left(victim: int, tmp_path: Path) -> None:
    folder = odd_models.long_running(tmp_path / "m")
    async with EngineClient([*RANKS, "2"]) as client:
        settings = RunSettings(activations=("gelu", "relu"), max_tokens=4096)
        await client.send(p.Load(str(folder)))
        await client.send(p.Compare("the sky", settings))
        ranks: list[psutil.Process] = []
        with pytest.raises(EngineDied) as died:
            async for event in client.events():
                if isinstance(event, p.Step) and not ranks:
                    (engine,) = (
                        child
                        for child in psutil.Process().children()
                        if "gelu_tui.engine.pipeline.launcher" in child.cmdline()
                    )
                    ranks = processes_of(engine, 2)
                    ranks[victim].kill()
    assert str(died.value) == f"The engine's rank {victim} was killed (SIGKILL)."
    assert all(soon_gone(rank.pid) for rank in ranks)


# Between the test and mlx.launch itself, which does not notice that its input has ended.
APP = """
import importlib.metadata, subprocess, sys
(launch,) = importlib.metadata.entry_points(group="console_scripts", name="mlx.launch")
module, _, name = launch.value.partition(":")
launcher = [sys.executable, "-c", f"from {module} import {name}; {name}()"]
rank = ["--", "-P", "-m", "gelu_tui.engine", "--pipeline"]
subprocess.run([*launcher, "--backend", "ring", *sys.argv[1:], "--python", sys.executable, *rank])
"""


@pytest.mark.parametrize("ending", ["app", "launcher"])
def test_ranks_end_with_the_app_and_with_the_launcher(ending: str, tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path / "m", "gemma")
    app = [sys.executable, "-c", APP, "-n", "2", "--starting-port", str(free_port(2))]
    with EngineProcess(environment(tmp_path), app) as engine:
        assert len(load(engine, str(folder))["ranks"]) == 2
        (launcher,) = psutil.Process(engine.process.pid).children()
        ranks = processes_of(launcher, 2)
        psutil.Process(engine.process.pid if ending == "app" else launcher.pid).kill()
        assert all(soon_gone(process.pid) for process in (*ranks, launcher))


def test_without_a_launcher_it_says_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--pipeline"], env=environment(tmp_path), capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"no launcher has told it which" in done.stderr
    assert b"Traceback" not in done.stderr
