"""The one exception a person is meant to read."""


class InputError(ValueError):
    """What was given can't be used: one sentence with what was given, what is possible and what to do.

    The commands print it without a traceback and exit with 1.
    """
