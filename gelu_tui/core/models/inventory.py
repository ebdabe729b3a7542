"""Gemma models on a disk, and models that can be fetched."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from gelu_tui.core.models.memory import ALLOWANCE_BYTES

Source = Literal["demo", "hub", "folder"]
State = Literal["ready", "unconverted", "absent", "partial", "damaged", "unusable", "not_served"]

# The state of a folder by the kind of the error that it is refused with.
_STATES: dict[str, State] = {
    "config_missing": "absent",
    "weights_missing": "partial",
    "tokenizer_missing": "partial",
    "lfs_pointer": "partial",
    "weights_damaged": "damaged",
    "not_a_model": "damaged",
    "not_served": "not_served",
    "remote_code": "not_served",
}


def state_of(kind: str) -> State:
    """The state of a model folder that is refused with an error of this kind."""
    return _STATES.get(kind, "unusable")


class LocalModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model on the engine's machine, whole or in part; None for a fact that is not known.

    `id` is the value for `--model`, `dtype` the stored one, `weight_bytes` the memory that the
    weights take once they are loaded on that machine.
    """

    id: str
    source: Source
    folder: str
    state: State
    reason: str = ""
    family: str | None = None
    native_activation: str | None = None
    dtype: str | None = None
    quantization: dict[str, int | str] | None = None
    parameters: int | None = None
    disk_bytes: int = 0
    weight_bytes: int | None = None

    @property
    def usable(self) -> bool:
        """Whether it can be loaded."""
        return self.state in ("ready", "unconverted")

    @property
    def needed_bytes(self) -> int | None:
        """Memory for the weights and a comparison."""
        return None if self.weight_bytes is None else self.weight_bytes + ALLOWANCE_BYTES


class HubSize(msgspec.Struct, frozen=True):
    """What the hub says of a repository.

    `weight_bytes` is the memory that its weights take once they are loaded on the engine's machine.
    """

    id: str
    download_bytes: int
    weight_bytes: int


class PublicModel(msgspec.Struct, frozen=True):
    """A repository on the hub; the licence of a `gated` one has to be accepted first.

    The sizes are as in `HubSize`, None where nothing is known; `estimated` ones are about right.
    """

    id: str
    family: str
    gated: bool = False
    download_bytes: int | None = None
    weight_bytes: int | None = None
    estimated: bool = False

    @property
    def needed_bytes(self) -> int | None:
        """Memory for the weights and a comparison."""
        return None if self.weight_bytes is None else self.weight_bytes + ALLOWANCE_BYTES

    def with_size(self, size: HubSize | None) -> PublicModel:
        """The model with the size that the hub gives, if it gives one."""
        if size is None:
            return self
        return msgspec.structs.replace(
            self,
            download_bytes=size.download_bytes,
            weight_bytes=size.weight_bytes,
            estimated=False,
        )


def is_quantized(repo_id: str) -> bool:
    """Whether a repository says in its name that its weights are quantized, e.g. `…-4bit`."""
    return re.search(r"\d-?bit\b", repo_id) is not None


def is_gated(repo_id: str) -> bool:
    """Whether a repository is gated: Google's own are, copies by others are not."""
    return repo_id.startswith("google/")


# Repositories that public code names, with about the gigabytes that they hold, for machines that
# cannot ask the hub.
_PUBLIC = (
    ("mlx-community/gemma-3-270m-it-bf16", "gemma3_text", 0.57),
    ("mlx-community/gemma-3-1b-it-qat-4bit", "gemma3_text", 0.73),
    ("mlx-community/gemma-3-4b-it-4bit", "gemma3", 3.0),
    ("mlx-community/gemma-3-12b-it-4bit", "gemma3", 7.5),
    ("mlx-community/gemma-2-2b-it-4bit", "gemma2", 1.5),
    ("mlx-community/gemma-2-9b-it-4bit", "gemma2", 5.2),
    ("mlx-community/gemma-1.1-2b-it-4bit", "gemma", 1.4),
    ("mlx-community/gemma-7b-it-4bit", "gemma", 4.8),
    ("mlx-community/gemma-3n-E2B-it-lm-4bit", "gemma3n", 2.5),
    ("mlx-community/gemma-4-e2b-it-4bit", "gemma4", 3.6),
    ("google/gemma-7b-it", "gemma", 17.1),
)
PUBLIC_IDS = tuple(name for name, _, _ in _PUBLIC)


def public_models(*, on_gpu: bool) -> tuple[PublicModel, ...]:
    """Models that can be fetched, with the sizes that are known without the hub."""
    return tuple(
        PublicModel(
            name,
            family,
            is_gated(name),
            download_bytes=round(gigabytes * 1e9),
            # On a CPU weights of 16 bits become float32.
            weight_bytes=round(gigabytes * 1e9) * (1 if on_gpu or is_quantized(name) else 2),
            estimated=True,
        )
        for name, family, gigabytes in _PUBLIC
    )
