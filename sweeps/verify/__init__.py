"""Whether a sweep still is what its records say."""
