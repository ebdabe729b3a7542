"""What a sweep is: kept beside its results, so that they can be read without its files."""

from __future__ import annotations

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.sweep.settings import SweepSettings


class SweepHeader(msgspec.Struct, frozen=True, kw_only=True):
    """One sweep; results under another `key` must not be mixed with it.

    `functions` (the control included, in the order of the streams), `reference` and `loaded` are
    filled in once an engine has told them; `loaded` grows by a model at a time.
    """

    key: str  # hexadecimal, of everything that results depend on
    name: str
    created: str  # ISO 8601, UTC
    settings: SweepSettings  # with models, functions and a seed
    prompts: int  # in the set, bad rows included
    prompts_name: str
    prompts_digest: str
    functions: tuple[p.VariantInfo, ...] = ()
    reference: str = ""
    loaded: tuple[p.ModelInfo, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """The models by the names that load them, the reference model first."""
        return self.settings.models
