"""What a sweep found, in plain words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from gelu_tui.core.comparison.standing import count_tokens
from gelu_tui.core.reports import scale
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.yardsticks import YARDSTICKS
from gelu_tui.sweep.document import SweepDocument, SweepResult, TaskResult
from gelu_tui.sweep.report import figures as f

_FEW = 20  # prompts, of which no interval says much


def summary(document: SweepDocument) -> tuple[str, ...]:
    """A sentence for each function, for the control, for each other model, and for answers.

    Before them is what is missing, after them what to mind. The tables have all else.
    """
    known = [result for result in document.results if result.prompts]
    of_models = [result for result in known if result.reference_model is None]
    own = [result for result in of_models if not result.yardstick]
    functions = list(dict.fromkeys(result.variant for result in own if not result.control))
    sentences = [
        _of_function(document, [result for result in own if result.variant == name])
        for name in functions
    ]
    if sentences:
        sentences[0] = f"{_over(document, own)}, {sentences[0]}"
    return (
        *_missing(document),
        *sentences,
        *_of_control(document, [result for result in own if result.control]),
        *_of_yardsticks(document, [result for result in of_models if result.yardstick]),
        *_of_models(document, known),
        *_of_answers(document, own),
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


def _over(document: SweepDocument, results: Sequence[SweepResult]) -> str:
    counts = [result.prompts for result in results]
    most = _prompts(max(counts))
    count = most if min(counts) == max(counts) else f"{min(counts):,} to {most}"
    return f"Over {count} of {count_tokens(document.settings.max_tokens)}"


def _of_function(document: SweepDocument, results: Sequence[SweepResult]) -> str:
    """How often a function parts from the reference, on each model."""
    both = f"{_code(results[0].reference)} and {_code(results[0].variant)}"
    if len(document.models) == 1:
        return f"{both} part {'; '.join(_parting(results[0]))}."
    on = (f"on {_code(result.model)} {', '.join(_parting(result))}" for result in results)
    return f"{both} part {'; '.join(on)}."


def _code(name: str) -> str:
    shown = visible_line(name).replace("`", "'")
    return f"`{shown}`"


def _parting(result: SweepResult) -> Iterator[str]:
    """How often, why, and how soon."""
    yield f"in {f.share_diverged(result)}"
    if not result.diverged:
        return
    formula, unverified = result.outcomes["formula"], result.outcomes["unverified"]
    if formula.count:
        yield f"in {f.share_with_interval(formula, result.prompts)} of all by the formula"
    else:
        yield "in none of them by the formula"
    if unverified.count:
        yield f"in {unverified.count:,} the cause was not verified"
    if result.median_fdt.value is not None:
        median = f.with_interval(result.median_fdt, "{:.0f}", beyond=f"> {result.tokens:,}")
        yield f"half have parted at token {median}"
    if result.what_if is not None:
        share = f.share_with_interval(result.what_if.parts_again, result.what_if.tried)
        yield f"given the reference's token there, {share} of {result.what_if.tried:,} part again"


def _of_control(document: SweepDocument, results: Sequence[SweepResult]) -> Iterator[str]:
    if not results:
        return
    several = len(document.models) > 1
    shares = (
        f"in {f.share_diverged(result)}" + f" on {_code(result.model)}" * several
        for result in results
    )
    yield (
        f"{_code(results[0].variant)} is the control, {_code(results[0].reference)} in another "
        f"order of operations: it parts from it {', '.join(shares)}. That much is rounding alone."
    )


def _of_yardsticks(document: SweepDocument, results: Sequence[SweepResult]) -> Iterator[str]:
    """How often the changed models part from the model as it is, and what cannot be measured."""
    several = len(document.models) > 1
    for name in dict.fromkeys(result.variant for result in results):
        found = []
        for result in (each for each in results if each.variant == name):
            median = f.with_interval(result.median_fdt, "{:.0f}", beyond=f"> {result.tokens:,}")
            half = f", half at token {median}" if result.median_fdt.value is not None else ""
            on = f" on {_code(result.model)}" * several
            found.append(f"in {f.share_diverged(result)}{half}{on}")
        words = YARDSTICKS[name]  # type: ignore[index]
        itself = f"{_code(results[0].reference)} parts from itself"
        yield f"Yardstick {_code(name)} ({words}): {itself} {'; '.join(found)}."
    for model in dict.fromkeys(result.model for result in results):
        on = f"On {_code(model)}: " * several
        marks = [_mark(r) for r in document.results if r.model == model and r.kl is not None
                 and r.reference_model is None]  # fmt: skip
        yield from (f"{on}{sentence}" for sentence in scale.sentences(scale.in_order(marks)))
    for result in document.results:
        if result.error:
            yield f"{_code(result.model)}: {visible_line(result.error)}"


def _mark(result: SweepResult) -> scale.Mark:
    kind: scale.Kind = "function"
    if result.yardstick or result.control:
        kind = "yardstick" if result.yardstick else "floor"
    return scale.Mark(result.variant, kind, result.kl.mean if result.kl else 0.0)


def _of_models(document: SweepDocument, results: Sequence[SweepResult]) -> Iterator[str]:
    """How often another model parts from the first one, both with the reference function."""
    for result in results:
        if result.reference_model is not None and result.variant == document.reference:
            models = f"{_code(result.reference_model)} and {_code(result.model)}"
            with_both = f"both with {_code(result.variant)}"
            answers = f"; tasks: {_change(result.task)}" if result.task is not None else ""
            yield f"{models}, {with_both}, part in {f.share_diverged(result)}{answers}."


def _of_answers(document: SweepDocument, results: Sequence[SweepResult]) -> Iterator[str]:
    """How many answers are right, on each model."""
    for model in dict.fromkeys(result.model for result in results):
        of_model = (r for r in results if r.model == model and not r.control)
        tasks = [(result, result.task) for result in of_model if result.task is not None]
        if not tasks:
            continue
        (result, first), on = tasks[0], f" on {_code(model)}" * (len(document.models) > 1)
        answers = "1 answer" if first.n == 1 else f"{first.n:,} answers"
        (right,) = f.percents((first.reference_acc,), first.n)
        changes = (f"{_code(each.variant)} {_change(task)}" for each, task in tasks)
        yield (
            f"Tasks{on}: of {answers} {_code(result.reference)} has {right} % right; "
            f"{'; '.join(changes)}."
        )


def _change(task: TaskResult) -> str:
    word = "equivalent" if task.equivalent else "not shown to be equivalent"
    difference = f.with_interval(task.difference_pp, "{:+.1f}", unit=" pp")
    return f"{difference}, {word} within ±{task.margin_pp:g} pp"


def _minding(document: SweepDocument, functions: Collection[str]) -> Iterator[str]:
    fewest = min((r.prompts for r in document.results if not r.yardstick), default=0)
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
        also = ", and not corrected for several functions" if len(functions) > 1 else ""
        yield f"Intervals are 95 %, each by itself{also}."


def _prompts(count: int) -> str:
    return "1 prompt" if count == 1 else f"{count:,} prompts"
