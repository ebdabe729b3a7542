"""What each rank loads, and what a pipeline refuses."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx.utils import tree_flatten

from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.controls import control_of
from gelu_tui.core.functions.expressions import parse
from gelu_tui.core.functions.registry import REGISTRY, names
from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.core.models.families import FAMILIES
from gelu_tui.engine import device
from gelu_tui.engine.models import loading
from gelu_tui.engine.pipeline import follower, messages
from gelu_tui.engine.pipeline.leader import Leader
from gelu_tui.engine.pipeline.split import borders_of
from tests.support import in_process, pipelines, tiny_models


@pytest.fixture(autouse=True)
def _prepared() -> None:
    device.prepare()


def size(module: Any) -> int:
    return sum(value.nbytes for _, value in tree_flatten(module.parameters()))


@pytest.mark.parametrize("family", ["gemma", "gemma2", "gemma3_text", "gemma3", "recurrent_gemma"])
@pytest.mark.parametrize("ranks", [2, 3])
def test_each_rank_holds_its_own_layers_only(family: str, ranks: int, tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, family)
    one = in_process.load(folder)
    many, ring = pipelines.load(folder, ranks)
    held = [size(many.model), *(size(rank._part) for rank in ring.followers)]
    assert [rank.weight_bytes for rank in many.ranks] == held
    assert sum(held) == one.weight_bytes == size(one.model)
    borders = [(rank.first_layer, rank.end_layer) for rank in many.ranks]
    assert borders[0][0] == 0 and borders[-1][1] == len(one.model.layers)
    assert all(end == first for (_, end), (first, _) in itertools.pairwise(borders))
    assert many.info == one.info


@pytest.mark.parametrize("family", ["gemma3n", "gemma4_text", "gemma4_text-experts", "gemma4"])
def test_a_family_that_cannot_be_split_is_refused_by_its_name(family: str, tmp_path: Path) -> None:
    with pytest.raises(GeluError, match=f"A {family.partition('-')[0]} cannot be split by layers"):
        pipelines.load(tiny_models.write(tmp_path, family), 2)


def test_more_ranks_than_layers(tmp_path: Path) -> None:
    with pytest.raises(GeluError, match="A model of 4 layers cannot be split over 5 ranks"):
        pipelines.load(tiny_models.write(tmp_path, "gemma"), 5)


@given(
    layers=st.lists(st.integers(1, 100), min_size=1, max_size=60),
    embedding=st.integers(0, 3000),
    ranks=st.integers(2, 9),
)
def test_any_layers_are_split_in_order_and_none_is_left_out(
    layers: list[int], embedding: int, ranks: int
) -> None:
    model = _Sized(layers, embedding)
    if len(layers) < ranks:
        with pytest.raises(GeluError):
            borders_of(model, FAMILIES["gemma"], ranks)
        return
    borders = borders_of(model, FAMILIES["gemma"], ranks)
    assert len(borders) == ranks + 1
    assert borders[0] == 0 and borders[-1] == len(layers)
    assert all(first < end for first, end in itertools.pairwise(borders))


def test_ranks_behind_a_large_embedding_share_what_is_left() -> None:
    assert borders_of(_Sized([20] * 13, 2000), FAMILIES["gemma"], 3) == (0, 1, 7, 13)


class _Sized:
    """A model of layers and an embedding of so many bytes."""

    def __init__(self, layers: list[int], embedding: int) -> None:
        self.model, self.layers = self, [_Sized([], size) for size in layers]
        self._bytes = embedding + sum(layers)

    def parameters(self) -> dict[str, mx.array]:
        return {"weight": mx.zeros((self._bytes,), mx.uint8)}


def test_a_rank_that_cannot_load_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_models.write(tmp_path / "m", "gemma")
    real = follower.locate
    monkeypatch.setattr(follower, "locate", lambda *_: real("/nowhere", *_[1:]))
    with pytest.raises(GeluError, match=r"^Rank 1 on .*: .*nowhere"):
        pipelines.load(folder, 3)
    monkeypatch.undo()
    assert len(pipelines.load(folder, 3)[0].ranks) == 3


def test_another_model_on_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_models.write(tmp_path / "m", "gemma")
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "rope_theta": 5.0}))
    real = follower.locate
    monkeypatch.setattr(follower, "locate", lambda *_: real(str(other), *_[1:]))
    with pytest.raises(GeluError, match=r"another config\.json than on rank 0"):
        pipelines.load(folder, 2)


def test_another_version_on_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = pipelines.RingInProcess(2)
    own = loading.versions()
    folder = tiny_models.write(tmp_path, "gemma")
    leader = Leader(lambda: ring)
    monkeypatch.setattr(
        "gelu_tui.engine.pipeline.leader.loading.versions", lambda: {**own, "mlx": "0.1"}
    )
    send = ring.send

    def with_own_version(message: messages.Message, hidden: Any = None) -> None:
        monkeypatch.setattr("gelu_tui.engine.pipeline.follower.loading.versions", lambda: own)
        send(message, hidden)

    monkeypatch.setattr(ring, "send", with_own_version)
    with pytest.raises(GeluError, match=r"mlx is .* here and 0\.1 on rank 0"):
        loading.load(str(folder), None, lambda _: None, lambda: False, leader)


def test_weights_of_another_rank_that_do_not_fit_float16(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "gemma")
    file = str(folder / "model.safetensors")
    weights = dict(mx.load(file))
    weights["model.layers.3.mlp.up_proj.weight"] *= 1e9
    mx.eval(weights)
    mx.save_safetensors(file, weights, metadata={"format": "mlx"})
    with pytest.raises(GeluError, match=r"layers.3.mlp.up_proj.weight. do not fit float16"):
        pipelines.load(folder, 2, "float16")


def test_damaged_weights_of_another_rank_are_found(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "gemma")
    file = str(folder / "model.safetensors")
    weights = dict(mx.load(file))
    weights["model.layers.3.mlp.up_proj.weight"] *= float("nan")
    mx.eval(weights)
    mx.save_safetensors(file, weights, metadata={"format": "mlx"})
    many, _ = pipelines.load(folder, 3)
    assert loading.first_not_finite(many.model) == "layers.3.mlp.up_proj.weight"


FORMULAS = ("x", "-x**2", "where(x-1, min(x, 2.5), max(x, erf(x)))", "x*sigmoid(1.7*x)", "pi")
NODES = [
    *(parse(formula, names()) for formula in FORMULAS),
    *(parse_variant(name).node for name in REGISTRY),
    *(control_of(parse_variant(name)).node for name in (*REGISTRY, "mine=x*tanh(x)")),
]


@pytest.mark.parametrize("node", NODES, ids=repr)
def test_a_formula_travels(node: Any) -> None:
    assert messages.unpacked(messages.packed(node)) == node
