"""Fixtures that several test modules share."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from gelu_tui.core.settings.remembered import remembered_path
from tests.support.cores import stay_on_one
from tests.support.jumping_time import monotonic

# How long an example takes on a loaded machine says nothing about it. The same examples each time:
# what a change did must not hide among new ones. HYPOTHESIS_PROFILE=explore tries others.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# A shell that starts the tests in the background hands on an ignored SIGINT, and every process that
# a test starts would ignore it too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Two workers share two cores, on which threads of BLAS would wait for each other in busy loops.
# Numpy reads this when it is imported.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

# In some tests time jumps. Textual takes the function when it is imported.
time.monotonic = monotonic

# A test must never leave this machine; tests that speak to a hub bring their own on loopback.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

# The settings of whoever runs the tests must not matter, nor be changed.
_home = tempfile.TemporaryDirectory(prefix="gelu-tui-tests-")
_settings = Path(_home.name) / "config.toml"
_settings.touch()
os.environ["GELU_TUI_CONFIG"] = str(_settings)
# Nor may the history: what a test runs is not a run of theirs.
os.environ["XDG_DATA_HOME"] = str(Path(_home.name) / "data")
# Nor may what the app remembers, from one test to the next either.
os.environ["XDG_STATE_HOME"] = str(Path(_home.name) / "state")


def pytest_configure(config: pytest.Config) -> None:
    if (worker := getattr(config, "workerinput", None)) is not None:
        stay_on_one(int(worker["workerid"].removeprefix("gw")))


# The files that take longest, first: at the end the workers would wait for one of them.
_LONGEST = ("test_demo_run", "test_snapshots", "test_reliability", "test_in_terminal")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in _LONGEST)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Nearly all that is made while tests are collected stays: do not look through it for garbage.

    Nor often afterwards: a tenth of the time of some tests was spent on that.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    yield
    if (path := remembered_path()).is_relative_to(_home.name):
        path.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def demo_model() -> Path:
    """The folder of the real demo model in the user's cache, converted on first use."""
    from gelu_tui.engine.demo.convert import ensure_demo

    return ensure_demo(lambda *_: None, lambda: False)
