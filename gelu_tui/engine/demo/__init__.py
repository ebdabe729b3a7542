"""The embedded demo model: from its Python package to a folder that mlx-lm loads."""
