"""The demo's tokenizer, against the sentencepiece library over the very same pieces."""

from __future__ import annotations

import json
import random
import re
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlx_lm.utils import load_tokenizer
from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2
from tokenizers import Tokenizer

from gelu_tui.engine.demo import tokenizer as demo_tokenizer
from gelu_tui.engine.demo.source import packaged_source
from gelu_tui.engine.demo.weights import read_gguf
from tests.support.demo_fake import silent, write_gguf

NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4


Metadata = dict[str, Any]


def sentencepiece_of(metadata: Metadata) -> SentencePieceProcessor:
    """Google's own encoder over a GGUF file's pieces, made without any code of ours."""
    model = sentencepiece_model_pb2.ModelProto()
    for index, token in enumerate(metadata["tokenizer.ggml.tokens"]):
        kind = metadata["tokenizer.ggml.token_type"][index]
        score = metadata["tokenizer.ggml.scores"][index]
        piece = model.pieces.add()
        piece.piece = re.sub("^ +$", lambda spaces: "▁" * len(spaces[0]), token)
        piece.score = 0 if score == -1000 else score
        piece.type = UNKNOWN if token == "<unk>" else kind
    model.trainer_spec.model_type = model.trainer_spec.BPE
    model.trainer_spec.byte_fallback = True
    model.trainer_spec.vocab_size = len(model.pieces)
    for role, index in {"pad": 0, "eos": 1, "bos": 2, "unk": 3}.items():
        setattr(model.trainer_spec, f"{role}_id", index)
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = False
    model.normalizer_spec.remove_extra_whitespaces = False
    model.normalizer_spec.escape_whitespaces = True
    return SentencePieceProcessor(model_proto=model.SerializeToString())


class Pair:
    """Google's encoder and ours."""

    def __init__(self, metadata: Metadata, tokenizer: Tokenizer) -> None:
        self.google = sentencepiece_of(metadata)
        self.ours = tokenizer
        typed = list(
            zip(
                metadata["tokenizer.ggml.tokens"],
                metadata["tokenizer.ggml.token_type"],
                strict=True,
            )
        )
        self.pieces = [
            token.replace("▁", " ") for token, kind in typed if kind in (NORMAL, USER_DEFINED)
        ]
        self.control = {token for token, kind in typed if kind == CONTROL}
        self._control = re.compile("|".join(map(re.escape, self.control)))

    def check(self, text: str) -> None:
        """Same ids, and the same text back; not for text with control tokens, see below."""
        if self._control.search(text):
            return
        expected = self.google.encode(text)
        assert self.ours.encode(text, add_special_tokens=False).ids == expected, text
        assert self.ours.encode(text).ids == [2, *expected], text
        decoded = self.google.decode(expected)
        assert self.ours.decode(expected, skip_special_tokens=False) == decoded
        assert decoded == text.replace("▁", " ")

    def only_pieces(self, ids: list[int]) -> list[int]:
        """The ids that stand for text, neither bytes nor control tokens."""
        google = self.google
        return [
            index
            for index in ids
            if not google.is_byte(index) and google.id_to_piece(index) not in self.control
        ]

    def check_decode(self, ids: list[int]) -> None:
        """Same text from ids, be they ever so senseless."""
        assert self.ours.decode(ids, skip_special_tokens=False) == self.google.decode(ids)


# --- a tiny vocabulary --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("tiny")
    write_gguf(folder / "whole.gguf")
    metadata, _ = read_gguf(folder / "whole.gguf")
    (folder / "tokenizer.json").write_text(
        json.dumps(demo_tokenizer.tokenizer_json(metadata, silent))
    )
    return Pair(metadata, Tokenizer.from_file(str(folder / "tokenizer.json")))


@given(st.text(st.sampled_from("ab \n▁é空👩💩\0\t"), max_size=40))
def test_tiny_vocabulary(tiny: Pair, text: str) -> None:
    tiny.check(text)


def test_what_the_conversion_to_gguf_changed_is_mended() -> None:
    tokens, types = ["<bos>", "  ", "a b", "▁a"], [3, 4, 1, 1]
    metadata = {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [-1000.0, -1000.0, -1000.0, -7.0],
        "tokenizer.ggml.token_type": types,
    }
    mended = demo_tokenizer.pieces(metadata)
    assert mended == (["<bos>", "▁▁", "a b", "▁a"], [0.0, 0.0, -1000.0, -7.0], types)


def test_merges_go_by_score_then_by_the_longest_left_part() -> None:
    tokens = ["a", "b", "ab", "ba", "aba", "c"]
    merges = demo_tokenizer.merges(tokens, [-9, -9, -2, -1, -3, -9], silent)
    assert merges == ["b a", "a b", "ab a", "a ba"]


# --- Gemma's own --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> Metadata:
    path = tmp_path_factory.mktemp("packaged") / "whole.gguf"
    packaged_source().assemble(path)
    return read_gguf(path)[0]


@pytest.fixture(scope="module")
def gemma(metadata: Metadata, demo_model: Path) -> Pair:
    return Pair(metadata, Tokenizer.from_file(str(demo_model / "tokenizer.json")))


TEXTS = {
    "empty": "",
    "english": "Why is the sky blue? It's Rayleigh's doing, isn't it?",
    "japanese": "空が青いのはなぜですか？",
    "mixed scripts": "日本語とEnglish、한국어 그리고 中文，العربية עברית हिन्दी ไทย Ελληνικά",
    "rare ideographs": "𠮷野家で𩸽を食べる 㐀㐁 𪚥",
    "one space": " a",
    "space at the end": "a ",
    "tabs": "\tif x:\n\t\treturn\t\n",
    "newlines": "a\nb\n\nc\n\n\nd" + "\n" * 40,
    "windows newlines": "a\r\nb\r\n\r\n",
    "odd spaces": "a\u00a0b\u2003c\u3000d\u200be\u2028f\u2029g\ufeffh",
    "metaspace": "a▁b▁▁c ▁ d",
    "emoji": "👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇯🇵🇫🇷 ❤️ 1️⃣",
    "combining": "e\u0301 a\u0308\u0304 Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤ नि క్ష n\u0303",
    "not composed": "Å Å Å ﬁ ½ Ⅷ",
    "byte fallback": "\ue000 \U000f0000 \U0010ffff ꙮ 𓀀 𒀀 \x01\x1f\x7f\x80",
    "nul": "a\0b",
    "byte token spelled": "<0x0A><0xE2><0x96><0x81>",
    "python": "def f(x: int) -> str:\n    return f\"{x!r}\" if x else ''  # no\n",
    "c": "#include <stdio.h>\nint main(void) { for (;;) { ++*p--; } /* … */ }\n",
    "html": "<table><tr><td>1</td></tr></table><h1>x</h1><br><strong></strong></ul>",
    "json": '{"a": [1, 2.5e-10, null], "b\\n": "\\u00e9"}',
    "latex": r"\frac{1}{2}\left(1+\tanh\sqrt{2/\pi}\right)",
    "numbers": "3.14159265358979 1,000,000 0xDEADBEEF 2024-01-31T00:00:00Z",
    "repeats": "aaaaaaaaaaaaaaa ababababab ======== --------- ........ ーーーーーー",
    "url": "https://example.org/a%20b?c=d&e[]=f#g",
    "long": "The quick brown fox jumps over the lazy dog. " * 200,
}


@pytest.mark.demo
@pytest.mark.parametrize("name", TEXTS)
def test_google_encodes_and_decodes_so(name: str, gemma: Pair) -> None:
    gemma.check(TEXTS[name])


@pytest.mark.demo
def test_runs_of_white_space(gemma: Pair) -> None:
    """Gemma has tokens for up to 31 of a kind; the longest is taken first."""
    for char in " \t\n":
        for count in range(1, 130):
            gemma.check(char * count)
            gemma.check("x" + char * count + "x")
            gemma.check(char * count + "\n" + char * (count % 7) + " x")


@pytest.mark.demo
def test_every_piece_alone_and_next_to_another(gemma: Pair) -> None:
    choice = random.Random(0)
    for piece in choice.sample(gemma.pieces, 10_000):
        gemma.check(piece)
        gemma.check(piece + choice.choice(gemma.pieces) + piece * choice.randrange(4))


@pytest.mark.demo
def test_every_character_of_the_vocabulary_and_its_neighbours(gemma: Pair) -> None:
    known = {ord(char) for piece in gemma.pieces for char in piece}
    points = sorted({point + step for point in known for step in (-1, 0, 1)} & VALID)
    text = "".join(map(chr, points))
    for start in range(0, len(text), 50):
        gemma.check(text[start : start + 50])


VALID = set(range(0xD800)) | set(range(0xE000, 0x110000))

many = partial(settings, max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.demo
@many()
@given(st.text(max_size=60))
def test_any_text(gemma: Pair, text: str) -> None:
    gemma.check(text)


@pytest.mark.demo
@many()
@given(st.lists(st.sampled_from([" ", "  ", "\t", "\n", "\r", "▁", "a", " the", "ー", "é"])))
def test_white_space_between_words(gemma: Pair, parts: list[str]) -> None:
    gemma.check("".join(parts))


@pytest.mark.demo
@many()
@given(st.text("ab=-*.ーア ", min_size=1, max_size=4), st.integers(1, 70))
def test_periodic_text(gemma: Pair, period: str, count: int) -> None:
    gemma.check(period * count)


@pytest.mark.demo
@many()
@given(st.lists(st.integers(0, 262_143), max_size=20))
def test_any_pieces_decode_alike(gemma: Pair, ids: list[int]) -> None:
    gemma.check_decode(gemma.only_pieces(ids))


@pytest.mark.demo
@many()
@given(st.text(min_size=1, max_size=12), st.lists(st.integers(0, 262_143), max_size=3))
def test_byte_tokens_decode_to_the_characters_they_spell(
    gemma: Pair, text: str, before: list[int]
) -> None:
    """Not so for bytes that are no UTF-8: the library marks every byte of such a run U+FFFD."""
    ids = gemma.only_pieces(before)
    ids += [gemma.google.piece_to_id(f"<0x{byte:02X}>") for byte in text.encode()]
    gemma.check_decode(ids)
    assert gemma.ours.decode(ids, skip_special_tokens=False).endswith(text)


# --- control tokens: sentencepiece never reads them from text, Gemma's users write them ----------


@pytest.mark.demo
def test_control_tokens_are_read_from_text_and_shown(gemma: Pair) -> None:
    ids = {token: gemma.google.piece_to_id(token) for token in sorted(gemma.control)}
    assert len(ids) == 6249
    assert ids["<end_of_turn>"] == 106
    for token, index in ids.items():
        assert gemma.google.is_control(index) or token == "<unk>"
        assert gemma.ours.encode(token, add_special_tokens=False).ids == [index]
        assert gemma.ours.decode([index], skip_special_tokens=False) == token
        assert gemma.ours.decode([index], skip_special_tokens=True) == ""


@pytest.mark.demo
@many()
@given(
    st.lists(
        st.tuples(
            st.text("ab\n 空<>", max_size=8),
            st.sampled_from(["<start_of_turn>", "<end_of_turn>", "<unused7>", "<eos>", "<pad>"]),
        ),
        max_size=5,
    )
)
def test_text_around_control_tokens_is_encoded_apart(
    gemma: Pair, parts: list[tuple[str, str]]
) -> None:
    expected: list[int] = []
    for text, token in parts:
        expected += [*gemma.google.encode(text), gemma.google.piece_to_id(token)]
    written = "".join(text + token for text, token in parts)
    assert gemma.ours.encode(written, add_special_tokens=False).ids == expected


@pytest.fixture(scope="module")
def written(demo_model: Path) -> dict[str, Any]:
    return msgspec.json.decode((demo_model / "tokenizer.json").read_bytes())


@pytest.mark.demo
def test_the_vocabulary_and_all_merges_are_there(gemma: Pair, written: dict[str, Any]) -> None:
    model = written["model"]
    assert len(model["vocab"]) == gemma.ours.get_vocab_size() == 262_144
    assert len(model["merges"]) == len(set(model["merges"])) == 514_906
    assert all(merge.count(" ") == 1 for merge in model["merges"])
    # the library drops such a line, as the first of a merges.txt
    assert not any(merge.startswith("#version") for merge in model["merges"])
    for index in range(262_144):
        assert gemma.ours.id_to_token(index) == gemma.google.id_to_piece(index)


@pytest.mark.demo
def test_the_library_reads_the_file_as_written(gemma: Pair, written: dict[str, Any]) -> None:
    merges = [merge.split(" ") for merge in written["model"]["merges"]]
    expected = written | {"model": written["model"] | {"merges": merges}}
    assert msgspec.json.decode(gemma.ours.to_str()) == expected


@pytest.mark.demo
def test_mlx_lm_loads_the_same_tokenizer(gemma: Pair, demo_model: Path) -> None:
    tokenizer = load_tokenizer(demo_model)
    for text in [*TEXTS.values(), " " * 40 + "x", "<start_of_turn>user\nHi<end_of_turn>\n"]:
        bare = gemma.ours.encode(text, add_special_tokens=False).ids
        assert tokenizer.encode(text) == gemma.ours.encode(text).ids
        assert tokenizer.encode(text, add_special_tokens=False) == bare
        assert tokenizer.decode(bare) == text.replace("▁", " ")
    ids = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    assert ids == (2, 1, 0)
    assert tokenizer.chat_template is None
    assert type(tokenizer.detokenizer).__name__ == "SPMStreamingDetokenizer"
    assert tokenizer.detokenizer.trim_space is False
    assert tokenizer.model_max_length == 32_768
