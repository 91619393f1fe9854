//! A child process that never outlives its owner.

use std::io;
use std::process::{Child, ChildStdout, Command, ExitStatus};
use std::time::Duration;

/// Killed by its id (SIGKILL) and waited for when dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        command.spawn().map(Self)
    }

    /// Its number, for signals.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Its output, once, if it was piped.
    pub(crate) fn stdout(&mut self) -> Option<ChildStdout> {
        self.0.stdout.take()
    }

    /// Processor time that it took so far, if this system tells (Linux, in steps of 10 ms).
    pub(crate) fn cpu_time(&self) -> Option<Duration> {
        cpu_time(&self.0.id().to_string())
    }

    /// Memory that it holds at present (resident, Linux), in bytes.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Processor time of a process by its id, or `self`.
pub(crate) fn cpu_time(id: &str) -> Option<Duration> {
    let line = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name stands in parentheses and may hold anything; user and system time are fields 14 and 15.
    let mut fields = line.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    // USER_HZ is 100 on every architecture that Linux has kept.
    Some(Duration::from_millis(ticks * 10))
}
