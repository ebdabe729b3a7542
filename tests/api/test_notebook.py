"""The API in a real Jupyter kernel: its event loop runs, and its output is the HTML page's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.support.command import fake_engine
from tests.support.pages import Parsed

FIRST = f"""
import asyncio, gelu_tui
assert asyncio.get_running_loop().is_running()
engine = gelu_tui.Engine(engine_command={fake_engine("five")!r})
run = engine.compare("Why is the <b>sky</b> blue?", activations=["gelu", "silu"], max_tokens=5)
run
"""
ASYNCHRONOUS = "await asyncio.to_thread(engine.compare, 'y', activations=['gelu'], max_tokens=2)"
WRONG = "engine.compare('x', max_token=5)"
LAST = "engine.compare('z', activations=['gelu'], max_tokens=1).status; engine.close()"


def executed(folder: Path, *cells: str) -> list[Any]:
    made = [nbformat.v4.new_code_cell(cell) for cell in cells]
    notebook = nbformat.v4.new_notebook(cells=made)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    client.execute()
    return [cell.outputs for cell in notebook.cells]


def test_a_notebook_shows_the_streams_side_by_side(tmp_path: Path) -> None:
    first, later, last = executed(tmp_path, FIRST, ASYNCHRONOUS, LAST)
    (shown,) = first
    parsed = Parsed.of(shown["data"]["text/html"])
    assert parsed.tags.count("article") == 2 and parsed.tags.count("mark") == 1
    assert "Why is the <b>sky</b> blue?" in parsed.texts and "html" not in parsed.tags
    assert shown["data"]["text/plain"].startswith("<Run of “Why is the <b>sky</b> blue?”; gelu: ")
    assert "text/html" in later[0]["data"] and last == []


def test_an_error_in_a_notebook_has_its_sentence_and_its_hint(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError) as failed:
        executed(tmp_path, FIRST, WRONG)
    assert "There is no setting named 'max_token'." in str(failed.value)
    assert "Did you mean 'max_tokens'?" in failed.value.traceback
