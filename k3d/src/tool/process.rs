//! Lines as processes of this machine.

use std::collections::BTreeSet;
use std::io;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::Line;

/// Bytes of a program's output that are kept; what it prints beyond that is read and dropped.
const OUTPUT_BYTES: u64 = 4 << 20;
/// Characters of a program's complaint that go into a message: its end, where the reason stands.
const SAID_CHARS: usize = 600;

/// Why a line did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The program is not there.
    #[error("`{program}` is not installed or not in PATH: {remedy}")]
    Absent {
        /// The program.
        program: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// It could not be started, or not be listened to.
    #[error("{line}: {source}")]
    Io {
        /// The line.
        line: String,
        /// Why.
        source: io::Error,
    },
    /// It ended with another code than 0.
    #[error("{line}\n  ended with {code}: {said}")]
    Refused {
        /// The line.
        line: String,
        /// Its exit code, or the signal.
        code: String,
        /// The end of what it wrote to stderr.
        said: String,
    },
    /// It took longer than it may.
    #[error("{line}\n  did not end within {} s", limit.as_secs())]
    TooLong {
        /// The line.
        line: String,
        /// How long it may take.
        limit: Duration,
    },
}

/// Where to get a program.
pub fn remedy(program: &str) -> &'static str {
    match program {
        "docker" => "install a Docker engine (on Debian: apt-get install docker.io)",
        "k3d" => "install k3d 5, or name clusters that exist with --context",
        "kubectl" => "install kubectl of your clusters' version",
        "helm" => "install Helm 3",
        _ => "install it",
    }
}

/// Starts lines as processes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Processes {
    /// Also after [`halt`].
    last: bool,
}

/// Process groups that run. A program that ends at once leaves them to nobody.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
/// Nothing more is started.
static HALTED: AtomicBool = AtomicBool::new(false);

/// Ends everything that runs, and has nothing more started but by [`Processes::last`]. For the handler of Ctrl-C.
pub fn halt() {
    HALTED.store(true, Ordering::SeqCst);
    for id in running().iter() {
        let group = i32::try_from(*id).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // It may have ended just now.
            let _ = kill_process_group(group, Signal::TERM);
        }
    }
}

fn running() -> MutexGuard<'static, BTreeSet<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child that is in the list of what runs, for as long as it is somebody's.
#[derive(Debug)]
struct Owned {
    child: Child,
    id: Option<u32>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            running().remove(&id);
        }
    }
}

impl Processes {
    /// Starts lines also after [`halt`]: those that clean up.
    pub fn last() -> Self {
        Processes { last: true }
    }

    /// Runs a line to its end, and gives what it printed.
    ///
    /// In a process group of its own: Ctrl-C at the terminal is for this program, which then still needs its tools to clean up.
    pub async fn run(&self, line: &Line) -> Result<String, Failure> {
        let mut owned = self.spawn(line)?;
        let child = &mut owned.child;
        let io = |source| Failure::Io { line: line.to_string(), source };
        let (stdout, stderr, stdin) = (child.stdout.take(), child.stderr.take(), child.stdin.take());
        let work = async {
            let feed = async {
                if let (Some(mut stdin), Some(input)) = (stdin, &line.input) {
                    // A program that does not read to the end has its reasons, and says them.
                    let _ = stdin.write_all(input.as_bytes()).await;
                }
            };
            let ((), out, err) = tokio::join!(feed, drain(stdout), drain(stderr));
            Ok::<_, io::Error>((child.wait().await?, out?, err?))
        };
        let done = tokio::time::timeout(line.limit, work).await;
        let (status, out, err) = match done {
            // Dropping the child kills it.
            Err(_) => return Err(Failure::TooLong { line: line.to_string(), limit: line.limit }),
            Ok(done) => done.map_err(io)?,
        };
        if !status.success() {
            let code = status.code().map_or_else(|| status.to_string(), |code| format!("code {code}"));
            return Err(Failure::Refused { line: line.to_string(), code, said: end_of(&err) });
        }
        Ok(out)
    }

    /// Starts a line that runs until it is dropped, and gives the first line that it prints.
    pub async fn keep(&self, line: &Line) -> Result<(Kept, String), Failure> {
        let mut owned = self.spawn(line)?;
        let child = &mut owned.child;
        let mut first = String::new();
        let stdout = child.stdout.take();
        let read = async {
            match stdout {
                Some(stdout) => {
                    let mut reader = BufReader::new(stdout);
                    reader.read_line(&mut first).await?;
                    Ok(Some(reader))
                }
                None => Ok::<_, io::Error>(None),
            }
        };
        let reader = match tokio::time::timeout(line.limit, read).await {
            Err(_) => return Err(Failure::TooLong { line: line.to_string(), limit: line.limit }),
            Ok(read) => read.map_err(|source| Failure::Io { line: line.to_string(), source })?,
        };
        if first.is_empty() {
            let said = end_of(&drain(child.stderr.take()).await.unwrap_or_default());
            let code = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
            return Err(Failure::Refused { line: line.to_string(), code, said });
        }
        Ok((Kept { _child: owned, _reader: reader }, first.trim().to_owned()))
    }

    /// Starts a line whose output and input are a channel, and which runs until what is returned first is dropped.
    pub fn open(&self, line: &Line) -> Result<(Kept, ChildStdout, ChildStdin), Failure> {
        let mut owned = self.spawn(&Line { input: Some(String::new()), ..line.clone() })?;
        let none =
            || Failure::Io { line: line.to_string(), source: io::Error::other("it has no standard input and output") };
        let child = &mut owned.child;
        let (stdout, stdin) = (child.stdout.take().ok_or_else(none)?, child.stdin.take().ok_or_else(none)?);
        Ok((Kept { _child: owned, _reader: None }, stdout, stdin))
    }

    fn spawn(self, line: &Line) -> Result<Owned, Failure> {
        let io = |source| Failure::Io { line: line.to_string(), source };
        let stdin = if line.input.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut command = Command::new(line.program);
        command.args(&line.arguments).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true).process_group(0);
        // Held until the child is in the list: whoever halts must see it.
        let mut running = running();
        if HALTED.load(Ordering::SeqCst) && !self.last {
            return Err(io(io::Error::new(io::ErrorKind::Interrupted, "the run was interrupted")));
        }
        let child = command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Failure::Absent { program: line.program, remedy: remedy(line.program) },
            _ => io(source),
        })?;
        let id = child.id();
        running.extend(id);
        Ok(Owned { child, id })
    }
}

/// A process that runs until this is dropped.
#[derive(Debug)]
pub struct Kept {
    _child: Owned,
    /// Its end of the pipe stays open: a program that cannot print may end.
    _reader: Option<BufReader<ChildStdout>>,
}

async fn drain(from: Option<impl tokio::io::AsyncRead + Unpin>) -> io::Result<String> {
    let Some(mut from) = from else { return Ok(String::new()) };
    let mut kept = Vec::new();
    (&mut from).take(OUTPUT_BYTES).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

fn end_of(said: &str) -> String {
    let said = said.trim();
    let skip = said.chars().count().saturating_sub(SAID_CHARS);
    said.chars().skip(skip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_line_gives_what_it_prints_and_reads_what_it_is_given() {
        let line = Line::new("cat", ["-"]).reading("hello\n".into());
        assert_eq!(block(Processes::default().run(&line)).unwrap(), "hello\n");
    }

    #[test]
    fn what_goes_wrong_is_told_with_line_and_reason() {
        let error =
            block(Processes::default().run(&Line::new("sh", ["-c", "echo no such network >&2; exit 3"]))).unwrap_err();
        assert_eq!(error.to_string(), "sh -c 'echo no such network >&2; exit 3'\n  ended with code 3: no such network");
        let error = block(Processes::default().run(&Line::new("no-such-program-here", ["x"]))).unwrap_err();
        assert_eq!(error.to_string(), "`no-such-program-here` is not installed or not in PATH: install it");
        let endless = Line::new("sh", ["-c", "while :; do :; done"]).within(Duration::from_millis(50));
        assert!(matches!(block(Processes::default().run(&endless)), Err(Failure::TooLong { .. })));
    }

    #[test]
    fn a_kept_line_is_ready_when_it_has_said_so_and_ends_with_its_owner() {
        block(async {
            let line = Line::new("sh", ["-c", "echo $$; exec cat /dev/zero >/dev/null"]);
            let (kept, first) = Processes::default().keep(&line).await.unwrap();
            let process = std::path::PathBuf::from(format!("/proc/{first}/stat"));
            let runs = || std::fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z "));
            assert!(runs());
            drop(kept);
            while runs() {
                tokio::task::yield_now().await;
            }
        });
    }
}
