"""The prompt sets that come with gelu-tui: one JSON object a line, with its text under CC0."""
