"""Everything that is printed: terminal, Markdown, HTML, tables, progress, exports."""
