"""What a sweep found, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from gelu_tui.core.comparison.noise import times
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.document import Interval, SweepDocument, SweepResult, TaskResult

_FEW = 20  # prompts, of which no interval says much


def summary(document: SweepDocument) -> tuple[str, ...]:
    """A sentence for each function on each model, after what is missing, before what to mind."""
    functions = [r for r in document.results if not r.control]
    controls = [r for r in document.results if r.control]
    return (
        *_missing(document),
        *(_sentence(document, result) for result in functions if result.prompts),
        *(_of_control(document, result) for result in controls if result.prompts),
        *_minding(document, functions),
    )


def _missing(document: SweepDocument) -> Iterator[str]:
    models = max(1, len(document.settings.models), len(document.models))
    planned = document.prompts * models
    if document.status != "completed":
        word = "Failed" if document.status == "failed" else "Incomplete"
        runs = "prompts" if models == 1 else f"runs ({document.prompts:,} prompts, {models} models)"
        so_far = f"{document.completed:,} of {planned:,} {runs} are finished"
        yield f"{word}: {so_far}, and these are the figures of those."
    if document.failed:
        count = len(document.failed)
        were = "1 prompt" if count == 1 else f"{count:,} prompts"
        yield f"{were} could not be run and {'is' if count == 1 else 'are'} in no figure."


def _sentence(document: SweepDocument, result: SweepResult) -> str:
    parts = [_parting(document, result), _halves(result)]
    if result.kl is not None and result.kl.times_floor is not None:
        until = "up to and including the first divergent token"
        parts.append(f"mean KL {until} is {times(result.kl.times_floor)} × the control's")
    if result.task is not None:
        parts.append(_task(result.task))
    return "; ".join(part for part in parts if part) + "."


def _names(document: SweepDocument, result: SweepResult) -> str:
    name = _code(result.variant)
    if result.reference_model is not None:
        return f"{name} on {_code(result.model)} and on {_code(result.reference_model)}"
    both = f"{_code(result.reference)} and {name}"
    return f"{both} on {_code(result.model)}" if len(document.models) > 1 else both


def _code(name: str) -> str:
    return f"`{visible_line(name)}`"


def _parting(document: SweepDocument, result: SweepResult) -> str:
    over = f"Over {_prompts(result.prompts)} of {document.settings.max_tokens:,} tokens"
    part = f"{over}, {_names(document, result)} part in {_share_parted(result)}"
    if not result.diverged or result.reference_model is not None:
        return part
    causes = []
    formula, unverified = result.outcomes["formula"], result.outcomes["unverified"]
    if formula.count:
        shown = percent(formula.share, formula.low, formula.high)
        causes.append(f"in {shown} of all by the formula")
    else:
        causes.append("in none of them by the formula")
    if unverified.count:
        causes.append(f"in {unverified.count:,} the cause was not verified")
    return "; ".join([part, *causes])


def _share_parted(result: SweepResult) -> str:
    if not result.incidence:
        return "– (nothing was compared)"
    last = result.incidence[-1]
    return percent(last.share, last.low, last.high)


def _halves(result: SweepResult) -> str:
    if not result.diverged:
        return ""
    median = result.median_fdt
    if median.value is None:
        return f"fewer than half have parted after {result.tokens:,} tokens"
    high = "not reached" if median.high is None else f"{median.high:.0f}"
    low = "–" if median.low is None else f"{median.low:.0f}"
    return f"half have parted at token {median.value:.0f} [{low}, {high}]"


def _task(task: TaskResult) -> str:
    right = f"{_number(100 * task.acc)} % of {task.n:,} answers are right"
    change = f"{_signed(task.difference_pp)} pp against the reference"
    word = "equivalent" if task.equivalent else "not shown to be equivalent"
    return f"tasks: {right}, {change}: {word} within ±{task.margin_pp:g} pp"


def _of_control(document: SweepDocument, result: SweepResult) -> str:
    if result.reference_model is not None:
        return f"{_parting(document, result)}."
    name, where = _code(result.variant), ""
    if len(document.models) > 1:
        where = f" on {_code(result.model)}"
    return (
        f"{name} is the control, {_code(result.reference)} in another order of operations: it "
        f"parts from it{where} in {_share_parted(result)}. That much is rounding alone."
    )


def _minding(document: SweepDocument, functions: list[SweepResult]) -> Iterator[str]:
    fewest = min((result.prompts for result in document.results), default=0)
    if 0 < fewest < _FEW:
        yield f"{_prompts(fewest).capitalize()} say little: see how wide the intervals are."
    if len({model.family for model in document.models}) > 1:
        yield (
            "These models are of several families: between them token ids are compared as they "
            "are, and need not mean the same text."
        )
    own = [result for result in document.results if result.reference_model is None]
    close = sum(result.close_calls for result in own)
    if close:
        steps = "1 step" if close == 1 else f"{close:,} steps"
        yield (
            f"In {steps} of these streams the two best tokens were nearer to each other than the "
            "measured noise of batched rows: there a run by itself may go on differently."
        )
    if document.results:
        several = len(functions) > 1
        also = ", and they are not corrected for there being several functions" if several else ""
        yield f"Intervals are 95 %, each by itself{also}."


def _prompts(count: int) -> str:
    return "1 prompt" if count == 1 else f"{count:,} prompts"


def percent(share: float, low: float, high: float) -> str:
    """A share with its interval, e.g. `3 % [2, 5]`."""
    return f"{_number(100 * share)} % [{_number(100 * low)}, {_number(100 * high)}]"


def _number(value: float) -> str:
    """Per cents without decimals, but none but 0 as 0 and none but 100 as 100."""
    if value < 0:
        return f"−{_number(-value)}"
    near = min(value, abs(100 - value))
    if near < 1e-9 or value > 101:
        return f"{value:.0f}"
    if near >= 0.95:
        return f"{value:.0f}"
    places = 1 if near >= 0.05 else 2
    return f"{value:.{places}f}"


def _signed(interval: Interval) -> str:
    value, low, high = (
        "–" if x is None else ("+" if x > 0 else "") + _tenth(x)
        for x in (interval.value, interval.low, interval.high)
    )
    return f"{value} [{low}, {high}]"


def _tenth(value: float) -> str:
    shown = f"{value:.1f}"
    return "0.0" if shown == "-0.0" else shown.replace("-", "−")
