//! The tasks.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use peat_proto::client::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Done, Failed, Place, Task};
use crate::api::Listen;
use crate::core::document::{JsonLimits, JsonObject};
use crate::core::key::DocKey;
use crate::limits;
use crate::ops::cli::{Credentials, client};
use crate::store::{self, Checked, Restorer, Store, StoreKey};

/// A line of an export.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    collection: String,
    doc_id: String,
    json_data: String,
}

pub(super) async fn work(task: Task, now_ms: u64) -> Result<Done, Failed> {
    match task {
        Task::Check(place) => check(place),
        Task::Compact(place) => compact(place),
        Task::Export { place, collections, out } => export(place, &collections, out.as_deref()),
        Task::Import { place, collections, from } => import(place, &collections, from.as_deref(), now_ms),
        Task::RotateKey { place, new, reencrypt } => rotate_key(place, new, reencrypt),
        Task::Backup { api, credentials, out, key } => backup(api, &credentials, out, key).await,
    }
}

fn done(text: String, json: serde_json::Value) -> Done {
    Done { text, json, well: true, quiet: false }
}

fn check(place: Place) -> Result<Done, Failed> {
    let store = Store::open_dir_to_read(&place.data_dir, place.key)?;
    let checked = store.check()?;
    let json = serde_json::to_value(&checked).expect("numbers, strings and lists have a JSON form");
    Ok(Done { text: told(&checked), json, well: checked.is_sound(), quiet: false })
}

pub(super) fn told(checked: &Checked) -> String {
    let verdict = match checked.problem_count {
        0 => "the store is sound".to_owned(),
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    let mut text = format!(
        "{verdict}\n  documents    {}\n  tombstones   {}\n  change rows  {}\n  bytes        {}\n  last change  {}\n",
        checked.documents, checked.tombstones, checked.change_rows, checked.bytes, checked.last_change
    );
    for problem in &checked.problems {
        text.push_str(&format!(
            "{}: {}\n",
            problem.place.replace(char::is_control, " "),
            problem.problem.replace(char::is_control, " ")
        ));
    }
    if checked.problem_count > checked.problems.len() as u64 {
        text.push_str("and more\n");
    }
    text
}

fn compact(place: Place) -> Result<Done, Failed> {
    let (before, after) = Store::open_dir_that_exists(&place.data_dir, place.key)?.compact()?;
    Ok(done(format!("{before} bytes before, {after} after\n"), json!({ "bytes_before": before, "bytes_after": after })))
}

fn export(place: Place, collections: &[String], out: Option<&Path>) -> Result<Done, Failed> {
    let store = Store::open_dir_to_read(&place.data_dir, place.key)?;
    let mut sink: BufWriter<Box<dyn Write>> = BufWriter::new(match out {
        Some(path) => Box::new(new_file(path)?),
        None => Box::new(io::stdout().lock()),
    });
    let mut count = 0u64;
    for document in store.documents(collections)? {
        let (key, json_data) = document?;
        let line = Line { collection: key.collection().to_owned(), doc_id: key.id().to_owned(), json_data };
        serde_json::to_writer(&mut sink, &line)?;
        sink.write_all(b"\n")?;
        count += 1;
    }
    sink.flush()?;
    Ok(Done { quiet: out.is_none(), ..done(format!("{count} documents\n"), json!({ "documents": count })) })
}

/// The documents of a store are nobody else's to read.
fn new_file(path: &Path) -> io::Result<std::fs::File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}

fn import(place: Place, collections: &[String], from: Option<&Path>, now_ms: u64) -> Result<Done, Failed> {
    let mut source: Box<dyn BufRead> = match from {
        Some(path) => Box::new(BufReader::new(
            std::fs::File::open(path).map_err(|error| Failed(format!("{}: {error}", path.display())))?,
        )),
        None => Box::new(io::stdin().lock()),
    };
    let store = Store::open_dir_with(&place.data_dir, place.key)?;
    let mut writer = store.writer()?;
    let (mut taken, mut refused, mut told) = (0u64, 0u64, Vec::new());
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        // One byte more than allowed tells a line that is too long.
        let most = limits::MAX_IMPORT_LINE_BYTES as u64 + 1;
        if source.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.len() as u64 == most && line.last() != Some(&b'\n') {
            let limit = limits::MAX_IMPORT_LINE_BYTES;
            return Err(Failed(format!("line {number} has more than {limit} bytes, the limit; {taken} were taken")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match document(&line) {
            Ok((key, _)) if !collections.is_empty() && !collections.iter().any(|name| name == key.collection()) => {}
            Ok((key, json)) => {
                writer.put(&key, &json, now_ms)?;
                taken += 1;
            }
            Err(why) => {
                refused += 1;
                if told.len() < limits::MAX_REFUSED_LINES {
                    told.push(format!("line {number}: {why}"));
                }
            }
        }
    }
    writer.commit()?;
    let mut text = format!("{taken} documents taken, {refused} lines refused\n");
    told.iter().for_each(|line| text.push_str(&format!("{}\n", line.replace(char::is_control, " "))));
    let json = json!({ "documents": taken, "refused": refused, "reasons": told });
    Ok(Done { well: refused == 0, ..done(text, json) })
}

fn document(line: &[u8]) -> Result<(DocKey, JsonObject), String> {
    let limits = JsonLimits { max_bytes: limits::MAX_DOCUMENT_BYTES, max_depth: limits::MAX_JSON_DEPTH };
    let line: Line = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    let key = DocKey::new(&line.collection, &line.doc_id).map_err(|e| e.to_string())?;
    Ok((key, JsonObject::parse(&line.json_data, &limits).map_err(|e| e.to_string())?))
}

fn rotate_key(place: Place, new: Option<StoreKey>, reencrypt: bool) -> Result<Done, Failed> {
    let Place { data_dir, key } = place;
    let encrypted = new.is_some();
    match (key, &new) {
        (Some(old), Some(new)) if !reencrypt => store::rewrap(&data_dir, old, new)?,
        (old, _) => store::reencrypt(&data_dir, old, new)?,
    }
    let text =
        if encrypted { "the store opens with the new key only\n" } else { "the store is not encrypted any more\n" };
    Ok(done(text.into(), json!({ "encrypted": encrypted, "rewritten": reencrypt })))
}

async fn backup(api: Listen, credentials: &Credentials, out: PathBuf, key: Option<StoreKey>) -> Result<Done, Failed> {
    let client = client::connect(api.clone(), credentials).await;
    let mut client =
        client.map_err(|error| Failed(format!("no node answers at {api}: {}", client::innermost(&error))))?;
    let refused =
        |status: tonic::Status| Failed(format!("{api} gave no backup: {}", client::reason(&status, credentials)));
    let mut chunks = client.backup(BackupRequest {}).await.map_err(refused)?.into_inner();
    let store = Store::create_file(&out, key)?;
    let taken = async {
        let mut restorer = Restorer::new(&store);
        while let Some(chunk) = chunks.message().await.map_err(refused)? {
            restorer.take(&chunk.data)?;
        }
        Ok::<_, Failed>(restorer.finish()?)
    };
    if let Err(failed) = taken.await {
        // A node would start on a part as if it were all.
        let _ = std::fs::remove_file(&out);
        return Err(failed);
    }
    let checked = store.check()?;
    let text = format!("{}: {}", out.display(), told(&checked));
    let json = serde_json::to_value(&checked).expect("numbers, strings and lists have a JSON form");
    Ok(Done { well: checked.is_sound(), ..done(text, json) })
}
