//! Verifies core proofs of SP1 6.10.0, and nothing else.
//!
//! A core proof is a list of shard proofs. Each one says only that *some* stretch of the machine's work was
//! done rightly; that the stretches belong together, begin at the program's first instruction, end at its
//! halt and carry the public values is checked here, over all of them (`chain`). The library is loaded by
//! people who do not trust the prover: it must never take a program key from the proof unless its hash is
//! the program id the caller pinned, never accept bytes that have a second reading, and never end the
//! process that loaded it.

mod chain;
mod ffi;
mod key;
mod proof;
mod refusal;
mod verify;

pub use key::{program_id, program_key, Key};
pub use proof::{decode, encode, Proof, ShardProof};
pub use refusal::{Check, Refusal};
pub use verify::{machine, shard_verifier, verify, verify_elf, CoreMachine, CoreVerifier};

/// The one version of the proof system whose machine, parameters and checks are compiled in here.
pub const SP1_VERSION: &str = "6.10.0";
