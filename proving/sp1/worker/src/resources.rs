//! What a piece of work took: wall-clock and CPU seconds, and the most memory it held.

use std::fs;
use std::mem::MaybeUninit;
use std::time::Instant;

/// Taken at the beginning of the work.
pub struct Meter {
    begin: Instant,
    cpu_seconds: f64,
}

impl Meter {
    pub fn start() -> Self {
        // Forgets the peak of earlier work; where the kernel does not allow it, the peak is the process's.
        let _ = fs::write("/proc/self/clear_refs", "5");
        Self { begin: Instant::now(), cpu_seconds: cpu_seconds() }
    }

    pub fn seconds(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds() - self.cpu_seconds
    }
}

/// The high-water mark of resident memory, 0 where it cannot be read.
pub fn peak_rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0)
        * 1024
}

fn cpu_seconds() -> f64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call fills the whole structure, which is plain data, or leaves it zero.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
