"""Checks that every comparison must pass, from an engine as from a saved file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gelu_tui.core import protocol as p
from gelu_tui.core.functions.variants import MAX_VARIANTS

_SIDES = frozenset({"reference", "variant"})
_KEYS = {
    "margins": _SIDES,
    "probabilities": {"reference_a", "reference_b", "variant_a", "variant_b"},
    "ranks": {"b_in_reference", "a_in_variant"},
}


def names_fit(names: Sequence[str]) -> bool:
    """Whether these can be the names of the streams of one comparison."""
    return 1 <= len(names) <= MAX_VARIANTS and len(set(names)) == len(names)


def first_difference(one: Sequence[int], other: Sequence[int]) -> int | None:
    """Return the first place where two lists of tokens differ; None if there is none in both."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), None)


def fork_fits(fork: p.Fork | None, tokens: Sequence[int], reference: Sequence[int]) -> bool:
    """Whether a fork is where the tokens of its two sides first differ, and has its numbers."""
    return fork is None or (
        0 <= fork.step < min(len(tokens), len(reference))
        and tokens[: fork.step] == reference[: fork.step]
        and tokens[fork.step] == fork.variant_token != fork.reference_token
        and reference[fork.step] == fork.reference_token
        and _has_keys(fork, _KEYS)
        and (fork.replay is None or _has_keys(fork.replay, _KEYS | {"score_margins": _SIDES}))
        and (fork.what_if is None or what_if_fits(fork.what_if, fork.step, reference))
    )


def what_if_fits(what_if: p.Counterfactual, step: int, reference: Sequence[int]) -> bool:
    """Whether this can follow the fork at `step` beside a reference of these tokens."""
    given, tokens = what_if.given, what_if.tokens
    if not given or given[0] != step or list(given) != sorted(set(given)):
        return False
    first = given[-1] + 1
    if first + len(tokens) > len(reference):
        return False
    equal = first_difference(tokens, reference[first:])
    parts = None if equal is None else first + equal
    if what_if.step != parts or what_if.parts_again != (parts is not None):
        return False
    fork = what_if.fork
    return fork is None or (
        equal is not None
        and fork.step == parts
        and fork.variant_token == tokens[equal]
        and fork.reference_token == reference[fork.step]
        and fork.what_if is None
        and _has_keys(fork, _KEYS)
    )


def _has_keys(value: object, keys: Mapping[str, Any]) -> bool:
    return all(getattr(value, name).keys() >= needed for name, needed in keys.items())
