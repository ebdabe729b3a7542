"""Everything that is printed: terminal, Markdown, tables, progress, exports."""
