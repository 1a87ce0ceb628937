//! Serves requests, one after the other, and turns whatever goes wrong into an answer.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{json, Value};
use sha2::{Digest, Sha256};
use venue_sp1_prover::{execute, program, prove, setup, Progress, Settings, Setup, Stage};
use venue_sp1_verifier::{verify_elf, SP1_VERSION};

use crate::protocol::{Output, Request};
use crate::resources::{peak_rss_bytes, Meter};

/// Set-up programs kept; each holds some tens of megabytes.
const SETUPS_MAX: usize = 4;

static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Keeps what a panic says for the answer, instead of printing it.
pub fn record_panics() {
    panic::set_hook(Box::new(|info| {
        let mut last = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner);
        // The first panic is the cause; those of the threads that waited for it only say so.
        if last.is_empty() {
            *last = info.to_string();
        }
    }));
}

/// The state between requests.
pub struct Session {
    output: Output,
    setups: Vec<([u8; 32], Setup)>,
}

impl Session {
    pub fn new(output: Output) -> Self {
        Self { output, setups: Vec::new() }
    }

    pub fn refuse_frame(&self, reason: &str) {
        self.output.send(&json!({"id": null, "ok": false, "stage": "request", "error": reason}));
    }

    /// Answers one request; breaks after a shutdown.
    pub fn serve(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        let request: Request = match serde_json::from_slice(bytes) {
            Ok(request) => request,
            Err(error) => {
                let id = serde_json::from_slice::<Value>(bytes).ok().and_then(|value| value.get("id").cloned());
                let reason = format!("not a request: {error}");
                self.output.send(&json!({"id": id, "ok": false, "stage": "request", "error": reason}));
                return ControlFlow::Continue(());
            }
        };
        let stage = Cell::new("request");
        LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let (id, ends) = (request.id(), matches!(request, Request::Shutdown { .. }));
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| self.work(request, &stage)));
        let answer = outcome.unwrap_or_else(|_| {
            let said = std::mem::take(&mut *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner));
            Err(format!("the proof system failed: {said}"))
        });
        self.output.send(&match answer {
            Ok(mut fields) => {
                fields["id"] = json!(id);
                fields["ok"] = json!(true);
                fields
            }
            Err(error) => json!({"id": id, "ok": false, "stage": stage.get(), "error": error}),
        });
        if ends {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn work(&mut self, request: Request, stage: &Cell<&'static str>) -> Result<Value, String> {
        match request {
            Request::Hello { .. } => Ok(json!({"sp1": SP1_VERSION, "process": std::process::id()})),
            Request::Shutdown { .. } => Ok(json!({})),
            Request::Execute { elf, input, .. } => {
                let (elf, input) = (read(&elf)?, read(&input)?);
                stage.set(Stage::Execute.name());
                let program = program(&elf).map_err(|error| error.to_string())?;
                let run = execute(&program, &input, &Settings::default()).map_err(|error| error.to_string())?;
                let mut fields = serde_json::to_value(&run).expect("a run can be written");
                fields["public_values"] = json!(hex(&run.public_values));
                Ok(fields)
            }
            Request::Prove { id, elf, input, proof, program_id, shard_elements, retain_precompiles } => {
                let defaults = Settings::default();
                let settings = Settings {
                    shard_elements: shard_elements.unwrap_or(defaults.shard_elements),
                    retain_precompiles: retain_precompiles.unwrap_or(defaults.retain_precompiles),
                };
                self.prove(id, (&elf, &input, &proof), program_id.as_deref(), &settings, stage)
            }
            Request::Verify { elf, proof, public_values, .. } => {
                let (elf, proof) = (read(&elf)?, read(&proof)?);
                let public_values = unhex(&public_values).ok_or("public_values is not hexadecimal")?;
                stage.set("verify");
                Ok(match verify_elf(&proof, &elf, &public_values) {
                    Ok(()) => json!({"accepted": true}),
                    Err(refusal) => {
                        json!({"accepted": false, "check": refusal.check as i32, "reason": refusal.reason})
                    }
                })
            }
        }
    }

    fn prove(
        &mut self,
        id: u64,
        (elf, input, proof): (&Path, &Path, &Path),
        program_id: Option<&str>,
        settings: &Settings,
        stage: &Cell<&'static str>,
    ) -> Result<Value, String> {
        let (elf, input) = (read(elf)?, read(input)?);
        let meter = Meter::start();
        stage.set(Stage::Setup.name());
        self.output.progress(id, Stage::Setup.name(), 0.0);
        let index = self.set_up(&elf)?;
        let (setup, output) = (&self.setups[index].1, &self.output);
        let found = hex(&setup.program_id);
        if program_id.is_some_and(|wanted| wanted != found) {
            return Err(format!("the ELF is program {found}, not {}", program_id.unwrap_or_default()));
        }
        let mut report = |progress: Progress| {
            stage.set(progress.stage.name());
            output.progress(id, progress.stage.name(), progress.fraction);
        };
        let proved = prove(setup, &input, settings, &mut report).map_err(|error| error.to_string())?;
        stage.set("write");
        write(proof, &proved.proof)?;
        Ok(json!({
            "program_id": found,
            "public_values": hex(&proved.public_values),
            "cycles": proved.cycles,
            "shards": proved.shards,
            "bytes": proved.proof.len(),
            "seconds": meter.seconds(),
            "cpu_seconds": meter.cpu_seconds(),
            "peak_rss_bytes": peak_rss_bytes(),
        }))
    }

    /// The place of the program's setup, made now if it is not there.
    fn set_up(&mut self, elf: &[u8]) -> Result<usize, String> {
        let digest: [u8; 32] = Sha256::digest(elf).into();
        if let Some(index) = self.setups.iter().position(|(known, _)| *known == digest) {
            return Ok(index);
        }
        if self.setups.len() == SETUPS_MAX {
            self.setups.remove(0);
        }
        self.setups.push((digest, setup(elf).map_err(|error| error.to_string())?));
        Ok(self.setups.len() - 1)
    }
}

impl Request {
    fn id(&self) -> u64 {
        match self {
            Self::Hello { id }
            | Self::Execute { id, .. }
            | Self::Prove { id, .. }
            | Self::Verify { id, .. }
            | Self::Shutdown { id } => *id,
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// Writes a file whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let written = File::create(&partial).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    });
    written.map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|start| u8::from_str_radix(&text[start..start + 2], 16).ok()).collect()
}
