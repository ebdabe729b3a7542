"""Teacher-forced statistics of a text, and their document."""
