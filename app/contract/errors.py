"""What the contract can refuse: the caller's input, or a package of the store.

ContractError
 |- InputError      the text sent: the caller can mend it
 |- PackageError    the package on disk: its author or operator can mend it
"""


class ContractError(Exception):
    """Base of both; the text is one line that may be shown to whoever can act on it."""


class InputError(ContractError):
    """An input that cannot be answered.

    Attributes:
        code: stable, documented error code (snake_case).
        index: position of the offending input in the request, counted from 0.
        part: what the caller calls the offending text of a pair; None for the whole input.
    """

    def __init__(self, code: str, message: str, *, index: int = 0, part: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.index = index
        self.part = part


class PackageError(ContractError):
    """A package that must stay out of service."""
