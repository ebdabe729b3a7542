"""What tests of saved runs begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from gelu_tui.core.runs.history import History


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "data" / "history.sqlite")
