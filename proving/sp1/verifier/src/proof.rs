//! The proof file: header, program key, shard proofs.
//!
//! ```text
//! "VENUESP1"  8 bytes
//! format      u32 LE, 1
//! version     8 bytes, "6.10.0" padded with zeros
//! key         u32 LE length, bytes
//! shards      u32 LE count, then each: u64 LE length, bytes
//! ```
//!
//! Decoding is strict: one proof has one encoding. Lengths are exact, nothing may follow, and each part is
//! encoded again after reading and must give the same bytes, for the reader underneath would reduce a field
//! element above the prime, reorder a map and ignore a tail.

use bincode::Options;
use serde::{de::DeserializeOwned, Serialize};
use sp1_hypercube::SP1PcsProofInner;
use sp1_primitives::SP1GlobalContext;

use crate::key::Key;
use crate::refusal::{Check, Refusal};
use crate::SP1_VERSION;

const MAGIC: &[u8; 8] = b"VENUESP1";
const FORMAT: u32 = 1;
const SHARDS_MAX: u32 = 1 << 24;

/// The proof of one shard.
pub type ShardProof = sp1_hypercube::ShardProof<SP1GlobalContext, SP1PcsProofInner>;

/// A decoded proof. Its key is the prover's claim, not yet anybody's truth.
pub struct Proof {
    pub claimed_key: Key,
    pub shards: Vec<ShardProof>,
}

/// Writes a proof file.
#[must_use]
pub fn encode(key: &Key, shards: &[ShardProof]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&version_field());
    let key = encode_part(key);
    out.extend_from_slice(&u32::try_from(key.len()).expect("a key is a few hundred bytes").to_le_bytes());
    out.extend_from_slice(&key);
    out.extend_from_slice(&u32::try_from(shards.len()).expect("fewer than 2^24 shards").to_le_bytes());
    for shard in shards {
        let part = encode_part(shard);
        out.extend_from_slice(&(part.len() as u64).to_le_bytes());
        out.extend_from_slice(&part);
    }
    out
}

/// Reads a proof file, or says why it is none.
pub fn decode(bytes: &[u8]) -> Result<Proof, Refusal> {
    let mut input = Input { bytes, offset: 0 };
    if input.take(8, "magic")? != MAGIC {
        return Err(Refusal::new(Check::Encoding, "not a proof file: it does not begin with VENUESP1"));
    }
    let format = input.u32("format")?;
    if format != FORMAT {
        return Err(Refusal::new(
            Check::Version,
            format!("proof format {format}, this verifier reads {FORMAT}"),
        ));
    }
    if input.take(8, "version")? != version_field() {
        return Err(Refusal::new(Check::Version, format!("not a proof of SP1 {SP1_VERSION}")));
    }
    let key_bytes = input.u32("key length")? as usize;
    let claimed_key = decode_part(input.take(key_bytes, "key")?, "program key")?;
    let count = input.u32("shard count")?;
    if count == 0 || count >= SHARDS_MAX {
        return Err(Refusal::new(
            Check::ShardCount,
            format!("{count} shards; from 1 to {} are allowed", SHARDS_MAX - 1),
        ));
    }
    let mut shards = Vec::new();
    for index in 0..count {
        let length = usize::try_from(input.u64("shard length")?).unwrap_or(usize::MAX);
        shards.push(decode_part(input.take(length, "shard")?, &format!("shard {index}"))?);
    }
    if input.offset != bytes.len() {
        let rest = bytes.len() - input.offset;
        return Err(Refusal::new(Check::Encoding, format!("{rest} bytes follow the last shard")));
    }
    Ok(Proof { claimed_key, shards })
}

fn version_field() -> [u8; 8] {
    let mut field = [0; 8];
    field[..SP1_VERSION.len()].copy_from_slice(SP1_VERSION.as_bytes());
    field
}

fn encoding(length: usize) -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_limit(length as u64).reject_trailing_bytes()
}

fn encode_part<T: Serialize>(part: &T) -> Vec<u8> {
    bincode::DefaultOptions::new().with_fixint_encoding().serialize(part).expect("memory takes what we write")
}

fn decode_part<T: Serialize + DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Refusal> {
    let part: T = encoding(bytes.len())
        .deserialize(bytes)
        .map_err(|error| Refusal::new(Check::Encoding, format!("{what} cannot be read: {error}")))?;
    if encode_part(&part) != bytes {
        return Err(Refusal::new(Check::Encoding, format!("{what} is not in its canonical encoding")));
    }
    Ok(part)
}

struct Input<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, length: usize, what: &str) -> Result<&'a [u8], Refusal> {
        let rest = &self.bytes[self.offset..];
        if length > rest.len() {
            let reason = format!(
                "cut off at byte {}: {what} needs {length} bytes, {} are left",
                self.offset,
                rest.len()
            );
            return Err(Refusal::new(Check::Encoding, reason));
        }
        self.offset += length;
        Ok(&rest[..length])
    }

    fn u32(&mut self, what: &str) -> Result<u32, Refusal> {
        Ok(u32::from_le_bytes(self.take(4, what)?.try_into().expect("four bytes were taken")))
    }

    fn u64(&mut self, what: &str) -> Result<u64, Refusal> {
        Ok(u64::from_le_bytes(self.take(8, what)?.try_into().expect("eight bytes were taken")))
    }
}
