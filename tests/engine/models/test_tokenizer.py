"""Our light tokenizer against transformers on the same folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_lm.tokenizer_utils import SPMStreamingDetokenizer
from transformers import AutoTokenizer

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.engine.models.tokenizer import Detokenizer, Tokenizer
from tests.support import tiny_models, tokenizer_variations

# Gemma's own, abridged: BOS, roles, a refusal, the generation prompt.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] not in ['user', 'assistant'] %}"
    "{{ raise_exception('Unknown role') }}{% endif %}"
    "{{ '<start_of_turn>' + message['role'] + '\n' }}"
    "{{ message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)

TEXTS = [
    "Why is the sky blue?",
    "空が青いのはなぜですか？",
    "  two spaces,\ttab,\n\nlines ",
    "e\u0301 👩‍👩‍👧‍👦 🇯🇵 \u202e",
    "<bos>already there",
    "a <end_of_turn> inside",
    "def f(x):\n    return x ** 2  # 平方\n",
    "\x00\x1b[31m",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.write(
        tmp_path_factory.mktemp("tokenizer"), "gemma3_text", chat_template=TEMPLATE
    )


@pytest.fixture(scope="module")
def ours(folder: Path) -> Tokenizer:
    return Tokenizer.load(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path):
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("text", TEXTS)
def test_raw_prompts_are_encoded_as_mlx_lm_does(text: str, ours: Tokenizer, theirs) -> None:
    add = not text.startswith(theirs.bos_token)  # mlx_lm.stream_generate
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=add)


@pytest.mark.parametrize("text", TEXTS)
def test_chat_prompts_are_transformers_own(text: str, ours: Tokenizer, theirs) -> None:
    turns = [{"role": "user", "content": text}]
    rendered, ids = ours.chat(text)
    assert rendered == theirs.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert ids == theirs.apply_chat_template(
        turns, tokenize=True, add_generation_prompt=True, return_dict=False
    )
    assert ids[:2] == [2, 4], "BOS once, then <start_of_turn>"


@given(ids=st.lists(st.integers(0, 383), max_size=40))
def test_detokenizer_equals_mlx_lm_on_any_ids(ids: list[int], ours: Tokenizer, theirs) -> None:
    mlx_lm = SPMStreamingDetokenizer(theirs, trim_space=False)
    for token in ids:
        mlx_lm.add_token(token)
    mlx_lm.finalize()
    detokenizer = Detokenizer(ours)
    assert "".join(map(detokenizer.add, ids)) + detokenizer.finish() == mlx_lm.text


@given(text=st.text(max_size=60))
def test_each_character_appears_once_and_whole(text: str, ours: Tokenizer) -> None:
    ids = ours.backend.encode(text, add_special_tokens=False).ids
    detokenizer = Detokenizer(ours)
    segments = [detokenizer.add(token) for token in ids]
    assert detokenizer.finish() == ""
    assert "".join(segments) == text.replace("▁", " ")
    assert "".join(segments) == ours.backend.decode(ids, skip_special_tokens=False)


def test_a_character_that_spans_tokens_appears_with_its_last(ours: Tokenizer) -> None:
    ids = ours.backend.encode("é🌍", add_special_tokens=False).ids
    assert len(ids) == 6
    detokenizer = Detokenizer(ours)
    assert [detokenizer.add(token) for token in ids] == ["", "é", "", "", "", "🌍"]


def test_a_cut_character_shows_at_the_end(ours: Tokenizer) -> None:
    detokenizer = Detokenizer(ours)
    ids = ours.backend.encode("🌍", add_special_tokens=False).ids[:2]
    assert [detokenizer.add(token) for token in ids] == ["", ""]
    assert detokenizer.finish() == "\ufffd"


def test_special_tokens_are_visible(ours: Tokenizer) -> None:
    assert Detokenizer(ours).add(4) == "<start_of_turn>"
    assert ours.piece(10_000_000) == "<unknown id 10000000>"


def test_generation_config_overrides_end_ids(folder: Path, tmp_path: Path) -> None:
    assert Tokenizer.load(folder).end_ids == {1}
    other = tiny_models.write(tmp_path, "gemma")
    (other / "generation_config.json").write_text(json.dumps({"eos_token_id": [5, 7]}))
    assert Tokenizer.load(other).end_ids == {1, 5, 7}


def test_a_template_that_fails_is_a_sentence(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "gemma", chat_template="{{ raise_exception('no') }}")
    with pytest.raises(GeluError, match=r"chat template of this model fails: no"):
        Tokenizer.load(folder).chat("hello")


def test_a_template_cannot_reach_the_interpreter(tmp_path: Path) -> None:
    evil = "{{ cycler.__init__.__globals__.os.system('touch " + str(tmp_path / "pwned") + "') }}"
    folder = tiny_models.write(tmp_path / "m", "gemma", chat_template=evil)
    with pytest.raises(GeluError):
        Tokenizer.load(folder).chat("hello")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": 1}'])
def test_a_broken_tokenizer_is_a_sentence(content: str, tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "gemma")
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(GeluError, match=r"tokenizer\.json of this model cannot be read"):
        Tokenizer.load(folder)


def test_no_tokenizer_is_a_sentence(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "gemma")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(GeluError, match="no tokenizer"):
        Tokenizer.load(folder)


def test_template_from_its_own_file(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "gemma")
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}!")
    assert Tokenizer.load(folder).chat("hi")[0] == "hi!"


@pytest.mark.parametrize("length", [p.LONGEST_TEXT, 5_000_000])
@pytest.mark.parametrize("by_mlx_lm", [False, True])
def test_a_token_that_is_a_book_is_refused_by_its_length(
    length: int, by_mlx_lm: bool, tmp_path: Path
) -> None:
    folder = tiny_models.write(tmp_path, "gemma3_text")
    if by_mlx_lm:
        tokenizer_variations.byte_level(folder)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    vocabulary = content["model"]["vocab"]
    token = max(vocabulary.values())
    [name] = [name for name, other in vocabulary.items() if other == token]
    vocabulary["x" * length] = vocabulary.pop(name)
    content["model"]["merges"] = []
    file.write_text(json.dumps(content))
    tokenizer = Tokenizer.load(folder)
    assert (tokenizer.mlx_lm is not None) == by_mlx_lm
    for take in (tokenizer.piece, Detokenizer(tokenizer).add):
        if length <= p.LONGEST_TEXT:
            assert len(take(token)) <= length
            continue
        with pytest.raises(GeluError) as caught:
            take(token)
        assert f"Token {token} of this model is a text of {length:,} characters" in str(
            caught.value
        )
