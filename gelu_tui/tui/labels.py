"""The short texts of the screen: pure functions from what is known to what is written."""

from __future__ import annotations

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison import Comparison, Stream
from gelu_tui.core.progress import progress_title, size
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.choices import Choices

FORK_MARK = "►"
NATIVE_MARK = "◆"

_FINISH: dict[p.FinishReason, str] = {
    "stop": "ended",
    "length": "limit",
    "cancelled": "stopped",
    "failed": "failed",
}


def rate(tokens_per_second: float) -> str:
    """Tokens a second with as many digits as mean something."""
    digits = 0 if tokens_per_second >= 100 else 1
    return f"{tokens_per_second:.{digits}f} tok/s"


def seconds(value: float) -> str:
    """A duration: 3.4 s, 2 min 05 s."""
    if value < 60:
        return f"{value:.1f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"


def divergence(stream: Stream, reference: Stream, *, running: bool) -> str:
    """How a stream stands to the reference, in one phrase."""
    if stream is reference:
        return "= reference"
    if stream.first_divergent_token is not None:
        return f"{FORK_MARK} diverges at {stream.first_divergent_token}"
    if not stream.tokens:
        return "waiting for its first token" if running else "no tokens"
    if running:
        return "same so far" if reference.tokens else "waiting for the reference"
    count = min(len(stream.tokens), len(reference.tokens))
    tokens = "1 token" if count == 1 else f"{count} tokens"
    whole = stream.finish_reason in ("stop", "length") and len(stream.tokens) == len(
        reference.tokens
    )
    return f"identical, {tokens}" if whole else f"same for {tokens}"


def counts(stream: Stream, max_tokens: int, *, running: bool) -> str:
    """Tokens so far of the maximum, why the stream ended, and its rate."""
    speed = stream.generation_tps
    if stream.finish_reason is not None:
        ending = f" {_FINISH[stream.finish_reason]}"
    elif running:
        ending = ""
        speed = stream.recent_tps() or speed
    else:
        ending = " cut off"
    tokens = f"{len(stream.tokens)}/{max_tokens}{ending}"
    return tokens if speed is None else f"{tokens} · {rate(speed)}"


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


def model(loaded: p.Loaded, schedule: p.Schedule) -> str:
    """The loaded model and how it runs; what may be long comes last."""
    parts = [loaded.model.id, loaded.model.dtype]
    if loaded.model.quantization:
        bits = loaded.model.quantization.get("bits")
        parts.append(f"{bits}-bit" if bits else "quantized")
    parts += [schedule, loaded.device]
    return " · ".join(visible_line(part) for part in parts)


def totals(comparison: Comparison) -> str:
    """Rate of all streams together and the time so far."""
    speed = comparison.tokens_per_second
    parts = [f"{rate(speed)} in all"] if speed is not None else []
    parts.append(seconds(comparison.elapsed_s))
    return " · ".join(parts)


def settings(choices: Choices, shown: Comparison | None) -> str:
    """The settings of the next run; its functions too where the screen shows others."""
    names = [variant.name for variant in choices.variants()]
    parts = []
    if shown is not None and names != [stream.name for stream in shown.streams]:
        parts.append(f"next run: {', '.join(names)}")
    parts.append(f"reference {choices.reference or 'native'}")
    parts.append(f"{choices.max_tokens} tokens")
    parts.append(choices.schedule)
    parts.append({None: "chat auto", True: "chat", False: "raw prompt"}[choices.chat])
    dtype = "float32" if choices.activation_precision == "float32" else "the model's dtype"
    parts.append(f"function in {dtype}")
    return visible_line(" · ".join(parts))
