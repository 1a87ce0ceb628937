"""Proofs that a batch was executed by the published program: the program, its provers, and their verifiers.

Why: a member, an auditor or a contract need not trust the venue's arithmetic. Proving follows the archive and may fall
behind; it must never delay trading, and nothing here may call a replay a proof.
"""
