"""A run as a document: saving, restoring, the history file, merging two runs."""
