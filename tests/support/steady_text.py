"""Text for ever, as tokens of realistic lengths: what measurements of the app stream.

Every stream equals the others up to its own fork, and goes its own way from there.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

# The most frequent first: they are drawn with the weights of Zipf's law. With its blank and with
# punctuation a token has about 4.2 characters, which is what Gemma's tokenizer makes of prose.
_WORDS = (
    " the", " of", " and", " a", " to", " in", " light", " is", " that", " it", " blue", " waves",
    " because", " sky", "ing", " with", " scattered", " are", " by", "ed", " from", " which", "s",
    " shorter", " atmosphere", " mole", "cules", " colour", " longer", " this", " phenomenon",
    " called", " Ray", "leigh", " reaches", " wavelength", " as", " through", " sunlight", "ly",
)  # fmt: skip
_WEIGHTS = [1 / (rank + 3) for rank in range(len(_WORDS))]
_PUNCTUATION = (",", ",", ",", ".", ".", ".", ".\n\n", ":", "\n", " (", ")")
FORKS = (0, 7, 23, 60, 110, 180, 300, 450)  # of stream i, unless it is the reference

STAMP_EVERY = 12
_STAMP = 7  # one id, whatever the time: a stamp is no divergence


@dataclass(frozen=True)
class Token:
    """One token; `kl` is None where contexts differ, or where there is nothing to compare."""

    id: int
    text: str
    logprob: float
    margin: float
    kl: float | None


def tokens(stream: int, reference: int, *, stamped: bool = False) -> Iterator[Token]:
    """The endless tokens of one stream.

    `stamped` puts the time at which a token was made into every twelfth one, as `@milliseconds`
    of the monotonic clock, which all processes of a machine share: what the screen shows then
    tells how old it is.
    """
    fork = None if stream == reference else FORKS[stream % len(FORKS)]
    shared, own = random.Random(1), random.Random(100 + stream)
    kl = random.Random(200 + stream)
    step = 0
    while True:
        common = _piece(shared, step)
        forked = fork is not None and step >= fork
        text = _piece(own, step) if forked else common
        if step == fork and text == common:
            text = " instead"
        is_stamp = stamped and step % STAMP_EVERY == 0
        if is_stamp:
            text = f" @{int(time.monotonic() * 1000)}"
        comparable = stream != reference and (fork is None or step <= fork)
        yield Token(
            id=_STAMP if is_stamp else sum(map(ord, text)) * 31 + len(text),
            text=text,
            logprob=-own.expovariate(1.2),
            margin=own.expovariate(0.4),
            kl=kl.lognormvariate(-9, 1.5) if comparable else None,
        )
        step += 1


def _piece(dice: random.Random, step: int) -> str:
    if step and dice.random() < 0.12:
        return dice.choice(_PUNCTUATION)
    return dice.choices(_WORDS, _WEIGHTS)[0]
