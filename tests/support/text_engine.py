"""A stand-in for an engine that reads a text: made-up numbers of words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.functions.controls import with_control
from gelu_tui.core.functions.variants import parse_variants, resolve_reference
from tests.support.made_up import token_id
from tests.support.stand_in import CancelSeen, Died

if TYPE_CHECKING:
    from tests.support.fake_engine import FakeEngine


async def scored(engine: FakeEngine, command: p.Score) -> None:
    """A text cut into words, two of them a chunk; a `BANG` in it ends the engine there."""
    settings = command.settings
    variants = parse_variants(settings.activations)
    reference = resolve_reference(variants, settings.reference, "gelu_approx")
    variants, control = with_control(variants, reference, wanted=settings.control, room=False)
    infos = tuple(
        p.VariantInfo.of(v, settings.activation_precision, "gelu_approx", control=i == control)
        for i, v in enumerate(variants)
    )
    texts = re.findall(r"\s?[^\s]+|\s", command.text) or [f" t{t}" for t in command.tokens]
    if len(texts) < 2:
        message = "The text has no token with another one before it."
        engine.emit(p.Failed(ErrorInfo("too_short", message, "Use more text."), "score"))
        return
    count, window = len(texts), 40
    windows = -(-count // window)
    engine.emit(p.ScoreStarted(infos, reference, count, windows, count, window + 1, bos=(2,)))
    status: p.Status = "completed"
    try:
        for start in range(0, count, 2):
            engine.emit(p.Progress("score", "window", start, count, "tokens", 50.0))
            await engine.sleep(engine.step_s)
            pieces = tuple(texts[start : start + 2])
            if "BANG" in "".join(pieces):
                raise Died("libc++abi: terminating: out of memory")
            engine.emit(score_chunk(pieces, start, infos, reference, window))
    except CancelSeen:
        status = "cancelled"
    engine.emit(p.ScoreFinished(status, 1.0, 2_000_000_000))


def score_chunk(
    pieces: tuple[str, ...],
    start: int,
    infos: Sequence[p.VariantInfo],
    reference: int,
    window: int = 40,
) -> p.ScoreChunk:
    """Made-up numbers of words: each function's KL has its own size, and grows with the word."""
    rows = []
    for index, info in enumerate(infos):
        size = 1e-10 if info.control else 10.0 ** (index - 4)
        kls = tuple(size * len(piece.strip()) ** 2 for piece in pieces)
        logprobs = tuple(-1.0 + min(0.9, kl) * (-1) ** (start + i) for i, kl in enumerate(kls))
        if index != reference:
            rows.append(p.ScoredRow(index, logprobs, kls, tuple(kl < 0.5 for kl in kls)))
    return p.ScoreChunk(
        (-1.0,) * len(pieces),
        (0.5,) * len(pieces),
        tuple(rows),
        cluster=start // window,
        window=start // window,
        tokens=tuple(map(token_id, pieces)),
        texts=pieces,
    )


def candidates_of(command: p.Candidates) -> p.CandidatesFound:
    """Ten words for each side; the text's own token is the third of the reference's."""
    own = command.tokens[command.place]
    words = [" the", " a", "\n", " sky", " blue", "空", " \x1b[31m", " light", " of", "."]
    top = [p.Candidate(token_id(word), word, 0.4 / (i + 1)) for i, word in enumerate(words)]
    other = [*reversed(top[:5]), *top[5:]]
    top[2] = p.Candidate(own, " own", 0.4 / 3)
    chances = p.TokenChance(-2.0, 2), p.TokenChance(-9.0, 4310)
    return p.CandidatesFound(command.variant, own, tuple(top), tuple(other), *chances, 0.25, False)


def rendered(command: p.RenderPrompt) -> p.PromptRendered:
    """A prompt cut into words, with BOS in front and, in a chat, turns around it."""
    words = re.findall(r"\s?\S+|\s", command.prompt)
    texts = ["<bos>", *words]
    if command.chat is True:
        texts = ["<bos>", "<start_of_turn>", "user", "\n", *words, "<end_of_turn>", "\n"]
        texts += ["<start_of_turn>", "model", "\n"]
    ids = tuple(2 if text == "<bos>" else 10 + sum(map(ord, text)) for text in texts)
    special = {token for token, text in zip(ids, texts, strict=True) if text.startswith("<")}
    return p.PromptRendered(
        command.prompt,
        "".join(texts),
        ids,
        tuple(texts),
        tuple(sorted(special)),
        command.chat is True,
        True,
        32768,
    )
