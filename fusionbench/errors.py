"""The one exception that means "your input, not our code": the command line prints it as a single line and exits with 2."""


class InputError(ValueError):
    """Bad input from outside: a file, a folder, a name, a setting.

    The message is one line, names the file or value at fault, and ends with what to do about it.
    """
