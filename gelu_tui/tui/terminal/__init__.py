"""The terminal: when frames are drawn, slow lines, uncertain widths, shutting down."""
