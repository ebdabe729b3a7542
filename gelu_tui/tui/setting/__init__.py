"""The small screen in which any value of a run setting can be typed."""
