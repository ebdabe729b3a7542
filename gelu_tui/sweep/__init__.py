"""Many prompts: sweeps. `gelu_tui.sweep(...)` runs one; `help(gelu_tui.api.sweep)` explains it."""

from __future__ import annotations

import importlib
import inspect
import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """This package, called as the function of the same name: Python gives both one attribute."""

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        return _function()(*arguments, **settings)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(_function())


def _function() -> Any:
    # By name and late: the function is above this package, which does not depend on it.
    return importlib.import_module("gelu_tui.api").sweep


sys.modules[__name__].__class__ = _CallablePackage
