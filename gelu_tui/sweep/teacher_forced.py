"""What a finished stream tells when it is read again: KL at all its tokens, and yardsticks.

A changed model that decodes greedily leaves the reference's stream at the first token of which it
finds another one more probable, since all tokens before are the same. So to read the stream once is
enough to know where it would part, and nothing is decoded.
"""

from __future__ import annotations

from array import array

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.functions.variants import parse_variants
from gelu_tui.core.protocol.requests import over_text
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.settings.yardsticks import YardstickName
from gelu_tui.sweep.outcomes import StreamOutcome


class Forced(msgspec.Struct, frozen=True):
    """What reading a reference's stream gave.

    `full_kl` has, by function, the sum of KL in nats over the whole stream and its positions.
    `yardsticks` are in the order of the sweep's: an outcome, or why there is none.
    """

    full_kl: dict[str, tuple[float, int]] = {}
    yardsticks: tuple[StreamOutcome | str, ...] = ()


class TeacherForced:
    """Reads the reference's stream of a finished prompt: send `command`, `apply` its answers."""

    def __init__(
        self, document: ComparisonDocument, yardsticks: tuple[YardstickName, ...], *, full_kl: bool
    ) -> None:
        self._reference = reference = document.reference_variant
        self._full_kl = full_kl
        tokens, settings = document.reference_tokens, document.settings
        if not full_kl:
            variants = parse_variants(settings.activations)
            only = tuple(each.spec for each in variants if each.name == reference.name)
            settings = msgspec.structs.replace(settings, activations=only, control=False)
        self.command = over_text(
            p.Score, settings, tokens=tokens, context=len(tokens) + 1, yardsticks=yardsticks
        )
        self._names: tuple[str, ...] = ()
        self._kl: list[array[float]] = []  # of the functions, and after them of the yardsticks
        self._same_top: list[array[int]] = []
        self._errors: dict[int, str] = {}

    def apply(self, event: p.Event) -> None:
        """Take an event of the scoring. Raises `ProtocolError`."""
        match event:
            case p.ScoreStarted():
                self._names = tuple(variant.name for variant in event.variants)
                count = len(event.variants) + len(event.yardsticks)
                self._kl = [array("d") for _ in range(count)]
                self._same_top = [array("b") for _ in range(count)]
            case p.ScoreChunk():
                for row in event.rows:
                    if not 0 <= row.variant < len(self._kl):
                        raise p.ProtocolError("The engine scored a function that there is not.")
                    self._kl[row.variant].extend(row.kl)
                    self._same_top[row.variant].extend(row.same_top)
            case p.ScoreFailed():
                error = event.error
                self._errors[event.variant] = f"{error.message} {error.hint}".strip()

    def result(self) -> Forced:
        """What is known; nothing of a function that failed."""
        length = len(self._reference.tokens)
        ends = [row[-length:] for row in self._kl]
        functions = dict(zip(self._names, ends, strict=False)) if self._full_kl else {}
        return Forced(
            {name: (sum(row), len(row)) for name, row in functions.items() if row},
            tuple(self._yardstick(row) for row in range(len(self._names), len(self._kl))),
        )

    def _yardstick(self, row: int) -> StreamOutcome | str:
        if row in self._errors:
            return self._errors[row]
        length, reason = len(self._reference.tokens), self._reference.finish_reason
        kl, same = self._kl[row][-length:], self._same_top[row][-length:]
        fork = next((step for step, is_same in enumerate(same) if not is_same), None)
        shared = kl if fork is None else kl[: fork + 1]
        return StreamOutcome(
            tokens=length,
            finish_reason=reason,
            outcome="same" if fork is None else "unverified",
            first_divergent_token=fork,
            compared=length if fork is None else fork,
            identical=fork is None and reason == "stop",
            kl=sum(shared),
            kl_steps=len(shared),
            full_kl=sum(kl),
            full_kl_steps=len(kl),
        )
