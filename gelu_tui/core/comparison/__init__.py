"""A growing comparison: streams, forks, how pairs of streams compare, the noise floor."""
