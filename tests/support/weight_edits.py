"""Edits of the weights of a tiny model's folder: names, files, indexes, ways of quantizing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx

from tests.support import tiny_models

WEIGHTS = "model.safetensors"
Weights = dict[str, mx.array]


def read(folder: Path, name: str = WEIGHTS) -> Weights:
    """The tensors of a file, in memory."""
    weights = mx.load(str(folder / name))
    assert isinstance(weights, dict)
    mx.eval(weights)
    return weights


def save(folder: Path, weights: Weights, name: str = WEIGHTS) -> None:
    file = folder / name
    # Not by MLX's own opening of the file: a name may hold what is no text to it.
    with file.open("wb") as opened:
        mx.save_safetensors(opened, weights, metadata={"format": "mlx"})


def edit(folder: Path, change: Callable[[Weights], Weights]) -> None:
    save(folder, change(read(folder)))


def shards(folder: Path, place: Callable[[int], int] = lambda number: number % 2) -> list[Path]:
    """Write the weights as shards; `place` tells the shard of the n-th tensor, from 0 on."""
    weights = read(folder)
    (folder / WEIGHTS).unlink()
    numbers = [place(number) for number in range(len(weights))]
    names = sorted(set(numbers))
    files = []
    for at, shard in enumerate(names, 1):
        files.append(folder / f"model-{at:05}-of-{len(names):05}.safetensors")
        part = {n: w for (n, w), of in zip(weights.items(), numbers, strict=True) if of == shard}
        save(folder, part, files[-1].name)
    return files


def index(folder: Path, placed: dict[str, str] | None = None) -> None:
    """Write an index: of the files as they are, or as it is given."""
    if placed is None:
        files = sorted(folder.glob("model*.safetensors"))
        placed = {name: file.name for file in files for name in read(folder, file.name)}
    content = json.dumps({"metadata": {}, "weight_map": placed})
    (folder / f"{WEIGHTS}.index.json").write_text(content)


def another(folder: Path, like: Path) -> Path:
    """Another model of the same family: other weights."""
    config = json.loads((like / "config.json").read_text())
    return tiny_models.write(folder, config["model_type"], seed=8)


def renamed(folder: Path, begin: str, other: str) -> None:
    """Begin the names of tensors in another way."""
    edit(folder, lambda found: {other + n.removeprefix(begin): w for n, w in found.items()})


def with_head(folder: Path, *, tied: bool) -> None:
    """Store an output head beside the embeddings, equal to them or not."""

    def change(found: Weights) -> Weights:
        name = next(n for n in found if n.endswith(".embed_tokens.weight"))
        return {**found, "lm_head.weight": found[name] if tied else found[name] + 1}

    edit(folder, change)
