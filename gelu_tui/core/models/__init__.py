"""Models on disk: families, the state of a folder, what a model needs in memory."""
