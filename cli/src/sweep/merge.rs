//! `ddil sweep --merge`: where the results of shards are, and reading them.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use peat_scenarios::limits;
use peat_scenarios::sweep::{Merged, ShardResult, merge};

use crate::output::reason;

/// Every result that is in the files, folders and streams, as one sweep; what stood between them is only counted.
pub(super) fn read(places: &[PathBuf]) -> Result<(Merged, usize), String> {
    let (mut shards, mut passed_over) = (Vec::new(), 0);
    for place in places {
        for file in files(place)? {
            let label = file.display().to_string();
            let unreadable = |error: io::Error| format!("cannot read `{label}`: {}", reason(&error));
            let before = shards.len();
            let others = match file == Path::new("-") {
                true => lines(io::stdin().lock(), "stdin", &mut shards)?,
                false => lines(BufReader::new(File::open(&file).map_err(unreadable)?), &label, &mut shards)?,
            };
            if shards.len() == before {
                return Err(format!("there is no result of a shard in `{label}`"));
            }
            passed_over += others;
        }
    }
    Ok((merge(shards).map_err(|error| error.to_string())?, passed_over))
}

/// A folder stands for the results in it.
fn files(place: &Path) -> Result<Vec<PathBuf>, String> {
    if !place.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let unreadable = |error: io::Error| format!("cannot read `{}`: {}", place.display(), reason(&error));
    let entries = fs::read_dir(place).map_err(unreadable)?.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    match files.is_empty() {
        true => Err(format!("there is no *.json in `{}`", place.display())),
        false => Ok(files),
    }
}

/// One result a line. A line that cannot be one is passed over, since the log of a pod has its complaints too.
fn lines(from: impl BufRead, label: &str, shards: &mut Vec<(String, ShardResult)>) -> Result<usize, String> {
    let (mut from, mut passed_over) = (from, 0);
    let limit = limits::SHARD_BYTES as u64 + 1;
    for number in 1.. {
        let mut line = Vec::new();
        let unreadable = |error: io::Error| format!("cannot read `{label}`: {}", reason(&error));
        if io::Read::take(&mut from, limit).read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            break;
        }
        if line.first() != Some(&b'{') {
            passed_over += usize::from(!line.trim_ascii().is_empty());
            continue;
        }
        let at = format!("{label}:{number}");
        let text = std::str::from_utf8(&line).map_err(|_| format!("`{at}`: it is not text"))?;
        let result = ShardResult::parse(text).map_err(|error| format!("`{at}`: {error}"))?;
        shards.push((at, result));
    }
    Ok(passed_over)
}
