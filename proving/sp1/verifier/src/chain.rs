//! That the shards are one run: whole, in order, each once, of this program.
//!
//! A shard proof binds its own public elements. Here they are bound to each other and to the key: what one
//! shard ends with is what the next begins with, the first begins as the machine begins, the last ends as a
//! good run ends, and what all of them sent over the memory bus cancels out.

use std::borrow::Borrow;

use slop_algebra::{AbstractField, PrimeField32};
use sp1_core_executor::HALT_PC;
use sp1_hypercube::air::{PublicValues, POSEIDON_NUM_WORDS, PV_DIGEST_NUM_WORDS};
use sp1_hypercube::PROOF_MAX_NUM_PVS;
use sp1_primitives::SP1Field as F;

use crate::key::Key;
use crate::proof::ShardProof;
use crate::refusal::{Check, Refusal};

type Public = PublicValues<[F; 4], [F; 3], [F; 4], F>;

/// What the chain ends with.
pub struct End {
    pub public_values_digest: [u8; 32],
}

/// Checks everything that holds between shards. That each shard is proved is not checked here.
pub fn check(key: &Key, shards: &[ShardProof]) -> Result<End, Refusal> {
    if shards.is_empty() || shards.len() >= 1 << 24 {
        return refuse(Check::ShardCount, format!("{} shards", shards.len()));
    }
    for (index, shard) in shards.iter().enumerate() {
        if shard.public_values.len() != PROOF_MAX_NUM_PVS {
            let length = shard.public_values.len();
            return refuse(
                Check::PublicValuesLength,
                format!("shard {index} has {length} public elements, not {PROOF_MAX_NUM_PVS}"),
            );
        }
    }
    let public: Vec<&Public> = shards.iter().map(|shard| shard.public_values.as_slice().borrow()).collect();
    first_execution_shard(&public)?;
    timestamps(&public)?;
    program_counters(key, &public)?;
    exit_codes(&public)?;
    nonces(&public)?;
    addresses(&public)?;
    untrusted_programs(key, &public)?;
    let end = digests(&public)?;
    cumulative_sum(key, &public)?;
    Ok(end)
}

fn refuse<T>(check: Check, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(check, reason))
}

/// Demands that each shard begins with what the one before it ended with.
fn chained<T: PartialEq + Copy>(
    public: &[&Public],
    check: Check,
    what: &str,
    begin: T,
    first: impl Fn(&Public) -> T,
    last: impl Fn(&Public) -> T,
) -> Result<T, Refusal> {
    let mut previous = begin;
    for (index, shard) in public.iter().enumerate() {
        if first(shard) != previous {
            return refuse(check, format!("shard {index} does not begin with the {what} before it"));
        }
        previous = last(shard);
    }
    Ok(previous)
}

fn first_execution_shard(public: &[&Public]) -> Result<(), Refusal> {
    let mut count = 0;
    for (index, shard) in public.iter().enumerate() {
        match shard.is_first_execution_shard.as_canonical_u32() {
            0 => {}
            1 => count += 1,
            _ => return refuse(Check::FirstExecutionShard, format!("shard {index}: the flag is not 0 or 1")),
        }
    }
    if count != 1 {
        return refuse(Check::FirstExecutionShard, format!("{count} shards are marked the first, not one"));
    }
    Ok(())
}

fn timestamps(public: &[&Public]) -> Result<(), Refusal> {
    let begin = [F::zero(), F::zero(), F::zero(), F::one()];
    chained(
        public,
        Check::Timestamp,
        "time",
        begin,
        |shard| shard.initial_timestamp,
        |shard| shard.last_timestamp,
    )?;
    for (index, shard) in public.iter().enumerate() {
        let passes = shard.initial_timestamp != shard.last_timestamp;
        let executes = shard.is_execution_shard.as_canonical_u32();
        if executes != u32::from(passes) {
            return refuse(
                Check::Timestamp,
                format!("shard {index}: time passes in shards that execute, and in no others"),
            );
        }
    }
    Ok(())
}

fn program_counters(key: &Key, public: &[&Public]) -> Result<(), Refusal> {
    let end = chained(
        public,
        Check::ProgramCounter,
        "program counter",
        key.pc_start,
        |shard| shard.pc_start,
        |shard| shard.next_pc,
    )?;
    for (index, shard) in public.iter().enumerate() {
        if shard.is_execution_shard != F::one() && shard.pc_start != shard.next_pc {
            return refuse(
                Check::ProgramCounter,
                format!("shard {index} moves the program counter without executing"),
            );
        }
    }
    if end != [F::from_canonical_u64(HALT_PC), F::zero(), F::zero()] {
        return refuse(Check::ProgramCounter, "the run does not end with a halt");
    }
    Ok(())
}

fn exit_codes(public: &[&Public]) -> Result<(), Refusal> {
    let end = chained(
        public,
        Check::ExitCode,
        "exit code",
        F::zero(),
        |shard| shard.prev_exit_code,
        |shard| shard.exit_code,
    )?;
    for (index, shard) in public.iter().enumerate() {
        let changes = shard.prev_exit_code != shard.exit_code;
        if changes && (shard.is_execution_shard != F::one() || shard.prev_exit_code != F::zero()) {
            return refuse(Check::ExitCode, format!("shard {index} changes the exit code where it may not"));
        }
    }
    if end != F::zero() {
        return refuse(Check::ExitCode, format!("the program ended with exit code {}", end.as_canonical_u32()));
    }
    Ok(())
}

fn nonces(public: &[&Public]) -> Result<(), Refusal> {
    match public.iter().position(|shard| shard.proof_nonce != public[0].proof_nonce) {
        Some(index) => refuse(Check::Nonce, format!("shard {index} has another nonce: it is of another proof")),
        None => Ok(()),
    }
}

fn addresses(public: &[&Public]) -> Result<(), Refusal> {
    let zero = [F::zero(); 3];
    let check = Check::Addresses;
    let initialized = chained(
        public,
        check,
        "initialized address",
        zero,
        |shard| shard.previous_init_addr,
        |shard| shard.last_init_addr,
    )?;
    let finalized = chained(
        public,
        check,
        "finalized address",
        zero,
        |shard| shard.previous_finalize_addr,
        |shard| shard.last_finalize_addr,
    )?;
    chained(
        public,
        check,
        "initialized page",
        zero,
        |shard| shard.previous_init_page_idx,
        |shard| shard.last_init_page_idx,
    )?;
    chained(
        public,
        check,
        "finalized page",
        zero,
        |shard| shard.previous_finalize_page_idx,
        |shard| shard.last_finalize_page_idx,
    )?;
    if initialized == zero {
        return refuse(check, "memory was never initialized");
    }
    if finalized == zero {
        return refuse(check, "memory was never finalized");
    }
    Ok(())
}

fn untrusted_programs(key: &Key, public: &[&Public]) -> Result<(), Refusal> {
    let enabled = key.untrusted_config.enable_untrusted_programs;
    if enabled != F::zero() {
        return refuse(Check::UntrustedPrograms, "the program may run code that is not its own");
    }
    match public.iter().position(|shard| shard.is_untrusted_programs_enabled != enabled) {
        Some(index) => {
            refuse(Check::UntrustedPrograms, format!("shard {index} runs code that is not the program's"))
        }
        None => Ok(()),
    }
}

fn digests(public: &[&Public]) -> Result<End, Refusal> {
    let digest = chained(
        public,
        Check::Digest,
        "public values' digest",
        [[F::zero(); 4]; PV_DIGEST_NUM_WORDS],
        |shard| shard.prev_committed_value_digest,
        |shard| shard.committed_value_digest,
    )?;
    let deferred = chained(
        public,
        Check::DeferredProofs,
        "deferred proofs' digest",
        [F::zero(); POSEIDON_NUM_WORDS],
        |shard| shard.prev_deferred_proofs_digest,
        |shard| shard.deferred_proofs_digest,
    )?;
    let flags = chained(
        public,
        Check::CommitFlags,
        "commit flags",
        [F::zero(); 2],
        |shard| [shard.prev_commit_syscall, shard.prev_commit_deferred_syscall],
        |shard| [shard.commit_syscall, shard.commit_deferred_syscall],
    )?;
    if flags != [F::one(); 2] {
        return refuse(Check::CommitFlags, "the program did not commit to its public values");
    }
    if deferred != [F::zero(); POSEIDON_NUM_WORDS] {
        return refuse(Check::DeferredProofs, "the program relies on other proofs, which are not here");
    }
    let mut bytes = [0; 32];
    for (byte, element) in bytes.iter_mut().zip(digest.as_flattened()) {
        match u8::try_from(element.as_canonical_u32()) {
            Ok(value) => *byte = value,
            Err(_) => return refuse(Check::Digest, "the public values' digest is not made of bytes"),
        }
    }
    Ok(End { public_values_digest: bytes })
}

fn cumulative_sum(key: &Key, public: &[&Public]) -> Result<(), Refusal> {
    let mut sum = key.initial_global_cumulative_sum;
    for (index, shard) in public.iter().enumerate() {
        match sum.checked_add(shard.global_cumulative_sum) {
            Some(next) => sum = next,
            None => {
                return refuse(Check::CumulativeSum, format!("shard {index}: the sum has no defined value"))
            }
        }
    }
    if !sum.is_zero() {
        return refuse(Check::CumulativeSum, "what the shards sent to each other does not cancel out");
    }
    Ok(())
}
