"""Plain data and functions: no MLX, no Textual, no network."""
