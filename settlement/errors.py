"""The errors of settlement. Each message says what, where and how to mend it; none of them may stop trading."""

from __future__ import annotations


class SettlementError(Exception):
    """Base of all errors of settlement."""


class SettlementConfigError(SettlementError, ValueError):
    """A setting that cannot work, or that would promise what the chain cannot give."""


class ChainUnavailable(SettlementError, ConnectionError):
    """The chain does not answer; worth trying again."""


class ChainRefused(SettlementError, RuntimeError):
    """The chain answered and refused: a revert, a fee too low, a nonce used."""


class ChainChanged(SettlementError, RuntimeError):
    """This is not the chain, or not the contract, that the ledger speaks of."""


class LedgerError(SettlementError, RuntimeError):
    """The settlement ledger cannot be opened, or is not the one this program knows."""


class LedgerUnavailable(LedgerError, ConnectionError):
    """The ledger's database does not answer; worth trying again."""


class ArtifactError(SettlementError, RuntimeError):
    """A committed contract artifact is missing or does not come from the source beside it."""


class ProofRefused(SettlementError, ValueError):
    """A proof that its verifier did not accept; nothing was signed for it."""


class SettlementHalted(SettlementError, RuntimeError):
    """Chain and ledger contradict each other beyond repair by a program; a person must look."""
