//! `venue-sp1`: a process that executes, proves and verifies on request, for as long as its stdin is open.
//!
//! It exists so that the third of a second of starting and the seconds of a program's setup are spent once,
//! and so that whatever proving may do to its process (run out of memory, be killed) happens to none other.
//! Requests and answers are described in `protocol`. One request is worked on at a time. A request that
//! cannot be served gets an answer that says why; only a broken frame, a shutdown or the end of stdin ends
//! the process, the last of them at once, also in the midst of a proof: nobody is left to want it.

mod protocol;
mod resources;
mod session;

use std::io;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use protocol::{read_frame, Frame, Output};
use session::Session;

fn main() -> ExitCode {
    if std::env::args_os().len() > 1 {
        eprintln!("venue-sp1 takes no arguments: it reads length-prefixed JSON requests from stdin");
        return ExitCode::from(2);
    }
    session::record_panics();
    let (sender, requests) = mpsc::sync_channel(16);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            match read_frame(&mut stdin) {
                Frame::End => std::process::exit(0),
                frame => {
                    let broken = matches!(frame, Frame::Broken(_));
                    if sender.send(frame).is_err() || broken {
                        return;
                    }
                }
            }
        }
    });
    let mut session = Session::new(Output::new());
    while let Ok(frame) = requests.recv() {
        match frame {
            Frame::Request(bytes) => {
                if session.serve(&bytes).is_break() {
                    return ExitCode::SUCCESS;
                }
            }
            Frame::Broken(reason) => {
                session.refuse_frame(&reason);
                return ExitCode::from(2);
            }
            Frame::End => return ExitCode::SUCCESS,
        }
    }
    ExitCode::SUCCESS
}
