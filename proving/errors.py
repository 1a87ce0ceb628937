"""What can go wrong in proving, each with a message that says what, where and how to mend it."""

from __future__ import annotations


class ProvingError(Exception):
    """Base of everything this package raises."""


class NotBuilt(ProvingError, FileNotFoundError):
    """A native part (prover, verifier, guest library) is not there; the message says what builds it."""


class BuildFailed(ProvingError, RuntimeError):
    """The build of a native part failed or cannot begin."""


class WorkerDied(ProvingError, ConnectionError):
    """The prover process ended in the midst of a request. The request may be made again."""


class WorkerTimeout(ProvingError, TimeoutError):
    """The prover gave no answer in time and was ended. The request may be made again."""


class RequestRefused(ProvingError, RuntimeError):
    """The prover answered that it cannot do what was asked; asking again gives the same answer."""

    def __init__(self, stage: str, reason: str):
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.reason = reason


class ProgramUnknown(ProvingError, KeyError):
    """No committed program has this name or id."""

    def __str__(self) -> str:
        return str(self.args[0])


class KindUnavailable(ProvingError, ValueError):
    """This version makes no proofs of the kind asked for."""
