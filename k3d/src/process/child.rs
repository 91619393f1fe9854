//! A process that never outlives its owner.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader};
use std::process::{Child as Spawned, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};

/// Lines of its log that are kept: the end of a story is what explains a failure.
const LOG_LINES: usize = 400;
/// Characters of a line that are kept.
const LINE_CHARS: usize = 500;

/// Killed by its id and waited for when dropped.
pub struct Child {
    spawned: Spawned,
    log: Log,
}

/// The last lines that a process wrote, over all its lives.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    /// The lines, oldest first.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Adds a line.
    pub fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LOG_LINES {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(LINE_CHARS).collect());
    }

    fn gather(&self, from: impl io::Read + Send + 'static) {
        let log = self.clone();
        // It ends with the process, whose end of the pipe it reads.
        std::thread::spawn(move || {
            let mut reader = BufReader::new(from);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                log.push(String::from_utf8_lossy(&line).trim_end());
                line.clear();
            }
        });
    }
}

impl Child {
    /// Starts it; what it complains of goes to `log`.
    pub fn start(command: &mut Command, log: Log) -> io::Result<Self> {
        let mut spawned = command.stderr(Stdio::piped()).spawn()?;
        if let Some(err) = spawned.stderr.take() {
            log.gather(err);
        }
        Ok(Self { spawned, log })
    }

    /// What it writes goes to the log, too.
    pub fn gather(&mut self) {
        if let Some(out) = self.spawned.stdout.take() {
            self.log.gather(out);
        }
    }

    /// Its standard input and output, if they are pipes and nobody has taken them.
    pub fn channel(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        Some((self.spawned.stdin.take()?, self.spawned.stdout.take()?))
    }

    /// What it wrote so far.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.spawned.try_wait()
    }

    /// It stands still from now on, and does not know.
    pub fn pause(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// It goes on.
    pub fn resume(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Its end comes without a warning, and is over when this returns.
    pub fn kill(mut self) -> io::Result<()> {
        self.end()
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let id = i32::try_from(self.spawned.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("the process has no id that can be signalled"))?;
        Ok(kill_process(id, signal)?)
    }

    fn end(&mut self) -> io::Result<()> {
        if self.spawned.try_wait()?.is_none() {
            self.spawned.kill()?;
        }
        self.spawned.wait().map(|_| ())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _ = self.end();
    }
}
