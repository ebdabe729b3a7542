"""The short texts of the screen, as pure functions."""

from __future__ import annotations

from math import exp

from rich.cells import cell_len

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.fork_sentences import percent
from gelu_tui.core.comparison.noise import (
    is_suspicious,
    mean_kl,
    noise_floor,
    times,
    times_noise_floor,
)
from gelu_tui.core.comparison.standing import FINISH
from gelu_tui.core.comparison.state import Comparison, Stream
from gelu_tui.core.functions.variants import CONTROL
from gelu_tui.core.models.names import is_hub_id
from gelu_tui.core.reports.progress import progress_title, size
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.run_settings import RunSettings, short_sampling
from gelu_tui.tui.compare.choices import chosen_variants
from gelu_tui.tui.compare.sparkline import sparkline
from gelu_tui.tui.text_view.pieces import named

NATIVE_MARK = "◆"

_PRECISIONS = {"float32": "float32", "model": "the model's dtype"}

_SMALL = 0.01  # nats below which a KL needs an exponent
_NARROW = 34  # cells below which a KL has one digit
_FLOOR_WIDTH = 50  # cells from which the noise floor is shown beside the mean KL
_SHORT_FLOOR_WIDTH = 42  # and in its shortest form
KL_ROOM = 29  # cells of a useful KL: 8 of sparkline, 21 of blank and mean KL


def counts(stream: Stream, max_tokens: int, *, running: bool) -> str:
    """Tokens so far of the maximum, and why the stream ended."""
    ending = "" if running else " cut\u00a0off"
    if stream.finish_reason is not None:
        ending = f" {FINISH[stream.finish_reason][1]}"
    return f"{len(stream.tokens)}/{max_tokens}{ending}"


def rates(stream: Stream, *, running: bool) -> tuple[str, ...]:
    """Tokens a second in several wordings, longest first; empty before there is a rate.

    While it runs the rate of the last seconds comes before the average.
    """
    average = stream.generation_tps
    if average is None:
        return ()
    recent = stream.recent_tps() if running and stream.finish_reason is None else None
    now = f"{_digits(average if recent is None else recent)} tok/s"
    both = f"{now} avg" if recent is None else f"{now} · avg {_digits(average)}"
    if stream.time_to_first_token_s is None:
        return both, now
    waited = f"{stream.time_to_first_token_s:.2f} s"
    return f"{both} · first token {waited}", f"{both} · TTFT {waited}", both, now


def divergence_numbers(
    stream: Stream, comparison: Comparison, width: int, against: Stream | None = None
) -> str:
    """KL against the run's reference: sparkline, mean KL, and the noise floor or a multiple of it.

    `against` is the stream that the screen compares with; where that is not the run's reference,
    the KL names the run's, or is left out.
    """
    reference = comparison.reference
    if stream is reference:
        return "" if width < _FLOOR_WIDTH else "the KL of the others is against this stream"
    mean = mean_kl(comparison, stream)
    if mean is None:
        return ""
    floor = noise_floor(comparison)
    mean_floor = None if floor is None else floor.mean_kl
    short = f"mean KL {mean:{'.0e' if mean < _SMALL else '.2f'}}" if mean else "mean KL 0"
    words = f"mean KL {nats(mean)}" if mean else "KL 0 throughout"
    words += ": engaged?" if is_suspicious(comparison, stream) else ""
    if against not in (None, reference):
        wordings = [f"{kl} from {visible_line(reference.name)}" for kl in (words, short)]
        words = next((kl for kl in wordings if cell_len(kl) <= width), "")
    elif width < _NARROW:
        words = short
    elif mean_floor is not None and width >= _FLOOR_WIDTH:
        multiple = times_noise_floor(comparison, stream)
        floors = None if multiple is None else f"{times(multiple)} × floor"
        words += f" · {floors or f'floor {nats(mean_floor)}'}"
    elif mean_floor is not None and width >= _SHORT_FLOOR_WIDTH:
        words += f" · floor {mean_floor:.0e}" if mean_floor else " · floor 0"
    if not words:
        return ""
    values, room = stream.kl.values, width - cell_len(words) - 1
    return f"{sparkline(values, min(room, len(values)), noise_floor=mean_floor)} {words}".lstrip()


def forks_out_of_view(count: int) -> list[str]:
    """A sentence on how to get to forks that cannot be seen; none without such forks."""
    if not count:
        return []
    forks, goes = ("1 fork is", "to it") if count == 1 else (f"{count} forks are", "through them")
    return [f"{forks} out of view: Ctrl+F goes {goes}."]


def nats(value: float) -> str:
    """A KL divergence with its significant digits."""
    if value == 0:
        return "0"
    return f"{value:.1e} nats" if abs(value) < _SMALL else f"{value:.2f} nats"


def _digits(value: float) -> str:
    return f"{value:.{0 if value >= 100 else 1}f}"


def token(stream: Stream, index: int, reference: str, *, of_run: bool = True) -> list[str]:
    """Return what is known of one token, the most important first.

    `reference` is the run's; its name stays with the KL where the screen compares with another.
    """
    step = stream.steps[index]
    parts = [f"{index} ‘{named(stream, index)}’"]
    if step.logprob is not None:
        # A probability is at most 1, whatever a saved file says.
        parts.append(f"p {percent(exp(min(0.0, step.logprob)))}")
    if step.margin is not None:
        parts.append(f"margin {step.margin:.2f}")
    if step.kl is not None:
        parts.append(f"KL {nats(step.kl)}" + ("" if of_run else f" from {visible_line(reference)}"))
    parts.append(f"id {stream.tokens[index]}")
    if step.logprob is not None:
        parts.append(f"logprob {step.logprob:.2f} nats")
    if step.kl is not None and of_run:
        parts.append(f"KL against {visible_line(reference)}")
    return parts


def progress(event: p.Progress) -> str:
    """How far a long step is: label, bar, amount, speed, percent, as far as they are known."""
    parts = [visible_line(progress_title(event))]
    if event.total > 0:
        share = min(1.0, event.done / event.total)
        parts.append(f"{'█' * round(share * 10):░<10} {share:.0%}")
    in_bytes = event.unit == "bytes"
    if event.total > 0 or event.done > 0:
        done = size(event.done) if in_bytes else f"{event.done}"
        total = f" of {size(event.total)}" if in_bytes else f"/{event.total}"
        unit = "" if in_bytes else f" {event.unit}"
        parts.append(f"{done}{total if event.total > 0 else ''}{unit}")
    if event.rate > 0:
        parts.append(f"{size(event.rate) if in_bytes else f'{event.rate:.0f} {event.unit}'}/s")
    return "  ".join(filter(None, parts))


def model(info: p.ModelInfo, device: str, settings: RunSettings | None) -> str:
    """A model and how it ran; what may be long comes last."""
    # The owner is the least important part of a hub id.
    name = info.id.rpartition("/")[2] if is_hub_id(info.id) else info.id
    run = () if settings is None else (settings.schedule, short_sampling(settings))
    parts = (name, info.dtype, info.bits, *run, device)
    return " · ".join(visible_line(part) for part in parts if part)


def totals(comparison: Comparison) -> str:
    """Rate of all streams together, the time so far, and the peak of memory when it is known."""
    speed, elapsed = comparison.tokens_per_second, comparison.elapsed_s
    minutes, seconds = divmod(int(elapsed), 60)
    parts = [f"{_digits(speed)} tok/s in all"] if speed is not None else []
    parts.append(f"{elapsed:.1f} s" if elapsed < 60 else f"{minutes} min {seconds:02d} s")
    if comparison.peak_memory_bytes:
        parts.append(f"peak {size(comparison.peak_memory_bytes)}")
    elif comparison.memory_bytes:
        parts.append(size(comparison.memory_bytes))
    return " · ".join(parts)


def settings(
    choices: RunSettings, shown: Comparison | None, loaded: p.Loaded | None = None
) -> list[str]:
    """The settings of the next run; its functions too where the screen shows others."""
    variants = chosen_variants(choices)
    names = [variant.name for variant in variants]
    whole = [variant.name for variant in variants if variant.limits is None]
    parts = []
    if shown is not None and names != [x.name for x in shown.streams if x.name != CONTROL]:
        parts.append(f"next: {', '.join(names)}")
    native = loaded.model.native_activation if loaded is not None else "the model's own function"
    default = native if loaded is None or native in whole or not whole else whole[0]
    chat = choices.chat
    if chat == "auto" and loaded is not None:
        chat = loaded.has_chat_template
    parts += [
        {"auto": "chat template: automatic", True: "chat template", False: "raw prompt"}[chat],
        f"{choices.max_tokens} tokens",
        choices.schedule,
        short_sampling(choices),
        f"reference: {choices.reference or default}",
        f"functions computed in {_PRECISIONS[choices.activation_precision]}",
        "with a control" if choices.control else "",
    ]
    return [visible_line(part) for part in parts if part]
