//! Why a proof is refused: which check, and what was wrong.
//!
//! The numbers are part of the C interface and must never be given another meaning.

use std::fmt;

/// The check that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Check {
    Argument = 1,
    Encoding = 2,
    Version = 3,
    Program = 4,
    ShardCount = 5,
    PublicValuesLength = 6,
    FirstExecutionShard = 7,
    Timestamp = 8,
    ProgramCounter = 9,
    ExitCode = 10,
    Nonce = 11,
    Addresses = 12,
    UntrustedPrograms = 13,
    Digest = 14,
    CommitFlags = 15,
    CumulativeSum = 16,
    ShardProof = 17,
    PublicValues = 18,
    DeferredProofs = 19,
    Elf = 20,
    Panic = 21,
}

/// A refused proof. An accepted one is `Ok(())`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub check: Check,
    pub reason: String,
}

impl Refusal {
    pub fn new(check: Check, reason: impl Into<String>) -> Self {
        Self { check, reason: reason.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.reason)
    }
}

impl std::error::Error for Refusal {}
