//! The far end of the channel: an emulator in a process of its own.

use std::io::{self, BufRead, Read, Write};

use serde::Serialize;

use super::protocol::{Answer, LINE_BYTES, Request, Setup};
use super::{Emulator, Handle};

/// Nice value that is asked for: a datagram that waits for a processor is one that the model did not delay. Refused without
/// privilege; the lateness is measured either way.
const PRECEDENCE: i32 = -15;

/// Is an emulator for as long as the channel lasts.
pub fn serve(requests: impl Read, mut answers: impl Write) -> io::Result<()> {
    // Whether it is granted shows in the lateness.
    let _ = rustix::process::setpriority_process(None, PRECEDENCE);
    let mut requests = io::BufReader::new(requests);
    let Some(setup) = line(&mut requests)? else { return Ok(()) };
    let emulator = match serde_json::from_str::<Setup>(&setup).map_err(io::Error::from).and_then(Emulator::start) {
        Ok(emulator) => emulator,
        Err(error) => return tell(&mut answers, &Answer::Failed(error.to_string())),
    };
    tell(&mut answers, &Answer::Ready)?;
    let handle = emulator.handle();
    while let Some(request) = line(&mut requests)? {
        if emulator.has_failed() {
            let why = emulator.stop().err().map_or_else(|| "its thread ended".to_owned(), |error| error.to_string());
            return tell(&mut answers, &Answer::Failed(why));
        }
        let answer = match serde_json::from_str(&request) {
            Ok(request) => answer(&handle, request),
            Err(error) => Answer::Failed(format!("not a request: {error}")),
        };
        tell(&mut answers, &answer)?;
    }
    emulator.stop()
}

fn answer(handle: &Handle, request: Request) -> Answer {
    match request {
        Request::Begin => handle.begin(),
        Request::Apply(step) => handle.apply(&step),
        Request::Move { node, to } => handle.relocate(node, to),
        Request::Counters(pairs) => return Answer::Counters(handle.counters(&pairs)),
        Request::Effect(fault) => return Answer::Effect(Box::new(handle.effect(fault))),
        Request::End => return Answer::Tally(Box::new(handle.end())),
    }
    Answer::Done
}

/// The next line; `None` at the end of the channel.
fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    from.take(LINE_BYTES).read_line(&mut line)?;
    match line.as_str() {
        "" => Ok(None),
        whole if whole.ends_with('\n') => Ok(Some(line)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("a line is longer than {LINE_BYTES} bytes"))),
    }
}

fn tell(to: &mut impl Write, answer: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(answer)?;
    text.push(b'\n');
    to.write_all(&text)?;
    to.flush()
}
