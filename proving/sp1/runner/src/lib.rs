//! Runs a guest in this process.
//!
//! Stands in for the published crate of the same name, which starts a child process. The guest's code is
//! translated to machine code and is not fenced off: only programs of this project may be run. A guest that
//! leaves its memory ends the process, so the process that proves must be one that may be lost.

use std::sync::Arc;

use sp1_core_executor::{ExecutionError, MinimalExecutorEnum, Program};
use sp1_jit::{MemValue, TraceChunkRaw, PUBLIC_VALUE_DIGEST_WORDS};

/// An executor that yields the trace of a run chunk by chunk.
pub struct MinimalExecutorRunner(MinimalExecutorEnum);

impl MinimalExecutorRunner {
    /// Translates the program. `trace_entries_max` bounds a chunk; without it nothing is traced.
    #[must_use]
    pub fn new(
        program: Arc<Program>,
        debug: bool,
        trace_entries_max: Option<u64>,
        memory_limit_bytes: u64,
        _chunk_slots: usize,
    ) -> Self {
        Self(MinimalExecutorEnum::new_with_limit(program, debug, trace_entries_max, Some(memory_limit_bytes)))
    }

    pub fn with_input(&mut self, input: &[u8]) {
        self.0.with_input(input);
    }

    pub fn try_execute_chunk(&mut self) -> Result<Option<TraceChunkRaw>, ExecutionError> {
        self.0.try_execute_chunk()
    }

    #[must_use]
    pub fn program(&self) -> Arc<Program> {
        self.0.program()
    }

    #[must_use]
    pub fn hints(&self) -> &[(u64, Vec<u8>)] {
        self.0.hints()
    }

    #[must_use]
    pub fn get_memory_value(&self, addr: u64) -> MemValue {
        self.0.get_memory_value(addr)
    }

    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0.is_done()
    }

    #[must_use]
    pub fn global_clk(&self) -> u64 {
        self.0.global_clk()
    }

    #[must_use]
    pub fn exit_code(&self) -> u32 {
        self.0.exit_code()
    }

    #[must_use]
    pub fn public_values_stream(&self) -> &[u8] {
        self.0.public_values_stream()
    }

    #[must_use]
    pub fn public_value_digest(&self) -> [u32; PUBLIC_VALUE_DIGEST_WORDS] {
        self.0.public_value_digest()
    }
}
