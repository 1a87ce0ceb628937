//! The program key: what the verifier knows of a program, and the program id, its hash.
//!
//! A key comes from the ELF (`program_key`) or is the preimage of a pinned id. The hash covers every field
//! that the proof's transcript covers, so two programs with one id would be a collision of Poseidon2.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sha2::{Digest, Sha256};
use slop_algebra::PrimeField;
use sp1_core_executor::Program;
use sp1_hypercube::air::MachineProgram;
use sp1_hypercube::prover::{CpuShardProver, ProverSemaphore, SP1InnerPcsProver};
use sp1_hypercube::{HashableKey, MachineVerifyingKey, SP1InnerPcs};
use sp1_primitives::SP1GlobalContext;

use crate::refusal::{Check, Refusal};
use crate::verify::{shard_verifier, CoreMachine};

/// What a proof of one program is verified against.
pub type Key = MachineVerifyingKey<SP1GlobalContext>;

type Committer = CpuShardProver<SP1GlobalContext, SP1InnerPcs, SP1InnerPcsProver, CoreMachine>;

/// The program id: Poseidon2 over the key, as the 32 bytes that SP1's contracts take.
#[must_use]
pub fn program_id(key: &Key) -> [u8; 32] {
    let bytes = key.hash_bn254().as_canonical_biguint().to_bytes_be();
    let mut id = [0; 32];
    id[32 - bytes.len()..].copy_from_slice(&bytes);
    id
}

/// The key of the program in an ELF file: its code and memory image are committed to anew, which takes some
/// seconds the first time and nothing afterwards.
pub fn program_key(elf: &[u8]) -> Result<Key, Refusal> {
    static KEYS: OnceLock<Mutex<HashMap<[u8; 32], Key>>> = OnceLock::new();
    let digest: [u8; 32] = Sha256::digest(elf).into();
    let mut keys = KEYS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(key) = keys.get(&digest) {
        return Ok(key.clone());
    }
    let key = commit(elf)?;
    keys.insert(digest, key.clone());
    Ok(key)
}

fn commit(elf: &[u8]) -> Result<Key, Refusal> {
    let program = Program::from(elf)
        .map_err(|error| Refusal::new(Check::Elf, format!("not a program SP1 can run: {error}")))?;
    if program.enable_untrusted_programs {
        return Err(Refusal::new(Check::UntrustedPrograms, "the program may run code that is not its own"));
    }
    let program = Arc::new(program);
    let sum = program.initial_global_cumulative_sum();
    let committer = Committer::new(shard_verifier().clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| Refusal::new(Check::Panic, format!("no runtime: {error}")))?;
    let setup = committer.setup_with_initial_global_cumulative_sum(program, sum, ProverSemaphore::new(1));
    Ok(runtime.block_on(setup).1)
}
