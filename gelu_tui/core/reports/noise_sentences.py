"""The noise floor of a saved or finished comparison in plain sentences."""

from __future__ import annotations

from gelu_tui.core.comparison.noise import NoiseFloor, formulas_differ, times
from gelu_tui.core.functions.controls import is_the_function_itself
from gelu_tui.core.runs.document import ComparisonDocument, VariantDocument
from gelu_tui.core.safe_text import visible_line


def noise_sentences(document: ComparisonDocument) -> list[str]:
    """The floor, every other variant as a multiple of it, and what may not have been engaged."""
    return [*_floor_sentences(document), *suspicions(document)]


def suspicions(document: ComparisonDocument) -> list[str]:
    """A sentence for each suspicious stream."""
    reference = document.reference_variant.info
    return [
        f"KL of {visible_line(variant.name)} is exactly 0 at "
        f"{_all_steps(variant.compared_steps)} although its formula differs from the "
        "reference's: was it really engaged?"
        for variant in document.variants
        if variant.mean_kl == 0 and not variant.control and formulas_differ(variant.info, reference)
    ]


def _floor_sentences(document: ComparisonDocument) -> list[str]:
    floor = document.noise_floor
    control = next((variant for variant in document.variants if variant.control), None)
    if floor is None or control is None:
        return []
    name = visible_line(floor.control)
    if floor.max_kl == 0:
        why = (
            f"{visible_line(document.reference)} has only one order of operations, "
            f"so {name} is the same function."
            if is_the_function_itself(control.formula)
            else f"{name} (the reference in another order of operations) has a KL of 0 at "
            f"{_all_steps(floor.steps)}: rounding inside the functions does not reach the logits."
        )
        return [f"Noise floor: exactly 0; {why}"]
    said = (
        f"Noise floor: {name} (the reference in another order of operations) has a mean KL of "
        f"{floor.mean_kl:.2g} nats over {_steps(floor.steps)}, at most {floor.max_kl:.2g}."
    )
    others = [
        f"{visible_line(variant.name)} {_multiple(variant, floor)}"
        for variant in document.variants
        if variant is not control and variant.mean_kl is not None
    ]
    if not others:
        return [said]
    return [
        said,
        f"Mean KL as a multiple of it, over the steps that both have: {', '.join(others)}.",
    ]


def _multiple(variant: VariantDocument, floor: NoiseFloor) -> str:
    if variant.times_noise_floor is not None:
        return f"{times(variant.times_noise_floor)} ×"
    return f"– (the floor is 0 over {_steps(min(variant.compared_steps, floor.steps))})"


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count:,} steps"


def _all_steps(count: int) -> str:
    return "its only step" if count == 1 else f"all {count:,} steps"
