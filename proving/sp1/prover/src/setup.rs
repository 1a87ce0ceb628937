//! What depends on the program alone: made once, used for every proof of it.

use std::sync::{Arc, OnceLock};

use sp1_core_executor::Program;
use sp1_hypercube::prover::{AirProver, CpuShardProver, ProverSemaphore, ProvingKey, SP1InnerPcsProver};
use sp1_hypercube::{SP1InnerPcs, SP1SC};
use sp1_primitives::SP1GlobalContext;
use tokio::runtime::Runtime;
use venue_sp1_verifier::{program_id, shard_verifier, CoreMachine, Key};

use crate::Failure;

pub(crate) type ShardProver = CpuShardProver<SP1GlobalContext, SP1InnerPcs, SP1InnerPcsProver, CoreMachine>;
type ProgramKeys = ProvingKey<SP1GlobalContext, SP1SC<SP1GlobalContext, CoreMachine>, ShardProver>;

/// A program, ready to be proved.
pub struct Setup {
    pub program: Arc<Program>,
    pub key: Key,
    pub program_id: [u8; 32],
    pub(crate) keys: Arc<ProgramKeys>,
}

pub(crate) fn prover() -> &'static ShardProver {
    static PROVER: OnceLock<ShardProver> = OnceLock::new();
    PROVER.get_or_init(|| ShardProver::new(shard_verifier().clone()))
}

/// The prover's work is blocking work of this runtime's pool.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime needs only memory")
    })
}

/// Decodes the program and commits to it.
pub fn setup(elf: &[u8]) -> Result<Setup, Failure> {
    let program = crate::program(elf)?;
    let (preprocessed, key) = runtime().block_on(prover().setup(program.clone(), ProverSemaphore::new(1)));
    let program_id = program_id(&key);
    Ok(Setup { program, key, program_id, keys: preprocessed.pk })
}
