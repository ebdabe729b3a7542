"""Ways in which model folders differ from the plain one, for `tests/engine/models/test_parity.py`.

A row of `VARIATIONS` is a name, a function that edits a tiny model's folder, and, where such a
folder cannot run, a part of the sentence that refuses it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.support import tiny_models, weight_edits
from tests.support.tokenizer_variations import EDITS, SHOWS_ALL, config, edit_json, names


@dataclass(frozen=True)
class Variation:
    """An edit of a folder, and how such a folder is refused (a regular expression), if it is.

    `families` limits it to some families of `tiny_models`; empty means all.
    """

    edit: Callable[[Path], None]
    refused: str | None = None
    families: tuple[str, ...] = ()


def _with_class(edit: Callable[[Path], None], name: str) -> Callable[[Path], None]:
    """After setting the tokenizer's class, and a template that shows all its variables."""

    def both(folder: Path) -> None:
        names(folder, "<mask>")
        config(folder, tokenizer_class=name, chat_template=SHOWS_ALL)
        edit(folder)

    return both


def _no_generation_config(folder: Path) -> None:
    (folder / "generation_config.json").unlink(missing_ok=True)


def _write(file: Path, text: str, encoding: str = "utf-8") -> None:
    file.write_text(text, encoding)


# As transformers 5 writes Gemma 3's.
_ROPE = {
    "full_attention": {"rope_theta": 1_000_000.0, "rope_type": "default"},
    "sliding_attention": {"rope_theta": 10_000.0, "rope_type": "default"},
}


def _end_ids_in_generation_config(folder: Path) -> None:
    edit_json(folder / "generation_config.json", eos_token_id=[5, 7])


def _shards(folder: Path) -> None:
    weight_edits.shards(folder)


def _shards_and_index(folder: Path) -> None:
    _shards(folder)
    weight_edits.index(folder)


def _quantized(folder: Path) -> None:
    """4 bits, and a configuration that says 8."""
    family = json.loads((folder / "config.json").read_text())["model_type"]
    tiny_models.write(folder, family, bits=4)
    edit_json(folder / "config.json", quantization={"group_size": 64, "bits": 8})


# Of what is read alike in every family: one whose configuration is flat, and one with a
# configuration of its text model inside.
_FLAT_AND_NESTED = ("gemma2", "gemma4")

VARIATIONS: dict[str, Variation] = {
    "plain": Variation(lambda folder: None),
    "no generation_config": Variation(_no_generation_config, families=_FLAT_AND_NESTED),
    "end ids in generation_config": Variation(
        _end_ids_in_generation_config, families=_FLAT_AND_NESTED
    ),
    "other end id in config": Variation(
        lambda folder: edit_json(folder / "config.json", eos_token_id=[6, 300]),
        families=_FLAT_AND_NESTED,
    ),
    "no tokenizer": Variation(
        lambda folder: (folder / "tokenizer.json").unlink(),
        refused="no tokenizer",
        families=_FLAT_AND_NESTED,
    ),
    "generation_config that is not JSON": Variation(
        lambda folder: _write(folder / "generation_config.json", '{"eos_token_id": 5,}'),
        families=("gemma", "gemma3"),
    ),
    "another function in config": Variation(
        lambda folder: edit_json(folder / "config.json", hidden_act="silu"), families=("gemma2",)
    ),
    "rope_parameters that change nothing": Variation(
        lambda folder: edit_json(folder / "config.json", rope_parameters=_ROPE),
        families=("gemma3_text",),
    ),
    "config in UTF-16": Variation(
        lambda folder: _write(folder / "config.json", "{}", "utf-16"),
        refused="it is UTF-16, not UTF-8",
        families=("gemma",),
    ),
    "a value that cannot be computed": Variation(
        lambda folder: edit_json(folder / "config.json", head_dim=0),
        refused="head_dim is 0 in config.json",
        families=("gemma", "gemma4_text"),
    ),
    # mlx-lm reads beyond the embeddings there, and what it finds changes from run to run.
    "BOS beyond the embeddings": Variation(
        partial(config, bos_token="<s>", chat_template="{{ bos_token }}"),
        refused="token 384, '<s>', which this model has no embedding for",
        families=("gemma3", "gemma4"),
    ),
}

VARIATIONS |= {
    "shards": Variation(_shards, families=_FLAT_AND_NESTED),
    "shards and their index": Variation(_shards_and_index, families=_FLAT_AND_NESTED),
    "an index of other files": Variation(
        weight_edits.index_of_other_files, families=_FLAT_AND_NESTED
    ),
    "no index, a shard is missing": Variation(
        lambda folder: weight_edits.shards(folder)[0].unlink(),
        refused="model-00001-of-00002.safetensors is missing",
        families=_FLAT_AND_NESTED,
    ),
    "towers": Variation(weight_edits.with_towers, families=("gemma3", "gemma3n", "gemma4")),
    "quantized": Variation(_quantized, families=("gemma", "gemma3_text", "gemma3n")),
    "packed by AutoAWQ": Variation(weight_edits.by_awq, families=("gemma2", "gemma3_text")),
    "names of transformers": Variation(
        lambda folder: weight_edits.renamed(
            folder, "language_model.model.", "model.language_model."
        ),
        refused="model.language_model.embed_tokens.weight, not language_model.model.",
        families=("gemma3",),
    ),
}

# GemmaTokenizer takes the vocabulary of tokenizer.json only, the other class takes it whole.
VARIATIONS |= {
    f"{name}, {tokenizer_class}": Variation(_with_class(edit, tokenizer_class), families=(family,))
    for name, edit in EDITS.items()
    for tokenizer_class, family in (("GemmaTokenizer", "gemma3"), ("TokenizersBackend", "gemma4"))
}
