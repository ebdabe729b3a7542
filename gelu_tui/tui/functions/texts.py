"""The texts of the picker: pure functions from its state to styled text."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from gelu_tui.core.functions.curves import Curve
from gelu_tui.core.functions.expressions import FUNCTIONS, FormulaError
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.functions.variants import Variant
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.compare.labels import NATIVE_MARK
from gelu_tui.tui.functions.curve_views import CURVE, small_curve
from gelu_tui.tui.functions.picking import Picking
from gelu_tui.tui.widgets.plot import Dots

# the screen's actions in the list: keys, what the line of keys shows, what the help shows
ACTIONS = {
    "change('toggle')": ("space", "Space choose", "Choose the function, or leave it out"),
    "change('move', 'up')": ("u,shift+up", "U ↑", "Move its pane towards the front"),
    "change('move', 'down')": ("d,shift+down", "D ↓", "Move its pane towards the end"),
    "change('refer')": ("r", "R ref", "Compare the others with it"),
    "next_set": ("s", "S sets", "The next ready-made set"),
    "next_view": ("v", "V view", "Draw next: curve, error against exact GELU, slope"),
    "change('remove')": ("x,delete", "", "Delete a formula of your own"),
    "undo": ("z", "Z undo", "Take the last change back"),
    "curves": ("c", "C", "Look at them in the lab: curves, derivatives, errors"),
    "layers": ("l", "L", "Which layer does it: look in the lab"),
    "text": ("t", "T lab", "A text in colour, by what functions predict: look in the lab"),
    "formula": ("slash", "", "Find a function, or write your own"),
}
KEYS = " · ".join(
    f"[@click=screen.{action}]{shown}[/]" for action, (_, shown, _) in ACTIONS.items() if shown
)

_LANGUAGE = f"x pi e + - * / ** {' '.join(FUNCTIONS)}"
_CURVE_WIDTHS = {1: 8, 2: 10, 3: 16}


def row_text(
    picking: Picking, index: int, width: int, lines: int, dots: Dots, curve: Curve | None
) -> Content:
    """A function in the list, `width` cells wide: text on the left, its curve on the right.

    One line holds name and formula, the second the formula, the third the aliases. The place of the
    curve is blank while there is none yet.
    """
    curve_width = _CURVE_WIDTHS[lines] if width >= 34 else 0
    drawn = small_curve(curve, curve_width, lines, dots) if curve and curve_width else [[]] * lines
    room = width - curve_width - bool(curve_width)
    texts = _row_lines(picking, index, lines, room)
    return Content("\n").join(
        # in the row's own colour, which is readable under the cursor in every theme
        Content.assemble(
            text.truncate(room, ellipsis=True, pad=True),
            " " if curve_width else "",
            *((run.text, "bold" if run.style == CURVE else "") for run in runs),
        )
        for text, runs in zip(texts, drawn, strict=True)
    )


def _row_lines(picking: Picking, index: int, lines: int, room: int) -> list[Content]:
    variant = picking.rows[index].variant
    number = picking.number(index)
    formula = visible_line(variant.formula)
    first = Content.assemble(
        f"[■] {number} " if number else "[ ]   ",
        (variant.name, "bold" if number else ""),
        (f" {NATIVE_MARK}" if variant.name == picking.native else ""),
    )
    if variant.name == picking.effective_reference():
        fits = cell_len(first.plain) + len(" = reference") <= room
        first = Content.assemble(first, (" = reference" if fits else " = ref", "bold"))
    if lines == 1:
        return [Content.assemble(first, "  ", (formula, "dim"))]
    own = variant.limits.words if variant.limits is not None else "your own"
    second = own if variant.is_own else ", ".join(variant.aliases)
    rest = (formula, second)[: lines - 1]
    return [first, *(Content.styled(f"{'':6}{text}", "dim") for text in rest)]


def about(picking: Picking, variant: Variant, width: int) -> Content:
    """Name, what it is in this comparison if that fits, formula in full, other names."""
    roles = [
        (f"{NATIVE_MARK} native", variant.name == picking.native),
        ("= reference", variant.name == picking.effective_reference()),
        ("your own", variant.is_own and variant.function not in REGISTRY),
    ]
    role = " · ".join(text for text, applies in roles if applies)
    if len(variant.name) + 2 + len(role) > width:
        role = ""
    more = f"\nalso {', '.join(variant.aliases)}" if variant.aliases else ""
    if variant.limits is not None:
        more = f"\n{variant.limits.words}, elsewhere the reference"
    return Content.assemble(
        (variant.name, "bold"),
        (f"  {role}" if role else "", "dim"),
        f"\n{visible_line(variant.formula)}",
        (more, "dim"),
    )


def caret_line(error: FormulaError, column: int, width: int) -> Content:
    """A caret in `column`, under the character meant in the field above, and what is wrong there.

    At the end of the formula something is only missing yet: that is no error to be loud about.
    """
    unfinished = error.position >= len(error.source.rstrip())
    style = "dim" if unfinished else "bold $text-error"
    column = max(0, min(column, width - 1))
    reason = visible_line(error.reason.rstrip(","))
    if column + 2 + cell_len(reason) <= width:
        line = f"{' ' * column}^ {reason}"
    else:
        line = f"{set_cell_size(reason, max(0, column - 1)).rstrip():>{max(0, column - 1)}} ^"
        line = line if column else "^"
    return Content.assemble((line, style), ("\n" + _LANGUAGE, "dim"))
