"""`gelu_tui.sweep`: what it returns and keeps, and that a package of its name is no obstacle."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import gelu_tui
from gelu_tui.core.settings.field import fields_of
from gelu_tui.sweep.settings import SweepSettings
from tests.support.command import gelu, sweep_engine

PROMPTS = ["one", "two", "three"]
FUNCTIONS = ["gelu", "gelu_approx", "relu"]


def swept(prompts: Any = PROMPTS, **settings: Any) -> gelu_tui.Sweep:
    chosen: dict[str, Any] = {"activations": FUNCTIONS, "max_tokens": 8, "name": "it", **settings}
    found = gelu_tui.sweep(prompts, engine_command=sweep_engine(), **chosen)
    assert isinstance(found, gelu_tui.Sweep)
    return found


def test_it_returns_what_the_command_prints(home: dict[str, str], tmp_path: Path) -> None:
    lines: list[str] = []
    found = swept(progress=lines.append)
    assert (len(found), found.document.status) == (3, "completed")
    assert [result.variant for result in found.results] == ["gelu", "relu", "control"]
    assert [run.prompt for run in found] == PROMPTS
    assert found.run(1).prompt == "two"
    assert gelu_tui.load_run(f"{found.id}/1").document == found.run(1).document
    assert lines[-1].startswith("3 of 3 prompts")
    assert repr(found) == f"<Sweep {found.id}: 3 of 3 prompts, completed>"
    shown = gelu(home, "show", found.id)
    words = [text.replace("─", "").split() for text in (str(found), shown.out)]
    assert words[0] == words[1]
    assert json.loads(found.to_json())["schema"] == "gelu-tui.sweep/1"
    assert "<svg" in found._repr_html_()
    for name in ("a.json", "a.md", "a.html", "a.csv"):
        assert found.save(tmp_path / name).stat().st_size > 100
    with pytest.raises(gelu_tui.GeluError, match="exists already"):
        found.save(tmp_path / "a.csv")


def test_finished_it_starts_no_engine() -> None:
    first = swept()
    again = gelu_tui.sweep(
        PROMPTS, activations=FUNCTIONS, max_tokens=8, name="it", engine_command="false", margin_pp=3
    )
    assert again.results == first.results and again.document.settings.margin_pp == 3


def test_prompts_are_a_file_or_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [{"prompt": "one", "id": "a", "choices": ["x", "y"], "answer": 1}, {"prompt": ""}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found, again = swept(rows), swept(file, name="file")
    assert [run.prompt for run in found] == [run.prompt for run in again] == ["one"]
    assert [f.error for f in found.document.failed] == ["Its prompt is empty."]
    assert [f.error for f in again.document.failed] == ["Line 2: its prompt is empty."]
    assert found.results[0].task is not None
    assert found.results[0].task.n == 1


def test_what_is_wrong_is_a_sentence() -> None:
    with pytest.raises(gelu_tui.GeluError, match="no setting named 'max_token'") as caught:
        gelu_tui.sweep(PROMPTS, max_token=3)  # type: ignore[call-arg]
    assert caught.value.hint == "Did you mean 'max_tokens'?"
    with pytest.raises(gelu_tui.GeluError, match="There is no file nothing"):
        gelu_tui.sweep("nothing.txt")
    with pytest.raises(gelu_tui.GeluError, match="The engine ended"):
        gelu_tui.sweep(PROMPTS, engine_command="false")


def test_a_model_that_cannot_be_loaded_leaves_the_others() -> None:
    with pytest.raises(gelu_tui.Unfinished, match="There is no such model") as caught:
        swept(models=["a/one", "b/missing"])
    found = caught.value.result
    assert isinstance(found, gelu_tui.Sweep)
    assert (len(found), found.document.status) == (3, "failed")


def test_another_sweep_of_the_name_is_told() -> None:
    swept()
    with pytest.warns(UserWarning, match="The sweep it has changed: max_tokens"):
        swept(max_tokens=9)


def test_restart(home: dict[str, str]) -> None:
    first = swept()
    again = swept(restart=True)
    assert again.document.created >= first.document.created
    assert again.results == first.results


def test_in_a_running_event_loop_and_in_a_thread() -> None:
    async def within() -> int:
        return len(swept())

    assert asyncio.run(within()) == 3
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(len(swept(name="thread"))))
    thread.start()
    thread.join()
    assert found == [3]


def test_data_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    found = swept()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(gelu_tui.GeluError, match="pandas, which is not installed") as caught:
        found.to_pandas()
    assert caught.value.hint == "Install it: pip install pandas."

    def from_records(rows: list[Any], columns: list[str]) -> tuple[Any, ...]:
        return rows, columns

    frame = SimpleNamespace(DataFrame=SimpleNamespace(from_records=from_records))
    monkeypatch.setitem(sys.modules, "pandas", frame)
    rows, columns = found.to_pandas()  # type: ignore[misc]
    assert len(rows) == 3 * 4 and {len(row) for row in rows} == {len(columns)}


def test_real_data_frames() -> None:
    pandas = pytest.importorskip("pandas")
    frame = swept().to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["variant"].unique()) == ["gelu", "gelu_approx", "relu", "control"]


@pytest.mark.parametrize("first", ["", "import gelu_tui.sweep.plan", "gelu_tui.compare"])
def test_the_package_and_the_function_have_one_name(first: str) -> None:
    script = f"import gelu_tui\n{first}\nassert callable(gelu_tui.sweep)\n" + (
        "try:\n    gelu_tui.sweep('nothing.txt')\n"
        "except gelu_tui.GeluError as error:\n    print(error)\n"
        "from gelu_tui.sweep.plan import make_plan\n"
        "assert callable(gelu_tui.sweep)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stderr, done.stdout) == ("", "There is no file nothing.txt.\n")


def test_every_setting_is_a_keyword() -> None:
    def keywords(of: Any) -> Iterator[str]:
        return (name for name, p in inspect.signature(of).parameters.items())

    own = {"prompts", "restart", "progress", "engine_command", "host"}
    cluster = {"workers", "scheduler", "ssh", "ssh_python"}
    expected = {*own, *cluster, *fields_of(SweepSettings)}
    assert set(keywords(gelu_tui.sweep)) == expected
