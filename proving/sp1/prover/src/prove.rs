//! Proves a run: execute, cut into shards, trace and prove one shard at a time.
//!
//! Only the list of memory reads of the whole run is kept; the trace of a shard is made, proved and dropped
//! before the next. The proofs are then laid in the order the verifier's chain demands: precompile shards (at
//! the machine's first moment), execution shards in time, memory shards (at its last).

use std::sync::Arc;

use hashbrown::HashSet;
use sp1_core_executor::events::MemoryRecord;
use sp1_core_executor::{
    CompressedMemory, CompressedPages, CycleResult, ExecutionRecord, Program, SP1CoreOpts, SplicedMinimalTrace,
    SplicingVMEnum, SplitOpts,
};
use sp1_core_executor_runner::MinimalExecutorRunner;
use sp1_core_machine::executor::trace_chunk;
use sp1_core_machine::utils::emit_globals;
use sp1_hypercube::prover::{AirProver, ProverSemaphore};
use sp1_hypercube::MachineRecord;
use sp1_jit::{MinimalTrace, TraceChunk};
use sp1_primitives::SP1Field;
use venue_sp1_verifier::{encode, machine, ShardProof};

use crate::execute::{failed, provable_end, start, NONCE};
use crate::setup::{prover, runtime};
use crate::{Failure, Progress, Settings, Setup, Stage};

/// A proved run.
pub struct Proved {
    pub cycles: u64,
    pub public_values: Vec<u8>,
    pub shards: usize,
    /// The proof file.
    pub proof: Vec<u8>,
}

/// Registers are memory too, at addresses below this; the run's end hands them over separately.
const REGISTERS: u64 = 32;

type Splice = SplicedMinimalTrace<TraceChunk>;

/// Runs the program over the input, one item of its hint stream, and proves the run.
pub fn prove(
    setup: &Setup,
    input: &[u8],
    settings: &Settings,
    progress: &mut dyn FnMut(Progress),
) -> Result<Proved, Failure> {
    let opts = settings.core_opts();
    progress(Progress { stage: Stage::Execute, fraction: 0.0 });
    let mut runner = start(&setup.program, input, opts.minimal_trace_chunk_threshold, &opts);
    let mut splices = Vec::new();
    while let Some(chunk) = runner.try_execute_chunk().map_err(failed)? {
        splices.extend(splice(&setup.program, &chunk.into(), &opts)?);
    }
    provable_end(&runner)?;
    let shards = Run { setup, opts, runner: &runner, touched: HashSet::new() }.prove(splices, progress)?;
    Ok(Proved {
        cycles: runner.global_clk(),
        public_values: runner.public_values_stream().to_vec(),
        shards: shards.len(),
        proof: encode(&setup.key, &shards),
    })
}

/// Cuts a chunk of the run where shards end.
fn splice(program: &Arc<Program>, chunk: &TraceChunk, opts: &SP1CoreOpts) -> Result<Vec<Splice>, Failure> {
    // The addresses it notes are those of loads and stores; memory that only a precompile touched is not
    // among them, so they are not used: see `Run::trace`.
    let mut memory = CompressedMemory::new();
    let mut pages = CompressedPages::new();
    let mut vm = SplicingVMEnum::new(chunk, program.clone(), &mut memory, &mut pages, NONCE, opts.clone());
    let reads = usize::try_from(chunk.num_mem_reads()).expect("memory reads are counted in memory");
    let mut splices = Vec::new();
    let mut current = SplicedMinimalTrace::new_full_trace(chunk.clone());
    loop {
        let next = match vm.execute().map_err(failed)? {
            CycleResult::ShardBoundary => vm.splice(chunk.clone()),
            CycleResult::Done(true) => None,
            CycleResult::Done(false) | CycleResult::TraceEnd => {
                return Err(Failure("the run's trace ends within a shard".into()));
            }
        };
        current.set_last_clk(vm.clk());
        current.set_last_mem_reads_idx(if vm.is_done() { reads } else { reads - vm.mem_reads_len() });
        match next {
            Some(next) => splices.push(std::mem::replace(&mut current, next)),
            None => break,
        }
    }
    splices.push(current);
    Ok(splices)
}

struct Run<'a> {
    setup: &'a Setup,
    opts: SP1CoreOpts,
    runner: &'a MinimalExecutorRunner,
    /// Every word of memory that a shard so far took from the one before or left to the next.
    touched: HashSet<u64>,
}

impl Run<'_> {
    fn prove(
        mut self,
        splices: Vec<Splice>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<ShardProof>, Failure> {
        let split_opts = SplitOpts::new(&self.opts, self.setup.program.instructions.len(), false);
        let mut deferred = self.record();
        let (mut precompiles, mut executions, mut memories) = (Vec::new(), Vec::new(), Vec::new());
        let count = splices.len();
        for (index, splice) in splices.into_iter().enumerate() {
            progress(Progress { stage: Stage::Prove, fraction: index as f64 / (count + 1) as f64 });
            let (mut record, done) = self.trace(splice)?;
            if done != (index + 1 == count) {
                return Err(Failure("the run does not end with its last shard".into()));
            }
            deferred.append(&mut record.defer(&self.opts.retained_events_presets));
            let pack = done && fits(&record, &deferred, &split_opts);
            let others = deferred.split(done, &mut record, pack, &split_opts);
            executions.push(self.prove_shard(record));
            for (other_index, other) in others.into_iter().enumerate() {
                progress(Progress {
                    stage: Stage::Prove,
                    fraction: (index as f64 + 1.0 - 1.0 / (2.0 + other_index as f64)) / (count + 1) as f64,
                });
                let memory = !other.global_memory_initialize_events.is_empty()
                    || !other.global_memory_finalize_events.is_empty();
                let shards = if memory { &mut memories } else { &mut precompiles };
                shards.push(self.prove_shard(other));
            }
        }
        progress(Progress { stage: Stage::Prove, fraction: 1.0 });
        precompiles.append(&mut executions);
        precompiles.append(&mut memories);
        Ok(precompiles)
    }

    fn record(&self) -> ExecutionRecord {
        ExecutionRecord::new(self.setup.program.clone(), NONCE, self.opts.global_dependencies_opt)
    }

    /// The full trace of one shard; that of the last carries what the whole run did to memory.
    fn trace(&mut self, splice: Splice) -> Result<(ExecutionRecord, bool), Failure> {
        let program = self.setup.program.clone();
        let (done, mut record, registers): (bool, ExecutionRecord, [MemoryRecord; 32]) =
            trace_chunk::<SP1Field>(program, self.opts.clone(), splice, NONCE, self.record())
                .map_err(failed)?;
        self.touched
            .extend(record.get_local_mem_events().map(|event| event.addr).filter(|addr| *addr >= REGISTERS));
        if done {
            emit_globals(
                self.runner,
                &mut record,
                registers,
                std::mem::take(&mut self.touched),
                HashSet::new(),
            );
        }
        Ok((record, done))
    }

    fn prove_shard(&self, mut record: ExecutionRecord) -> ShardProof {
        machine().generate_dependencies(std::iter::once(&mut record), None);
        let keys = self.setup.keys.clone();
        runtime().block_on(prover().prove_shard_with_pk(keys, record, ProverSemaphore::new(1))).0
    }
}

/// Whether the run's memory events fit into its last execution shard.
fn fits(record: &ExecutionRecord, deferred: &ExecutionRecord, opts: &SplitOpts) -> bool {
    record.estimated_trace_area <= opts.pack_trace_threshold
        && deferred.global_memory_initialize_events.len() <= opts.combine_memory_threshold
        && deferred.global_memory_finalize_events.len() <= opts.combine_memory_threshold
}
