"""The API in a real Jupyter kernel: its event loop runs, and its output is the HTML page's."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

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


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What is below each cell of a notebook that goes on after an error."""
    cells = [
        nbformat.v4.new_code_cell(cell, metadata={"tags": ["raises-exception"] * (cell is WRONG)})
        for cell in (FIRST, ASYNCHRONOUS, WRONG, LAST)
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    resources = {"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    return [cell.outputs for cell in notebook.cells]


def test_a_notebook_shows_the_streams_side_by_side(outputs: list[Any]) -> None:
    first, later, _, last = outputs
    (shown,) = first
    parsed = Parsed.of(shown["data"]["text/html"])
    assert parsed.tags.count("article") == 2 and parsed.tags.count("mark") == 1
    assert "Why is the <b>sky</b> blue?" in parsed.texts and "html" not in parsed.tags
    assert shown["data"]["text/plain"].startswith("<Run of “Why is the <b>sky</b> blue?”; gelu: ")
    assert "text/html" in later[0]["data"] and last == []


def test_an_error_in_a_notebook_has_its_sentence_and_its_hint(outputs: list[Any]) -> None:
    (error,) = outputs[2]
    assert error["output_type"] == "error"
    assert "There is no setting named 'max_token'." in error["evalue"]
    assert "Did you mean 'max_tokens'?" in "\n".join(error["traceback"])
