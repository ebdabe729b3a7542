"""A comparison while it grows: streams, forks, where a pair stands, the noise floor."""
