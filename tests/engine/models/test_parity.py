"""Each family and each variation of its folder: as mlx-lm runs it, or refused by a sentence."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx_lm
import pytest

from gelu_tui.core.errors import GeluError
from gelu_tui.engine.jobs.prompt import feed
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, tiny_models
from tests.support.commands import comparing
from tests.support.folder_variations import VARIATIONS
from tests.support.odd_models import CHAT_TEMPLATE

COUNT = 5
RAW = {"raw with BOS": "<bos>the sky", "raw": "Why is the sky"}
CHAT = "空が Why 🌍 <eos>"
CASES = [
    pytest.param(family, name, id=f"{family}: {name}")
    for name, variation in VARIATIONS.items()
    for family in variation.families or tiny_models.CONFIGS
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The plain folder of each family."""
    parent = tmp_path_factory.mktemp("plain")
    return {
        family: tiny_models.write(parent / family, family, chat_template=CHAT_TEMPLATE)
        for family in tiny_models.CONFIGS
    }


@pytest.mark.parametrize(("family", "name"), CASES)
def test_as_mlx_lm(family: str, name: str, plain: dict[str, Path], tmp_path: Path) -> None:
    variation = VARIATIONS[name]
    folder = shutil.copytree(plain[family], tmp_path / "model")
    variation.edit(folder)
    if variation.refused is not None:
        with pytest.raises(GeluError, match=variation.refused):
            _ours(in_process.load(folder, "float32"))
        return
    expected = _theirs(folder)
    assert _ours(in_process.load(folder, "float32")) == expected


def _theirs(folder: Path) -> dict[str, Any]:
    """The ids of each prompt, and the tokens and the text that follow the last of them."""
    model, tokenizer = mlx_lm.load(str(folder))
    model.set_dtype(mx.float32)
    ids = {}
    for kind, prompt in RAW.items():  # as mlx_lm.stream_generate
        add_bos = not (tokenizer.bos_token and prompt.startswith(tokenizer.bos_token))
        ids[kind] = tokenizer.encode(prompt, add_special_tokens=add_bos)
    if tokenizer.has_chat_template:  # as mlx_lm.generate
        turns = [{"role": "user", "content": CHAT}]
        ids["chat"] = tokenizer.apply_chat_template(turns, add_generation_prompt=True)
    last = list(ids.values())[-1]
    responses = list(mlx_lm.stream_generate(model, tokenizer, last, max_tokens=COUNT))
    tokens, text = [r.token for r in responses], "".join(r.text for r in responses)
    return {"ids": ids, "tokens": tokens, "text": text}


def _ours(loaded: LoadedModel) -> dict[str, Any]:
    ids = {kind: feed(loaded.tokenizer, prompt, False)[1] for kind, prompt in RAW.items()}
    prompt, chat = list(RAW.values())[-1], loaded.tokenizer.chat_template is not None
    if chat:
        prompt = CHAT
        ids["chat"] = feed(loaded.tokenizer, CHAT, True)[1]
    # The native function in the model's precision: the numbers are mlx-lm's own too.
    settings = {"activation_precision": "model", "replay": False, "max_tokens": COUNT}
    command = comparing(prompt, (loaded.info.native_activation,), chat=chat, **settings)
    [stream] = in_process.compare(loaded, command).streams
    assert stream.error is None
    return {"ids": ids, "tokens": stream.tokens, "text": stream.text}
