//! Runs a guest without proving: what it says, and what it would cost.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};
use sp1_core_executor::{ExecutionReport, GasEstimatingVMEnum, Program, SP1CoreOpts};
use sp1_core_executor_runner::MinimalExecutorRunner;

use crate::{Failure, Settings};

/// A finished run.
#[derive(Clone, Debug, Serialize)]
pub struct Execution {
    pub cycles: u64,
    /// SP1's own measure of proving cost, from the area and complexity of the traces.
    pub gas: u64,
    pub exit_code: u32,
    #[serde(skip)]
    pub public_values: Vec<u8>,
    /// Calls by name, those never made left out.
    pub syscalls: BTreeMap<String, u64>,
}

/// Decodes a program.
pub fn program(elf: &[u8]) -> Result<Arc<Program>, Failure> {
    let program = Program::from(elf).map_err(|error| Failure(format!("not a program SP1 can run: {error}")))?;
    if program.enable_untrusted_programs {
        return Err(Failure(
            "the program may run code that is not its own; its proofs are not accepted".into(),
        ));
    }
    Ok(Arc::new(program))
}

/// Runs the program over the input, one item of its hint stream, to its end.
pub fn execute(program: &Arc<Program>, input: &[u8], settings: &Settings) -> Result<Execution, Failure> {
    let opts = settings.core_opts();
    let mut runner = start(program, input, opts.gas_trace_chunk_threshold, &opts);
    let mut report = ExecutionReport::default();
    while let Some(chunk) = runner.try_execute_chunk().map_err(failed)? {
        report +=
            GasEstimatingVMEnum::new(&chunk, program.clone(), NONCE, opts.clone()).execute().map_err(failed)?;
    }
    let syscalls = report.syscall_counts.iter().filter(|(_, count)| **count > 0);
    Ok(Execution {
        cycles: runner.global_clk(),
        gas: report.gas().unwrap_or(0),
        exit_code: runner.exit_code(),
        public_values: runner.public_values_stream().to_vec(),
        syscalls: syscalls.map(|(code, count)| (format!("{code:?}"), *count)).collect(),
    })
}

/// No proof of ours is bound to a nonce: what a batch's proof says does not depend on when it was made.
pub(crate) const NONCE: [u32; 4] = [0; 4];

pub(crate) fn start(
    program: &Arc<Program>,
    input: &[u8],
    trace_entries_max: u64,
    opts: &SP1CoreOpts,
) -> MinimalExecutorRunner {
    let slots = opts.trace_chunk_slots;
    let mut runner =
        MinimalExecutorRunner::new(program.clone(), false, Some(trace_entries_max), opts.memory_limit, slots);
    runner.with_input(input);
    runner
}

pub(crate) fn failed(error: sp1_core_executor::ExecutionError) -> Failure {
    Failure(format!("the guest cannot be run: {error}"))
}

/// Demands an end that can be proved: exit code 0, and the public values committed to.
pub(crate) fn provable_end(runner: &MinimalExecutorRunner) -> Result<(), Failure> {
    if runner.exit_code() != 0 {
        let code = runner.exit_code();
        return Err(Failure(format!(
            "the guest ended with exit code {code}; only runs that end with 0 are proved"
        )));
    }
    let digest: [u8; 32] = Sha256::digest(runner.public_values_stream()).into();
    let committed: Vec<u8> = runner.public_value_digest().iter().flat_map(|word| word.to_le_bytes()).collect();
    if committed != digest {
        return Err(Failure(
            "the guest committed to a digest that is not the SHA-256 of its public values".into(),
        ));
    }
    Ok(())
}
