//! The binary from outside: flags, start, stop.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, Command, Stdio};

/// Ends the process with the test, whatever became of it.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peat-node"));
    command
        .env_remove("RUST_LOG")
        .env_remove("PEAT_NODE_LISTEN")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn a_bad_flag_or_variable_ends_with_2_and_an_explanation() {
    let ended = binary().arg("--auto-sync=yes").env("PEAT_NODE_LISTEN", "here").output().expect("ran");
    let told = String::from_utf8(ended.stderr).expect("text");
    assert_eq!(ended.status.code(), Some(2), "{told}");
    assert!(told.contains("--listen (PEAT_NODE_LISTEN)") && told.contains("--auto-sync"), "{told}");
}

#[test]
fn a_node_that_cannot_start_ends_with_1_and_a_reason() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let listen = format!("tcp://{}", taken.local_addr().expect("bound"));
    let ended = binary().args(["--listen", &listen, "--data-dir"]).arg(dir.path()).output().expect("ran");
    let told = String::from_utf8(ended.stderr).expect("text");
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("cannot listen on {listen}")), "{told}");
}

#[test]
fn a_bad_allow_list_ends_with_1_and_names_its_line() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let list = dir.path().join("allowed");
    std::fs::write(&list, "# the fleet\nship-7\n").expect("written");
    let ended = binary().arg("--allow-list").arg(&list).arg("--data-dir").arg(dir.path()).output().expect("ran");
    let told = String::from_utf8(ended.stderr).expect("text");
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("line 2: \"ship-7\" is not an endpoint id"), "{told}");
}

#[test]
fn a_node_says_how_to_reach_it_keeps_its_name_and_stops_cleanly() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let first = start_and_stop(&dir, "TERM");
    let again = start_and_stop(&dir, "INT");
    assert_eq!(name(&first), name(&again), "a name that was made up is kept");
    assert!(first.iter().any(|l| l.contains("--peer ")), "{first:?}");
    assert!(first.iter().any(|l| l.contains("stopped; everything acknowledged is on disk")), "{first:?}");
    assert!(!dir.path().join("api.sock").exists(), "the socket goes with the node");
}

/// The word after "node".
fn name(log: &[String]) -> Option<&str> {
    log.iter().find_map(|line| line.split("node ").nth(1)).and_then(|rest| rest.split(' ').next())
}

fn start_and_stop(dir: &tempfile::TempDir, signal: &str) -> Vec<String> {
    let listen = format!("unix://{}", dir.path().join("api.sock").display());
    let mut command = binary();
    // Empty variables, as a manifest leaves them, count as unset.
    command.env("PEAT_NODE_SHARED_KEY", "").env("PEAT_NODE_PEERS", "").env("PEAT_NODE_IROH_UDP_PORT", "");
    let child = command.args(["--listen", &listen, "--data-dir"]).arg(dir.path()).spawn();
    let mut running = Running(child.expect("started"));
    let stderr: ChildStderr = running.0.stderr.take().expect("piped");
    let mut log = Vec::new();
    for line in BufReader::new(stderr).lines() {
        let line = line.expect("text");
        if line.contains("--peer ") {
            let pid = running.0.id().to_string();
            Command::new("kill").args(["-s", signal, &pid]).status().expect("kill is there");
        }
        log.push(line);
    }
    let ended = running.0.wait().expect("ended");
    assert_eq!(ended.code(), Some(0), "{log:?}");
    log
}

/// Whoever collects the logs may go away; that is no reason to lose requests.
#[test]
fn a_node_whose_log_nobody_reads_goes_on() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let socket = dir.path().join("api.sock");
    let mut command = binary();
    command.env("RUST_LOG", "trace").args(["--listen", &format!("unix://{}", socket.display()), "--data-dir"]);
    let mut running = Running(command.arg(dir.path()).spawn().expect("started"));
    let mut log = BufReader::new(running.0.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("--peer ") {
        line.clear();
        assert!(log.read_line(&mut line).expect("text") > 0, "the node ended");
    }
    drop(log);
    let body = r#"{"collection":"c","docId":"d","jsonData":"{}"}"#;
    for _ in 0..3 {
        let mut stream = UnixStream::connect(&socket).expect("connected");
        write!(
            stream,
            "POST /peat.sidecar.v1.PeatSidecar/PutDocument HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    Command::new("kill").args(["-s", "TERM", &running.0.id().to_string()]).status().expect("kill is there");
    assert_eq!(running.0.wait().expect("ended").code(), Some(0));
}
