//! Runs a guest and proves its run, shard after shard, in a bounded amount of memory.
//!
//! The generics of the proof system are instantiated here and nowhere else, so whoever links this crate
//! builds in seconds. What is proved is verified by another crate; a proof is not to be believed because it
//! came from here.

mod execute;
mod prove;
mod setup;

pub use execute::{execute, program, Execution};
pub use prove::{prove, Proved};
pub use setup::{setup, Setup};

use std::fmt;

/// What bounds a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Cells of the trace in one shard: what proving takes in memory grows with it.
    pub shard_elements: u64,
    /// Whether precompile calls stay in the shard that made them, or go into shards of their own.
    pub retain_precompiles: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { shard_elements: sp1_core_executor::ELEMENT_THRESHOLD, retain_precompiles: true }
    }
}

impl Settings {
    fn core_opts(&self) -> sp1_core_executor::SP1CoreOpts {
        let mut opts = sp1_core_executor::SP1CoreOpts::default();
        opts.sharding_threshold.element_threshold = self.shard_elements;
        if !self.retain_precompiles {
            opts.retained_events_presets.clear();
        }
        opts
    }
}

/// How far a run is. The worker forwards it; nothing depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub stage: Stage,
    /// From 0 to 1.
    pub fraction: f64,
}

/// The part of the work that is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Setup,
    Execute,
    Prove,
}

impl Stage {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Execute => "execute",
            Self::Prove => "prove",
        }
    }
}

/// Why a run could not be made or proved.
#[derive(Debug)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}
