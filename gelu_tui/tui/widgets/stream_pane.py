"""One variant: its name and formula on a rule, how it stands to the reference, and its text."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from gelu_tui.core.comparison import Comparison, Stream
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui import labels
from gelu_tui.tui.stream_text import stream_content
from gelu_tui.tui.widgets.stream_view import StreamView

_ONE_ROW_WIDTH = 54  # state and counts fit beside each other


class PaneHead(Static):
    """State on the left, counts on the right; in a narrow pane under each other."""

    DEFAULT_CSS = """
    PaneHead {
        height: 2;
        text-wrap: nowrap;
        text-overflow: ellipsis;
        &.-wide { height: 1; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._texts = ("", "", "")

    def show(self, state: str, counts: str, kind: str) -> None:
        """Write the parts; `kind` is `fork`, `reference` or empty."""
        if (state, counts, kind) != self._texts:
            self._texts = (state, counts, kind)
            self._write()

    def on_resize(self) -> None:
        """Choose one row or two."""
        self.set_class(self.size.width >= _ONE_ROW_WIDTH, "-wide")
        self._write()

    def _write(self) -> None:
        state, counts, kind = self._texts
        gap = "\n"
        if self.has_class("-wide"):
            gap = " " * max(1, self.size.width - 1 - len(state) - len(counts))
        style = {"fork": "bold $text-warning", "reference": "bold"}.get(kind, "")
        self.update(Content.assemble((state, style), gap, (counts, "dim")), layout=False)


class StreamPane(Vertical):
    """Draws a stream of a comparison, or only a variant's name while there is none."""

    ALLOW_MAXIMIZE = True
    DEFAULT_CSS = """
    StreamPane {
        height: 1fr;
        min-height: 5;
        border-top: solid $foreground 40%;
        border-title-color: $foreground;
        &:focus-within { border-top: heavy $accent; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: tuple[object, ...] = ()
        self.variant_name = ""

    def compose(self) -> ComposeResult:
        """Head and text."""
        yield PaneHead()
        yield StreamView()

    def announce(self, name: str, formula: str, *, native: bool) -> None:
        """Show a variant that has no stream yet."""
        self._title(name, "", native=native)
        self._seen = ()
        self.query_one(PaneHead).display = False
        view = self.query_one(StreamView)
        view.restart()
        view.show(Content.styled(visible_line(formula), "dim"))

    def begin(self, stream: Stream) -> None:
        """Show a stream that begins."""
        self._title(stream.name, stream.variant.formula, native=stream.variant.native)
        self._seen = ()
        self.query_one(PaneHead).display = True
        self.query_one(StreamView).restart()

    def show(self, stream: Stream, comparison: Comparison, *, running: bool) -> None:
        """Show what the stream has come to; cheap if nothing changed."""
        reference = comparison.reference
        kind = "fork" if stream.first_divergent_token is not None else ""
        self.query_one(PaneHead).show(
            labels.divergence(stream, reference, running=running),
            labels.counts(stream, comparison.started.max_tokens, running=running),
            "reference" if stream is reference else kind,
        )
        seen = (
            len(stream.tokens),
            stream.agreed,
            stream.first_divergent_token,
            stream.fork is not None,
            stream.finish_reason,
            self.app.theme,
        )
        if seen != self._seen:
            self._seen = seen
            view = self.query_one(StreamView)
            view.show(
                stream_content(stream, is_reference=stream is reference, styles=view.stream_styles)
            )

    def _title(self, name: str, formula: str, *, native: bool) -> None:
        self.variant_name = name
        mark = f" {labels.NATIVE_MARK} native" if native else ""
        secondary = f" · {visible_line(formula)}" if formula else ""
        self.border_title = Content.assemble(
            (f" {visible_line(name)}", "bold"), mark, (f"{secondary} ", "dim")
        )
