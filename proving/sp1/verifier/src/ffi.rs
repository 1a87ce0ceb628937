//! The C interface. Every call returns 0 for yes, or the number of the check that failed, with its reason as
//! text. No panic crosses it: what makes the proof system's own code panic is a refused proof.

use std::ffi::{c_char, CStr};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::slice;
use std::sync::Once;

use crate::key::{program_id, program_key};
use crate::refusal::{Check, Refusal};
use crate::verify::{verify, verify_elf};

/// The version of the proof system, as text.
#[no_mangle]
pub extern "C" fn venue_sp1_version() -> *const c_char {
    const VERSION: &CStr = c"6.10.0";
    VERSION.as_ptr()
}

/// Verifies a proof of the program with this id.
///
/// # Safety
/// Each pointer is readable (`reason` writable) for the length beside it; `id` for 32 bytes.
#[no_mangle]
pub unsafe extern "C" fn venue_sp1_verify(
    proof: *const u8,
    proof_bytes: usize,
    id: *const u8,
    public_values: *const u8,
    public_values_bytes: usize,
    reason: *mut c_char,
    reason_bytes: usize,
) -> i32 {
    answer(reason, reason_bytes, || {
        let id = bytes(id, 32)?.try_into().expect("32 bytes were taken");
        verify(bytes(proof, proof_bytes)?, id, bytes(public_values, public_values_bytes)?)
    })
}

/// Verifies a proof of the program in this ELF file.
///
/// # Safety
/// Each pointer is readable (`reason` writable) for the length beside it.
#[no_mangle]
pub unsafe extern "C" fn venue_sp1_verify_elf(
    proof: *const u8,
    proof_bytes: usize,
    elf: *const u8,
    elf_bytes: usize,
    public_values: *const u8,
    public_values_bytes: usize,
    reason: *mut c_char,
    reason_bytes: usize,
) -> i32 {
    answer(reason, reason_bytes, || {
        let public_values = bytes(public_values, public_values_bytes)?;
        verify_elf(bytes(proof, proof_bytes)?, bytes(elf, elf_bytes)?, public_values)
    })
}

/// Computes the id of the program in this ELF file.
///
/// # Safety
/// Each pointer is readable (`reason` writable) for the length beside it; `id` is writable for 32 bytes.
#[no_mangle]
pub unsafe extern "C" fn venue_sp1_program_id(
    elf: *const u8,
    elf_bytes: usize,
    id: *mut u8,
    reason: *mut c_char,
    reason_bytes: usize,
) -> i32 {
    answer(reason, reason_bytes, || {
        if id.is_null() {
            return Err(Refusal::new(Check::Argument, "no room for the id"));
        }
        let computed = program_id(&program_key(bytes(elf, elf_bytes)?)?);
        slice::from_raw_parts_mut(id, 32).copy_from_slice(&computed);
        Ok(())
    })
}

unsafe fn bytes<'a>(pointer: *const u8, length: usize) -> Result<&'a [u8], Refusal> {
    if length == 0 {
        Ok(&[])
    } else if pointer.is_null() || isize::try_from(length).is_err() {
        Err(Refusal::new(Check::Argument, "a null pointer or an impossible length"))
    } else {
        Ok(slice::from_raw_parts(pointer, length))
    }
}

unsafe fn answer(reason: *mut c_char, reason_bytes: usize, work: impl FnOnce() -> Result<(), Refusal>) -> i32 {
    static QUIET: Once = Once::new();
    // The hook belongs to this library alone. A refused proof is an answer, not a message on the caller's stderr.
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(Refusal::new(Check::Panic, format!("the proof has a shape that cannot be checked: {text}")))
    });
    let (code, text) = match &outcome {
        Ok(()) => (0, ""),
        Err(refusal) => (refusal.check as i32, refusal.reason.as_str()),
    };
    if !reason.is_null() && reason_bytes > 0 {
        let length = text.len().min(reason_bytes - 1);
        std::ptr::copy_nonoverlapping(text.as_ptr(), reason.cast::<u8>(), length);
        *reason.add(length) = 0;
    }
    code
}
