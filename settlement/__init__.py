"""Settlement: batches on an Ethereum chain, exactly once, with the assurance that each of them really has.

`contracts` → `chain` → `anchor` (commit and prove transactions) ← `follower` (sealed batches, proving in the
background) → `service` (the process). `ledger` keeps what cannot be derived from the archive or the chain.
Trading never waits for anything in here.
"""
