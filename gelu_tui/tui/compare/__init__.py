"""The comparison screen, which opens first."""
