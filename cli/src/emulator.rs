//! `ddil emulator`: the links of a real world, or how well this machine can be them.

use peat_k3d::emulator::{serve, trial};

use crate::args::EmulatorArgs;
use crate::document;
use crate::exit::Exit;
use crate::output;

/// Is an emulator, or measures one.
pub fn emulator(arguments: &EmulatorArgs) -> Exit {
    if arguments.measure {
        return measure(arguments.json);
    }
    let done = match arguments.control {
        None => serve(std::io::stdin(), std::io::stdout()),
        Some(address) => std::net::TcpListener::bind(address)
            .and_then(|listener| listener.accept())
            .and_then(|(stream, _)| serve(stream.try_clone()?, stream)),
    };
    match done {
        Ok(()) => Exit::Pass,
        Err(error) => {
            output::complain(&format!("error: the emulator failed: {error}\n"));
            Exit::Infrastructure
        }
    }
}

fn measure(json: bool) -> Exit {
    let measured = match trial::measure() {
        Ok(measured) => measured,
        Err(error) => {
            output::complain(&format!("error: the emulator cannot be measured: {error}\n"));
            return Exit::Infrastructure;
        }
    };
    match json {
        true => output::print(&document::pretty(&measured)),
        false => output::print(&measured.to_string()),
    }
    if measured.good { Exit::Pass } else { Exit::Breach }
}
