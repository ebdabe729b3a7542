"""Arrays: decoding, caches, token selection, the places of the activation, statistics."""
