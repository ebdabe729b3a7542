"""The demo's tokenizer: tokenizer.json rebuilt from a GGUF file's own tokens, scores and types."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from gelu_tui.engine.demo.source import Tick

_SPACE = "▁"
_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4


def pieces(metadata: dict[str, Any]) -> tuple[list[str], list[float], list[int]]:
    """Return Google's own vocabulary: pieces, scores and types (SentencePiece's numbers), by id.

    The conversion to GGUF turned the `▁` of user-defined runs of spaces into spaces, and gave
    control and user-defined pieces the score −1000 where SentencePiece has 0.
    """
    tokens, scores, types = (
        metadata[f"tokenizer.ggml.{key}"] for key in ("tokens", "scores", "token_type")
    )
    rows = list(zip(tokens, scores, types, strict=True))
    return (
        [t.replace(" ", _SPACE) if kind == _USER_DEFINED else t for t, _, kind in rows],
        [0.0 if kind in (_CONTROL, _USER_DEFINED) else score for _, score, kind in rows],
        list(types),
    )


def merges(tokens: Sequence[str], scores: Sequence[float], tick: Tick) -> list[str]:
    """Return every way to join two pieces into a piece, as "LEFT RIGHT", in the order of merging.

    Best score first, as SentencePiece does; of equal scores the longest left part first. No piece
    holds a space, and one string loads a fifth faster than a pair.
    """
    vocabulary = frozenset(tokens)
    found: list[str] = []
    by_score = sorted(range(len(tokens)), key=lambda index: -scores[index])
    for count, (_, equals) in enumerate(itertools.groupby(by_score, key=scores.__getitem__)):
        if count % 4096 == 0:
            tick("building the demo model's tokenizer", 0, 0)
        pairs = [
            (token[:cut], token[cut:])
            for token in map(tokens.__getitem__, equals)
            for cut in range(1, len(token))
            if token[:cut] in vocabulary and token[cut:] in vocabulary
        ]
        pairs.sort(key=lambda pair: (-len(pair[0]), -len(pair[1])))
        found += map(" ".join, pairs)
    return found


def tokenizer_json(metadata: dict[str, Any], tick: Tick) -> dict[str, object]:
    """Return the content of tokenizer.json: BPE with byte fallback, `<bos>` put first."""
    tokens, scores, types = pieces(metadata)
    bos_id = metadata["tokenizer.ggml.bos_token_id"]
    bos = tokens[bos_id]
    tokenizer = Tokenizer(
        models.BPE(
            {token: index for index, token in enumerate(tokens)},
            [],
            unk_token=tokens[metadata["tokenizer.ggml.unknown_token_id"]],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizers.Replace(" ", _SPACE)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.post_processor = processors.TemplateProcessing(
        f"{bos} $A", f"{bos} $A {bos}:1 $B:1", [(bos, bos_id)]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_tokens(
        [
            # user-defined runs of spaces are searched in the text after ` ` became `▁`
            AddedToken(token, normalized=kind == _USER_DEFINED, special=kind != _USER_DEFINED)
            for token, kind in zip(tokens, types, strict=True)
            if kind in (_UNKNOWN, _CONTROL, _USER_DEFINED)
        ]
    )
    document: dict[str, Any] = msgspec.json.decode(tokenizer.to_str())
    document["model"]["merges"] = merges(tokens, scores, tick)
    return document


def tokenizer_config(metadata: dict[str, Any]) -> dict[str, object]:
    """Return the content of tokenizer_config.json; no chat template, as this is a base model."""
    tokens, _, _ = pieces(metadata)
    roles = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
    ids = {name: metadata[f"tokenizer.ggml.{role}_token_id"] for name, role in roles.items()}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": metadata["gemma3.context_length"],
        "add_bos_token": True,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        **{f"{name}_token": tokens[token] for name, token in ids.items()},
    }
