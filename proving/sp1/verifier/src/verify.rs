//! The verdict: the key is the right one, the chain holds, every shard proof holds, the public values are
//! the ones committed to.

use std::sync::OnceLock;

use sha2::{Digest, Sha256};
use sp1_core_machine::riscv::RiscvAir;
use sp1_hypercube::{Machine, SP1Pcs, ShardContextImpl, ShardVerifier};
use sp1_primitives::fri_params::core_fri_config;
use sp1_primitives::{SP1Field, SP1GlobalContext};

use crate::chain;
use crate::key::{program_id, program_key, Key};
use crate::proof::{decode, Proof};
use crate::refusal::{Check, Refusal};

/// The RISC-V machine whose runs are proved.
pub type CoreMachine = RiscvAir<SP1Field>;

/// The verifier of single shards of that machine.
pub type CoreVerifier =
    ShardVerifier<SP1GlobalContext, ShardContextImpl<SP1GlobalContext, SP1Pcs<SP1GlobalContext>, CoreMachine>>;

const LOG_STACKING_HEIGHT: u32 = 21;
const LOG_ROWS_MAX: usize = 22;

/// The machine, built once in a process (a third of a second).
pub fn machine() -> &'static Machine<SP1Field, CoreMachine> {
    static MACHINE: OnceLock<Machine<SP1Field, CoreMachine>> = OnceLock::new();
    MACHINE.get_or_init(RiscvAir::machine)
}

/// The shard verifier, with the parameters of SP1's own core proofs and no others.
pub fn shard_verifier() -> &'static CoreVerifier {
    static VERIFIER: OnceLock<CoreVerifier> = OnceLock::new();
    VERIFIER.get_or_init(|| {
        ShardVerifier::from_basefold_parameters(
            core_fri_config(),
            LOG_STACKING_HEIGHT,
            LOG_ROWS_MAX,
            machine().clone(),
        )
    })
}

/// Verifies that the program with this id, run to a good end, gave these public values.
pub fn verify(proof: &[u8], id: &[u8; 32], public_values: &[u8]) -> Result<(), Refusal> {
    let proof = decode(proof)?;
    let claimed = program_id(&proof.claimed_key);
    if claimed != *id {
        let reason = format!("the proof is of program {}, not of {}", hex(&claimed), hex(id));
        return Err(Refusal::new(Check::Program, reason));
    }
    verify_with_key(&proof, &proof.claimed_key, public_values)
}

/// The same, with the key made from the program itself instead of an id.
pub fn verify_elf(proof: &[u8], elf: &[u8], public_values: &[u8]) -> Result<(), Refusal> {
    let key = program_key(elf)?;
    let proof = decode(proof)?;
    if proof.claimed_key != key {
        return Err(Refusal::new(Check::Program, "the proof is of another program than this ELF"));
    }
    verify_with_key(&proof, &key, public_values)
}

fn verify_with_key(proof: &Proof, key: &Key, public_values: &[u8]) -> Result<(), Refusal> {
    let end = chain::check(key, &proof.shards)?;
    let digest: [u8; 32] = Sha256::digest(public_values).into();
    if end.public_values_digest != digest {
        return Err(Refusal::new(Check::PublicValues, "the proof commits to other public values than these"));
    }
    for (index, shard) in proof.shards.iter().enumerate() {
        // A transcript of its own for each shard, begun with the key: shards are not bound to one another
        // by it, only by the chain.
        let mut challenger = shard_verifier().challenger();
        key.observe_into(&mut challenger);
        shard_verifier().verify_shard(key, shard, &mut challenger).map_err(|error| {
            Refusal::new(Check::ShardProof, format!("shard {index} is not proved: {error}"))
        })?;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
