"""A sweep as text, Markdown, a page, and tables for other programs."""
