"""The part of the plane that a plot shows, moved and scaled by keys and mouse."""

from __future__ import annotations

_FARTHEST = 1000.0
_NARROWEST = 1e-5

Range = tuple[float, float]


class Zoom:
    """A range of x, and one of y, which is None while it follows from what is in view."""

    def __init__(self, home: Range) -> None:
        self._home = home
        self.x: Range = home
        self.y: Range | None = None

    def reset(self) -> None:
        """Show what was shown at first."""
        self.x, self.y = self._home, None

    def zoom_x(self, factor: float, around: float) -> None:
        """Show `factor` times as much of x; `around` keeps its place."""
        self.x = _within(*_scaled(self.x, factor, around))

    def pan_x(self, share: float) -> None:
        """Move the range by a share of its width."""
        by = share * (self.x[1] - self.x[0])
        self.x = _within(self.x[0] + by, self.x[1] + by)

    def show_x(self, x: float) -> None:
        """Move the range so far that x is in it."""
        low, high = self.x
        by = min(0.0, x - low) or max(0.0, x - high)
        self.x = _within(low + by, high + by)

    def zoom_y(self, factor: float, seen: Range) -> None:
        """Show `factor` times as much of y as is `seen`, around its middle."""
        low, high = seen
        found = _scaled(seen, factor, 0.0 if low < 0 < high else (low + high) / 2)
        if 1e-12 < found[1] - found[0] < 1e12:
            self.y = found

    def pan_y(self, share: float, seen: Range) -> None:
        """Move the range of y by a share of what is `seen`."""
        by = share * (seen[1] - seen[0])
        self.y = (seen[0] + by, seen[1] + by)


def _scaled(of: Range, factor: float, around: float) -> Range:
    low, high = of
    return around + (low - around) * factor, around + (high - around) * factor


def _within(low: float, high: float) -> Range:
    """The range, no narrower than can be computed, and not farther out."""
    if high - low < _NARROWEST:
        middle = (low + high) / 2
        low, high = middle - _NARROWEST / 2, middle + _NARROWEST / 2
    if high - low > 2 * _FARTHEST:
        return -_FARTHEST, _FARTHEST
    by = min(0.0, _FARTHEST - high) or max(0.0, -_FARTHEST - low)
    return low + by, high + by
