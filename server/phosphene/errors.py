"""Errors whose text is the whole message that an operator needs."""


class PhospheneError(Exception):
    """Something a person can put right; the text says what was found and what is allowed."""


class SettingsError(PhospheneError):
    """A session file, preset or command line option that cannot be used."""
