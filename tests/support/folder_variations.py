"""Ways in which model folders differ from the plain one, for `tests/engine/models/test_parity.py`.

A row of `VARIATIONS` is a name, a function that edits a tiny model's folder, and, where such a
folder cannot run, a part of the sentence that refuses it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Variation:
    """An edit of a folder, and how such a folder is refused (a regular expression), if it is.

    `families` limits it to some families of `tiny_models`; empty means all.
    """

    edit: Callable[[Path], None]
    refused: str | None = None
    families: tuple[str, ...] = ()


def edit_json(file: Path, **changes: Any) -> None:
    """Set keys of a JSON file, which is made if there is none; None deletes a key."""
    content = json.loads(file.read_text()) if file.exists() else {}
    content.update(changes)
    kept = {key: value for key, value in content.items() if value is not None}
    file.write_text(json.dumps(kept))


def _no_generation_config(folder: Path) -> None:
    (folder / "generation_config.json").unlink(missing_ok=True)


def _end_ids_in_generation_config(folder: Path) -> None:
    edit_json(folder / "generation_config.json", eos_token_id=[5, 7])


VARIATIONS: dict[str, Variation] = {
    "plain": Variation(lambda folder: None),
    "no generation_config": Variation(_no_generation_config),
    "end ids in generation_config": Variation(_end_ids_in_generation_config),
    "other end id in config": Variation(
        lambda folder: edit_json(folder / "config.json", eos_token_id=[6, 300])
    ),
    "no tokenizer": Variation(
        lambda folder: (folder / "tokenizer.json").unlink(), refused="no tokenizer"
    ),
}
