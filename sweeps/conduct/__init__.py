"""A plan carried out: cells handed to an engine, and what is said before and after."""
