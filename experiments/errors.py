"""The one family of errors that a user can cause; each message says what to do next.

UserError            anything that a command prints as one sentence and exit code 2
└── DataError        a file or folder of data is missing, damaged or not what it claims to be
"""

import re


def without_password(text: str, instead: str = ":***") -> str:
    """Return `text` with `instead` for the password of every address in it."""
    text = re.sub(r"(://[^:/@\s]*):\S*@", rf"\1{instead}@", text)
    return re.sub(r"(?i)((?:password|passwd|pwd|token|secret)=)[^&\s]+", r"\1***", text)


class UserError(Exception):
    """A mistake of the user's: what was expected, what came, what to do."""


class DataError(UserError):
    """Data that cannot be used; the message names the file, the expectation and the finding."""
