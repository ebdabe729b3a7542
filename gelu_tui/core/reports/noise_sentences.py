"""The noise floor of a comparison in sentences."""

from __future__ import annotations

from gelu_tui.core.comparison.noise import NoiseFloor, formulas_differ, times
from gelu_tui.core.functions.controls import is_the_function_itself
from gelu_tui.core.runs.document import ComparisonDocument, VariantDocument
from gelu_tui.core.safe_text import visible_line


def noise_sentences(document: ComparisonDocument) -> list[str]:
    """The floor, the other variants as multiples of it, and suspicious streams."""
    return [*_floor_sentences(document), *suspicions(document)]


def suspicions(document: ComparisonDocument) -> list[str]:
    """A sentence for each stream whose KL is 0 although its formula differs."""
    reference = document.reference_variant.info
    return [
        engagement_question(variant.name, _all_steps(variant.compared_steps))
        for variant in document.variants
        if variant.mean_kl == 0 and not variant.control and formulas_differ(variant.info, reference)
    ]


def engagement_question(name: str, where: str) -> str:
    """The sentence on a function whose KL is 0 although its formula differs."""
    return (
        f"KL of {visible_line(name)} is exactly 0 at {where} although its formula differs from the "
        "reference's: was it really engaged?"
    )


def same_function(reference: str, control: str) -> str:
    """The sentence on a control that has no other order of operations."""
    return (
        f"Noise floor: exactly 0; {visible_line(reference)} has only one order of operations, so "
        f"{visible_line(control)} is the same function."
    )


def _floor_sentences(document: ComparisonDocument) -> list[str]:
    floor = document.noise_floor
    control = next((variant for variant in document.variants if variant.control), None)
    if floor is None or control is None:
        return []
    name = visible_line(floor.control)
    if floor.max_kl == 0 and is_the_function_itself(control.formula):
        return [same_function(document.reference, floor.control)]
    if floor.max_kl == 0:
        return [
            f"Noise floor: exactly 0; {name} (the reference in another order of operations) has a "
            f"KL of 0 at {_all_steps(floor.steps)}: rounding inside the functions does not reach "
            "the logits."
        ]
    sentences = [
        f"Noise floor: {name} (the reference in another order of operations) has a mean KL of "
        f"{floor.mean_kl:.2g} nats over {_steps(floor.steps)}, at most {floor.max_kl:.2g}."
    ]
    others = [
        f"{visible_line(variant.name)} {_multiple(variant, floor)}"
        for variant in document.variants
        if variant is not control and variant.mean_kl is not None
    ]
    if others:
        listed = ", ".join(others)
        sentences.append(f"Mean KL as a multiple of it, over the steps that both have: {listed}.")
    return sentences


def _multiple(variant: VariantDocument, floor: NoiseFloor) -> str:
    if variant.times_noise_floor is not None:
        return f"{times(variant.times_noise_floor)} ×"
    return f"– (the floor is 0 over {_steps(min(variant.compared_steps, floor.steps))})"


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count:,} steps"


def _all_steps(count: int) -> str:
    return "its only step" if count == 1 else f"all {count:,} steps"
