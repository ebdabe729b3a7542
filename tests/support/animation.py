"""Pictures of a screen, one after the other, as one SVG that moves without a script.

A browser plays it also where it is shown as an image. A row of the screen is in the file once for
each look that it has. Where nothing may move, or cannot, the last picture stands still.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_ROW = "<g "
_END = "</svg>"


@dataclass(frozen=True)
class Frame:
    """A picture (`pictures.picture`) and the seconds for which it is shown."""

    svg: str
    seconds: float


def animated(frames: Sequence[Frame]) -> str:
    """The frames in a circle; all of one size and with the same page behind their rows."""
    total = sum(frame.seconds for frame in frames)
    starts = [sum(frame.seconds for frame in frames[:number]) for number in range(len(frames))]
    head, *_ = frames[0].svg.partition(f"\n{_ROW}")
    rules: dict[tuple[float, float], str] = {}
    lines = []
    for looks in zip(*(_rows(frame.svg) for frame in frames), strict=True):
        for first, end, look in _stretches(looks):
            if (first, end) == (0, len(frames)):
                lines.append(look)
                continue
            when = starts[first], starts[end] if end < len(frames) else total
            name = rules.setdefault(when, f"t{len(rules)}")
            shown = "" if end == len(frames) else ' visibility="hidden"'
            lines.append(f'<g class="{name}"{shown}>{look}</g>')
    css = "".join(_rule(name, *when, total) for when, name in rules.items())
    still = "@media (prefers-reduced-motion:reduce){g{animation:none!important}}"
    return "\n".join([head, f"<style>{css}{still}</style>", *lines, _END]) + "\n"


def _rows(svg: str) -> list[str]:
    return [line for line in svg.splitlines() if line.startswith(_ROW)]


def _stretches(looks: Sequence[str]) -> list[tuple[int, int, str]]:
    """Each look of a row with the first frame that has it, and the first after that has not."""
    found: list[tuple[int, int, str]] = []
    for number, look in enumerate(looks):
        if found and found[-1][2] == look:
            found[-1] = (found[-1][0], number + 1, look)
        else:
            found.append((number, number + 1, look))
    return found


def _rule(name: str, begin: float, end: float, total: float) -> str:
    """CSS that shows what has this class from `begin` to `end` seconds, in a circle of `total`."""
    at = [f"{0 if not begin else 100 * begin / total:.3f}%{{visibility:visible}}"]
    if begin:
        at.insert(0, "0%{visibility:hidden}")
    at.append(f"{100 * end / total:.3f}%{{visibility:{'hidden' if end < total else 'visible'}}}")
    steps = "".join(at)
    return f".{name}{{animation:{name} {total:g}s step-end infinite}}@keyframes {name}{{{steps}}}"
