//! Namespaces of this run alone: this program runs itself again inside of them.
//!
//! ```text
//! ddil run … --world process          waits, holds the far end of a pipe, removes what was on disk
//!   └─ unshare                        new namespaces: network, mounts, processes (and users, without privilege)
//!        └─ ddil run … (inside)       the first process of its namespace: when it ends, the kernel ends all others
//!             ├─ ddil emulator
//!             └─ peat-node, one in each network
//! ```
//!
//! So nothing outlives the run, and no signal needs to be caught for that: if the outer one is killed, the pipe ends, and the inner one with it.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use super::networks::NetworksError;

/// Names the directory for data to the program inside.
const DATA: &str = "PEAT_DDIL_INSIDE";

/// The directory for data, if this program runs inside. Also watches over the pipe: when whoever is outside goes, `leave` is
/// called, which must not return.
pub fn entered(leave: fn() -> !) -> Option<PathBuf> {
    let data = std::env::var_os(DATA)?;
    // It ends with the process.
    std::thread::spawn(move || {
        // Nothing ever comes: it is the end that is waited for.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        leave()
    });
    Some(data.into())
}

/// Runs this program again with these arguments, inside, and waits for it.
pub fn enter(arguments: impl IntoIterator<Item = OsString>) -> Result<ExitStatus, NetworksError> {
    let failed = |source| NetworksError::Run { line: "unshare".into(), source };
    let data = tempfile::Builder::new().prefix("ddil-").tempdir().map_err(failed)?;
    probe()?;
    let mut command = unshare();
    command.arg(std::env::current_exe().map_err(failed)?).args(arguments);
    let mut child = command.env(DATA, data.path()).stdin(Stdio::piped()).spawn().map_err(failed)?;
    // Kept open until the inner one has ended.
    let pipe = child.stdin.take();
    let status = child.wait().map_err(failed);
    drop(pipe);
    // Databases of many nodes: a failure to remove them is no failure of the run.
    let _ = data.close();
    status
}

/// Can namespaces be made at all? Asked beforehand, because the exit code of what runs inside says nothing of it.
fn probe() -> Result<(), NetworksError> {
    let line = || "unshare --net --mount --pid".to_owned();
    let output = unshare().args(["ip", "link", "set", "lo", "up"]).stdin(Stdio::null()).output();
    let output = output.map_err(|source| NetworksError::Run { line: line(), source })?;
    if output.status.success() {
        return Ok(());
    }
    Err(NetworksError::Refused { line: line(), said: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

/// A command that runs the rest of itself in new namespaces.
fn unshare() -> Command {
    // Writable settings of the network are what tells root from a user better than an id does.
    let root = std::fs::OpenOptions::new().write(true).open("/proc/sys/net/ipv4/ip_forward").is_ok();
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]);
    if !root {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--");
    command
}
