"""Paths as users type them, and what lies there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gelu_tui.core import paths
from gelu_tui.core.errors import GeluError
from tests.support.permissions import closed


def test_what_lies_at_a_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    found = {name: paths.look(tmp_path / name) for name in ("", "file", "pipe", "link", "none")}
    assert found == {"": "folder", "file": "file", "pipe": "other", "link": None, "none": None}
    assert paths.look(tmp_path / "file" / "below") is None
    assert paths.look(tmp_path / "a\0b") is None


def test_what_may_not_be_looked_into_is_not_nothing(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    with closed(tmp_path / "closed"), pytest.raises(PermissionError):
        paths.look(tmp_path / "closed" / "x")


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.expanded("~/x") == tmp_path / "x"
    with pytest.raises(GeluError, match=r"^'~nobody-here/x' is no path here: there is no user "):
        paths.expanded("~nobody-here/x")


def test_the_variable_that_says_where_a_folder_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", "")
    assert paths.variable_of(tmp_path / "a" / "b") == "XDG_CACHE_HOME"
    assert paths.variable_of(tmp_path.parent) == ""
