"""The short texts of the screen: pure functions from what is known to what is written."""

from __future__ import annotations

from math import exp

from rich.cells import cell_len

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.fork_sentences import percent
from gelu_tui.core.comparison.noise import drawn_floor, is_suspicious, times, times_noise_floor
from gelu_tui.core.comparison.standing import FINISH
from gelu_tui.core.comparison.state import Comparison, Stream
from gelu_tui.core.functions.variants import CONTROL
from gelu_tui.core.models.inventory import is_hub_id
from gelu_tui.core.reports.progress import progress_title, size
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.run_settings import Chat, RunSettings, short_sampling
from gelu_tui.tui.compare.choices import chosen_variants
from gelu_tui.tui.compare.sparkline import sparkline
from gelu_tui.tui.text_view.pieces import named

NATIVE_MARK = "◆"

_SMALL = 0.01  # nats below which a KL needs an exponent
_NARROW = 34  # cells below which a KL is told with one digit
_FLOOR_WIDTH = 50  # cells from which on the noise floor is told beside the largest KL
_SHORT_FLOOR_WIDTH = 42  # and in as few cells as can be
_KL_WIDTH = 20  # cells of a largest KL, with the blank before it
_LEAST_SPARKLINE = 8
KL_ROOM = _LEAST_SPARKLINE + _KL_WIDTH  # cells that a KL needs to be told well


def seconds(value: float) -> str:
    """A duration: 3.4 s, 2 min 05 s."""
    if value < 60:
        return f"{value:.1f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"


def counts(stream: Stream, max_tokens: int, *, running: bool) -> str:
    """Tokens so far of the maximum, and why the stream ended."""
    if stream.finish_reason is not None:
        ending = f" {FINISH[stream.finish_reason][1]}"
    else:
        ending = "" if running else " cut\u00a0off"
    return f"{len(stream.tokens)}/{max_tokens}{ending}"


def rates(stream: Stream, *, running: bool) -> tuple[str, ...]:
    """Tokens a second in several wordings, longest first; empty before there is a rate.

    While it runs the rate of the last seconds comes before the average.
    """
    average = stream.generation_tps
    if average is None:
        return ()
    recent = stream.recent_tps() if running and stream.finish_reason is None else None
    now = rate(average if recent is None else recent)
    told = f"{now} avg" if recent is None else f"{now} · avg {_digits(average)}"
    if stream.time_to_first_token_s is None:
        return told, now
    waited = f"{stream.time_to_first_token_s:.2f} s"
    return f"{told} · first token {waited}", f"{told} · TTFT {waited}", told, now


def divergence_numbers(
    stream: Stream, comparison: Comparison, width: int, against: Stream | None = None
) -> str:
    """KL against the run's reference: a sparkline, its largest value, and the noise floor.

    Against a control's floor the mean is told as a multiple of it. `against` is the stream that
    the screen compares with; where that is not the run's reference, the KL says whose it is.
    """
    if stream is comparison.reference:
        return "" if width < _FLOOR_WIDTH else "the KL of the others is against this stream"
    values, largest = stream.kl.values, stream.kl.largest
    if largest is None:
        return ""
    floor = drawn_floor(comparison)
    whose = ""
    if against not in (None, comparison.reference):
        whose = f" from {visible_line(comparison.reference.name)}"
        if width < KL_ROOM + cell_len(whose):
            if stream is against:
                return ""  # a KL beside "the reference" would be taken for one from itself
            whose = ""
    if width < _NARROW:
        words = f"KL {largest:.0e}" if largest < _SMALL else f"KL {largest:.2f}"
        words = words if largest else "KL 0"
    else:
        words = f"KL max {nats(largest)}" if largest else "KL 0 throughout"
        words += ": engaged?" if is_suspicious(comparison, stream) else ""
    if whose:
        words += whose
    elif floor is not None and width >= _FLOOR_WIDTH:
        multiple = times_noise_floor(comparison, stream)
        words += (
            f" · floor {nats(floor)}" if multiple is None else f" · mean {times(multiple)} × floor"
        )
    elif floor is not None and width >= _SHORT_FLOOR_WIDTH:
        words += f" · floor {floor:.0e}" if floor else " · floor 0"
    room = width - cell_len(words) - 1
    return f"{sparkline(values, min(room, len(values)), noise_floor=floor)} {words}"


def nats(value: float) -> str:
    """A KL divergence with as many digits as mean something."""
    if value == 0:
        return "0"
    return f"{value:.1e} nats" if abs(value) < _SMALL else f"{value:.2f} nats"


def rate(tokens_per_second: float) -> str:
    """Tokens a second with as many digits as mean something."""
    return f"{_digits(tokens_per_second)} tok/s"


def _digits(value: float) -> str:
    return f"{value:.{0 if value >= 100 else 1}f}"


def token(stream: Stream, index: int, reference: str) -> list[str]:
    """What is known of one token, the most wanted first."""
    step = stream.steps[index]
    parts = [f"{index} ‘{named(stream, index)}’"]
    if step.logprob is not None:
        # No more than 1, whatever a saved file says.
        parts.append(f"p {percent(exp(min(0.0, step.logprob)))}")
    if step.margin is not None:
        parts.append(f"margin {step.margin:.2f}")
    if step.kl is not None:
        parts.append(f"KL {nats(step.kl)}")
    parts.append(f"id {stream.tokens[index]}")
    if step.logprob is not None:
        parts.append(f"logprob {step.logprob:.2f} nats")
    if step.kl is not None:
        parts.append(f"KL from {visible_line(reference)}")
    return parts


def progress(event: p.Progress) -> str:
    """How far a long step is: label, bar, amount, speed, percent, as far as they are known."""
    parts = [visible_line(progress_title(event))]
    if event.total > 0:
        share = min(1.0, event.done / event.total)
        filled = round(share * 10)
        parts.append(f"{'█' * filled}{'░' * (10 - filled)} {share:.0%}")
    parts.append(_amount(event))
    if event.rate > 0:
        speed = size(event.rate) if event.unit == "bytes" else f"{event.rate:.0f} {event.unit}"
        parts.append(f"{speed}/s")
    return "  ".join(part for part in parts if part)


def _amount(event: p.Progress) -> str:
    if event.total <= 0 and event.done <= 0:
        return ""
    if event.unit == "bytes":
        total = f" of {size(event.total)}" if event.total > 0 else ""
        return f"{size(event.done)}{total}"
    total = f"/{event.total}" if event.total > 0 else ""
    return f"{event.done}{total} {event.unit}"


def model(info: p.ModelInfo, device: str, settings: RunSettings | None) -> str:
    """A model and how it ran; what may be long comes last."""
    # Of a hub id the owner is the part that says least.
    parts = [info.id.rpartition("/")[2] if is_hub_id(info.id) else info.id, info.dtype]
    parts.append(info.bits)
    if settings is not None:
        parts += (settings.schedule, short_sampling(settings))
    return " · ".join(visible_line(part) for part in (*parts, device) if part)


def totals(comparison: Comparison) -> str:
    """Rate of all streams together, the time so far, and the peak of memory when it is known."""
    speed = comparison.tokens_per_second
    parts = [f"{rate(speed)} in all"] if speed is not None else []
    parts.append(seconds(comparison.elapsed_s))
    if comparison.peak_memory_bytes:
        parts.append(f"peak {size(comparison.peak_memory_bytes)}")
    elif comparison.memory_bytes:
        parts.append(size(comparison.memory_bytes))
    return " · ".join(parts)


def settings(
    choices: RunSettings, shown: Comparison | None, loaded: p.Loaded | None = None
) -> list[str]:
    """The settings of the next run; its functions too where the screen shows others."""
    names = [variant.name for variant in chosen_variants(choices)]
    parts = []
    if shown is not None and names != _chosen(shown):
        parts.append(f"next: {', '.join(names)}")
    parts.append(_chat(choices.chat, loaded.has_chat_template if loaded else None))
    parts.append(f"{choices.max_tokens} tokens")
    parts.append(choices.schedule)
    if drawn := short_sampling(choices):
        parts.append(drawn)
    parts.append(f"reference {choices.reference or _default_reference(names, loaded)}")
    parts.append(f"functions: {'model dtype' if _in_model_dtype(choices) else 'float32'}")
    if choices.control:
        parts.append("with a control")
    return [visible_line(part) for part in parts]


def _chosen(shown: Comparison) -> list[str]:
    """The names of the streams, without the control that the engine added."""
    return [stream.name for stream in shown.streams if stream.name != CONTROL]


def _default_reference(names: list[str], loaded: p.Loaded | None) -> str:
    if loaded is None:
        return "native"
    native = loaded.model.native_activation
    return native if native in names else names[0] if names else "native"


def _in_model_dtype(choices: RunSettings) -> bool:
    return choices.activation_precision == "model"


def _chat(wanted: Chat, has_template: bool | None) -> str:
    if wanted != "auto":
        return "chat template" if wanted else "raw prompt"
    if has_template is None:
        return "chat or raw by the model"
    return "chat template" if has_template else "raw prompt"
