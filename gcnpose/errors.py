"""The two ways a command can fail."""


class InputError(ValueError):
    """What the user gave cannot be used: says what was expected, what came, and where. Exit status 2."""


class RunError(RuntimeError):
    """A run that began well could not go on. Exit status 1."""
