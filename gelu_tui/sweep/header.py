"""The file `sweep.json` in the folder of a sweep: what it consists of."""

from __future__ import annotations

import re

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.sweep.settings import SweepSettings

HEADER_SCHEMA = "gelu-tui.sweep-plan/1"
_NO_NAME = re.compile(r"[^\w.-]+")


class PromptSetInfo(msgspec.Struct, frozen=True):
    """Which prompts: `digest` is the SHA-256 of what they were read from."""

    name: str
    digest: str
    count: p.Count


class SweepHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep consists of: `key` is a hex digest of all that its results depend on.

    `models` are as they were asked for, `functions` in the order of every outcome's streams, with
    the control if there is one; which of them is native is known once a model has been loaded.
    """

    schema: str = HEADER_SCHEMA
    key: str
    name: str
    created: str  # ISO 8601, UTC
    settings: SweepSettings
    prompts: PromptSetInfo
    models: tuple[p.Name, ...]
    functions: tuple[p.VariantInfo, ...]
    reference: p.Name

    @property
    def id(self) -> str:
        """The name of the sweep's folder, by which `show` and `open` know it."""
        return folder_name(self.name, self.key)


def folder_name(name: str, key: str) -> str:
    """Return what the results of a sweep are called."""
    shown = _NO_NAME.sub("-", name).strip(".-_")[:60].rstrip(".-_")
    return f"{shown or 'sweep'}-{key[:8]}"
