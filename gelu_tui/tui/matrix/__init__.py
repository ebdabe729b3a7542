"""The screen of the first divergent tokens of all pairs."""
