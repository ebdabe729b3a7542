"""Numbers and their errors in words, for reports."""

from __future__ import annotations


def number(form: str, value: float | None) -> str:
    """A number in the words of a report: 0 as it is, – for none, and − instead of a hyphen."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    shown = form.format(value)
    return (shown if float(shown) else shown.removeprefix("-")).replace("-", "−")


def with_error(value: float | None, error: float | None, form: str, error_form: str) -> str:
    """A number and its error, `1.50e−03 ± 5e−04`; alone where the error is unknown."""
    shown = number(form, value)
    return shown if value is None or error is None else f"{shown} ± {number(error_form, error)}"
