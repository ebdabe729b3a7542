"""Finding, fetching, checking and loading a model, and its tokenizer."""
