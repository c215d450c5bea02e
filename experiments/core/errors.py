"""The errors that a user can correct.

UserError            a command prints it as one sentence and ends with exit code 2
└── DataError        a file or folder of data is missing, damaged or of another kind

Programs and tests read the attributes; the sentence may change.
"""

import re


def without_password(text: str, instead: str = ":***") -> str:
    """Return `text` with `instead` for the password of every address in it."""
    text = re.sub(r"(://[^:/@\s]*):\S*@", rf"\1{instead}@", text)
    return re.sub(r"(?i)((?:password|passwd|pwd|token|secret)=)[^&\s]+", r"\1***", text)


class UserError(Exception):
    """A mistake that the user can correct.

    Attributes:
        code: short stable name of the kind of mistake, in kebab case: "task-unknown".
        what: the option, file, folder, address or version that is wrong.
        expected: the valid values.
        found: the value given, or the failure.
        fix: what to do, one sentence.
    """

    def __init__(
        self, code: str, what: object, expected: str = "", found: object = "", fix: str = ""
    ) -> None:
        super().__init__(code, what, expected, found, fix)  # so that it can be pickled
        self.code, self.expected, self.fix = code, expected, fix
        self.what, self.found = str(what), str(found)

    def __str__(self) -> str:
        """Return the sentence: WHAT: expected EXPECTED; found FOUND. FIX"""
        facts = [f"expected {self.expected}"] if self.expected else []
        if self.found:
            facts.append(f"found {self.found}" if self.expected else self.found)
        return f"{self.what}: {'; '.join(facts).rstrip('.')}. {self.fix}".rstrip()

    def facts(self) -> dict[str, str]:
        """Return the attributes by name, for another process or a client, as JSON."""
        names = ("code", "what", "expected", "found", "fix")
        return {name: getattr(self, name) for name in names}


class DataError(UserError):
    """Data that cannot be used; `what` is the file or folder."""
