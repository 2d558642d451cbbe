"""The two ways a command can fail."""


class InputError(ValueError):
    """What the user gave cannot be used: names what was expected, what came, and where. Commands exit with 2."""


class RunError(RuntimeError):
    """A run that began well could not go on. Commands exit with 1."""
