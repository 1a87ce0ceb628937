"""The SP1 host: Rust sources of prover, worker and verifier, and the command that builds them."""
