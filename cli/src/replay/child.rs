//! A run in another process: this program again.
//!
//! The child writes to its standard output a line with the hash of its run. If that is not the one it was given,
//! the events follow, a line each: a JSON array of digest and text. The parent reads as far as the first event that
//! is not its own, and a little further.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, Command, Stdio};

use peat_sim::Event;

use super::load::Load;
use super::{EVENTS_AFTER, Parted, Replay, ReplayArgs, options, parting};
use crate::exit::Exit;
use crate::output;
use crate::source::Sourced;

/// What the child does.
pub fn run(arguments: &ReplayArgs, sourced: &Sourced, expected: &str) -> Exit {
    let load = arguments.load.then(Load::start);
    let done = peat_sim::run_with_events(&sourced.scenario, options(arguments, sourced));
    drop(load);
    let (record, events) = match done {
        Ok(done) => done,
        Err(error) => {
            output::complain(&format!("error: {error}\n"));
            return Exit::Infrastructure;
        }
    };
    let hash = record.trace_hash.unwrap_or_default();
    let mut stdout = BufWriter::new(std::io::stdout().lock());
    let mut written = writeln!(stdout, "{hash}");
    if hash != expected {
        for event in &events {
            written = written.and_then(|()| writeln!(stdout, "{}", line(event)));
        }
    }
    // The parent stops to read when it has seen enough.
    let _ = written.and_then(|()| stdout.flush());
    Exit::Pass
}

fn line(event: &Event) -> String {
    serde_json::json!([event.digest, event.to_string()]).to_string()
}

/// What the parent does: `None` if the run was the first one over again.
pub fn compare(replay: &Replay<'_>, time: u32, hash: &str, events: &[Event]) -> Result<Option<Parted>, String> {
    let mut child = start(replay, hash)?;
    let told = read(&mut child, time, hash, events);
    if matches!(told, Ok(Some(_))) {
        // It may have a hundred thousand events left to write.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| format!("run {time}, in another process: {error}"))?;
    match told {
        Ok(None) if !status.success() => Err(format!("run {time}, in another process, ended with {status}")),
        told => told,
    }
}

fn start(replay: &Replay<'_>, hash: &str) -> Result<Child, String> {
    let program = std::env::current_exe().map_err(|error| format!("this program cannot be found: {error}"))?;
    let Replay { arguments, sourced } = replay;
    let mut command = Command::new(program);
    command.args(["replay", "--child", hash, "--seed", &replay.seed().to_string()]);
    command.args(arguments.engine.typed().split_whitespace());
    command.args(arguments.load.then_some("--load")).args(arguments.leak.then_some("--leak"));
    command.arg("--").arg(&sourced.argument);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().map_err(|error| format!("another process cannot be started: {error}"))
}

fn read(child: &mut Child, time: u32, hash: &str, events: &[Event]) -> Result<Option<Parted>, String> {
    let stdout = child.stdout.take().ok_or("another process has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let unreadable = |error: std::io::Error| format!("run {time}, in another process: {error}");
    let Some(other) = lines.next().transpose().map_err(unreadable)? else {
        return Err(format!("run {time}, in another process, gave no hash"));
    };
    if other == hash {
        return Ok(None);
    }
    let mut at = 0;
    let mut others = Vec::new();
    while others.len() <= EVENTS_AFTER
        && let Some(line) = lines.next()
    {
        let line = line.map_err(unreadable)?;
        let (digest, text): (u64, String) = serde_json::from_str(&line).map_err(|error| {
            format!("run {time}, in another process, wrote no event: {error}: {}", output::shortened(&line, 80))
        })?;
        let same = events.get(at).is_some_and(|event| event.digest == digest && event.to_string() == text);
        match same && others.is_empty() {
            true => at += 1,
            false => others.push(text),
        }
    }
    Ok(Some(Parted { time, hash: other, lines: parting(events, at, time, others) }))
}
