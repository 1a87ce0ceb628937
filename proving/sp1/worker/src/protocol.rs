//! Frames and messages: u32 LE length, then that many bytes of JSON, both ways.
//!
//! Request: `{"id": 7, "op": "prove", "elf": PATH, "input": PATH, "proof": PATH}`. Answer: `{"id": 7, "ok": true, ...}`
//! or `{"id": 7, "ok": false, "stage": "prove", "error": "..."}`; between them any number of
//! `{"id": 7, "event": "progress", "stage": "prove", "fraction": 0.25}`. An unreadable request has id null.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{json, Value};

/// Far more than any request takes: what is longer is not a request but a lost frame.
const FRAME_BYTES_MAX: u32 = 1 << 20;

/// What came from stdin.
pub enum Frame {
    Request(Vec<u8>),
    /// The stream can no longer be cut into frames.
    Broken(String),
    End,
}

/// A request, checked for shape: no unknown operation, no unknown or missing field.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    Hello {
        id: u64,
    },
    Execute {
        id: u64,
        elf: PathBuf,
        input: PathBuf,
    },
    Prove {
        id: u64,
        elf: PathBuf,
        input: PathBuf,
        proof: PathBuf,
        /// What the ELF must be; told before minutes are spent on a proof that nobody would accept.
        #[serde(default)]
        program_id: Option<String>,
        #[serde(default)]
        shard_elements: Option<u64>,
        #[serde(default)]
        retain_precompiles: Option<bool>,
    },
    Verify {
        id: u64,
        elf: PathBuf,
        proof: PathBuf,
        public_values: String,
    },
    Shutdown {
        id: u64,
    },
}

/// Reads one frame.
pub fn read_frame(input: &mut impl Read) -> Frame {
    let mut prefix = [0; 4];
    match fill(input, &mut prefix) {
        Ok(0) => return Frame::End,
        Ok(4) => {}
        Ok(count) => return Frame::Broken(format!("stdin ended after {count} of 4 bytes of a frame's length")),
        Err(error) => return Frame::Broken(format!("stdin cannot be read: {error}")),
    }
    let length = u32::from_le_bytes(prefix);
    if length > FRAME_BYTES_MAX {
        return Frame::Broken(format!("a frame of {length} bytes; at most {FRAME_BYTES_MAX} are read"));
    }
    let mut bytes = vec![0; length as usize];
    match fill(input, &mut bytes) {
        Ok(count) if count == bytes.len() => Frame::Request(bytes),
        Ok(count) => Frame::Broken(format!("stdin ended after {count} of {length} bytes of a frame")),
        Err(error) => Frame::Broken(format!("stdin cannot be read: {error}")),
    }
}

fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match input.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Where answers go.
pub struct Output(io::Stdout);

impl Output {
    pub fn new() -> Self {
        Self(io::stdout())
    }

    /// Writes one message. A reader that is gone ends the process: nobody is left to answer.
    pub fn send(&self, message: &Value) {
        let bytes = serde_json::to_vec(message).expect("a JSON value can be written");
        let length = u32::try_from(bytes.len()).expect("messages are short");
        let mut out = self.0.lock();
        let written = out.write_all(&length.to_le_bytes()).and_then(|()| out.write_all(&bytes));
        if written.and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    }

    pub fn progress(&self, id: u64, stage: &str, fraction: f64) {
        self.send(&json!({"id": id, "event": "progress", "stage": stage, "fraction": fraction}));
    }
}
