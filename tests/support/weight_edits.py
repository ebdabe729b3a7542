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


def index_of_other_files(folder: Path) -> None:
    """Shards, and the index of another conversion, which names five that are not there."""
    names = [f"model-{number:05}-of-00005.safetensors" for number in range(1, 6)]
    weights = read(folder)
    shards(folder)
    index(folder, {name: names[at % 5] for at, name in enumerate(weights)})


def with_towers(folder: Path) -> None:
    """Tensors of images and sound beside those of the text, by the names of their family."""
    prefix = {"gemma3": "", "gemma3n": "model.", "gemma4": "model."}
    begin = prefix[json.loads((folder / "config.json").read_text())["model_type"]]
    more = {f"{begin}vision_tower.layers.0.weight": mx.zeros((1000, 1000))}
    edit(folder, lambda found: {**found, **more})


def by_awq(folder: Path) -> None:
    """Pack some weights as AutoAWQ does, which mlx-lm unpacks."""
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "awq", "bits": 4, "group_size": 32}
    (folder / "config.json").write_text(json.dumps(config))

    def change(found: Weights) -> Weights:
        packed: Weights = {}
        for name, weight in found.items():
            if not name.endswith("mlp.up_proj.weight"):
                packed[name] = weight
                continue
            start, (rows, columns) = name.removesuffix("weight"), weight.shape
            words = mx.random.randint(0, 2**31 - 1, (columns, rows // 8)).astype(mx.uint32)
            packed[f"{start}qweight"] = words
            packed[f"{start}qzeros"] = words[: columns // 32]
            packed[f"{start}scales"] = mx.full((columns // 32, rows), 0.05)
        return packed

    edit(folder, change)
