"""The text of a stream: buffer, wrapping, viewport, search, and the pane that draws it."""
