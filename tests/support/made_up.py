"""Texts, tokens and forks that no engine made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gelu_tui.core import protocol as p


def pieces(text: str) -> list[str]:
    """Token texts, written with a bar between them."""
    return text.split("|")


BASE = pieces(
    "The| sky| is| blue| because| of| a| phenomenon| called| Rayleigh| scattering|.|\n\n|Sun|light"
    "| looks| white|,| but| it| holds| all| the| colours| of| the| rainbow|.| Shorter| waves| are"
    "| scattered| more| than| longer| ones|,| so| blue| reaches| us|.| 空|の|青|。"
)
SILU = pieces(
    " I| do| not| know| what| the| question| is| about|,| so| here| is| a| list|:|\n|\n|1|.| The|\n"
)
RELU = pieces("ment| of| of| of| the| the| of| of")
HOSTILE = pieces("plain| \x1b[31mred|\x1b]0;owned\x07| [bold]markup[/]| \u202eabc| \x00|\r| end")
EMOJI = pieces("I| ❤️❤️❤️| you| 👍🏽👍🏽|,| ⚠️| 1️⃣| end")
BLANKS = ("\n", " ", "", "<start_of_image>")
# one of each kind, with a margin of the variant that fits it
VERDICTS: list[tuple[p.Verdict, float]] = [("formula", 0.1), ("rounding", -0.1), ("tie", 5e-4)]


def token_id(text: str) -> int:
    """The token that a made-up text stands for."""
    return sum(ord(char) * 31**place for place, char in enumerate(text)) % 262_144


def tokens_of(name: str, index: int, scenario: str) -> list[str]:
    """The token texts of one variant."""
    if scenario == "hostile":
        return HOSTILE if index == 0 else [*HOSTILE[: index + 1], "x", *HOSTILE]
    if scenario == "emoji":
        return EMOJI
    if scenario == "blank_forks":
        blank = [*BASE[:4], BLANKS[index % 4], " after", " the", " blank"]
        return BASE if name == "gelu_approx" else blank
    forks = {
        "gelu_fast_approx": (10, [" light", " scattering", *BASE[11:]]),
        "silu": (1, SILU),
        "relu": (0, RELU),
    }
    at, rest = forks.get(name, (len(BASE), []))
    texts = BASE[:at] + rest
    return texts * 40 if scenario == "long" else texts


def fork_found(
    stream: int,
    step: int,
    reference_top: Sequence[p.Candidate],
    variant_top: Sequence[p.Candidate],
    **fields: Any,
) -> p.ForkFound:
    """A fork at which each side took the first of its list; `fields` replace those of `Fork`."""
    a, b = reference_top[0], variant_top[0]
    in_reference, in_variant = (
        {candidate.id: candidate.probability for candidate in top}
        for top in (reference_top, variant_top)
    )
    values: dict[str, Any] = {
        "reference_text": a.text,
        "variant_text": b.text,
        "reference_top": tuple(reference_top),
        "variant_top": tuple(variant_top),
        "margins": {"reference": 0.2, "variant": 0.1},
        "probabilities": {
            "reference_a": a.probability,
            "reference_b": in_reference.get(b.id, 1e-6),
            "variant_a": in_variant.get(a.id, 1e-6),
            "variant_b": b.probability,
        },
        "ranks": {"b_in_reference": 1, "a_in_variant": 1},
    }
    return p.ForkFound(stream, p.Fork(step, a.id, b.id, **{**values, **fields}))


def fork_between(
    stream: int, step: int, a: tuple[int, str], b: tuple[int, str], **fields: Any
) -> p.ForkFound:
    """The fork of two tokens (id, text), each of them second in the other side's list."""
    tops = ((p.Candidate(*x, 0.5), p.Candidate(*y, 0.25)) for x, y in ((a, b), (b, a)))
    own = {"variant_text": b[1] or "<unused99>", **fields}
    return fork_found(stream, step, *tops, **own)


def fork_replayed(
    found: p.ForkFound, verdict: p.Verdict, margins: dict[str, float]
) -> p.ForkReplayed:
    """A replay that found what the run found, apart from its margins."""
    fork = found.fork
    tops = fork.reference_top, fork.variant_top
    again = p.ForkReplay(margins, {**margins}, fork.probabilities, fork.ranks, *tops)
    return p.ForkReplayed(found.stream, verdict, replay=again)


def told(found: p.ForkFound) -> p.ForkReplayed:
    """What the fake engine's replay finds."""
    verdict, margin = VERDICTS[found.stream % 3]
    return fork_replayed(found, verdict, {"reference": 0.25, "variant": margin})
