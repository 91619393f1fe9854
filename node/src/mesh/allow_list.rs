//! Which endpoint ids may take part, beyond those who have the key.
//!
//! The list itself is plain data, handed to the mesh by [`crate::NodeHandle::set_allow_list`]. The file that it is kept
//! in belongs to the production world, see [`AllowListFile`].

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use iroh::EndpointId;

use crate::limits;

/// Endpoint ids that may take part. The node's own need not be among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList(BTreeSet<[u8; 32]>);

/// Why a text is no allow-list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line}: {problem}; write one endpoint id (64 hex digits, as GetStatus shows it) per line, # begins a comment"
)]
pub struct AllowListError {
    /// Counted from 1.
    pub line: usize,
    /// What was found there.
    pub problem: String,
}

impl AllowList {
    /// Parses one endpoint id per line; `#` begins a comment, empty lines are skipped.
    pub fn parse(text: &str) -> Result<Self, AllowListError> {
        const SHOWN_CHARS: usize = 80;
        let mut ids = BTreeSet::new();
        for (index, line) in text.lines().enumerate() {
            let id = line.split('#').next().unwrap_or_default().trim();
            if id.is_empty() {
                continue;
            }
            let wrong = |problem: String| AllowListError { line: index + 1, problem };
            if id.len() != 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
                let shown: String = id.chars().take(SHOWN_CHARS).collect();
                return Err(wrong(format!("{shown:?} is not an endpoint id")));
            }
            let parsed: EndpointId =
                id.to_ascii_lowercase().parse().map_err(|_| wrong(format!("{id} is no ed25519 public key")))?;
            ids.insert(*parsed.as_bytes());
            if ids.len() > limits::MAX_ALLOWED {
                return Err(wrong(format!("more than {} endpoint ids, which is the limit", limits::MAX_ALLOWED)));
            }
        }
        Ok(Self(ids))
    }

    /// Whether an endpoint id is on it.
    pub fn contains(&self, id: &[u8; 32]) -> bool {
        self.0.contains(id)
    }

    /// How many ids are on it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is on it: then nobody is admitted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<EndpointId> for AllowList {
    fn from_iter<I: IntoIterator<Item = EndpointId>>(ids: I) -> Self {
        Self(ids.into_iter().map(|id| *id.as_bytes()).collect())
    }
}

/// An allow-list in a file. It is read again at an interval rather than watched: that works on every file system, and
/// also where the file is replaced through a link, as Kubernetes does. Reading it costs less than a watcher.
#[derive(Debug)]
pub struct AllowListFile {
    path: PathBuf,
    /// What it had when it was last looked at, good or bad.
    seen: Result<String, String>,
}

/// What a look at the file gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    /// As before.
    Unchanged,
    /// It has another list now.
    Changed(AllowList),
    /// It cannot be used now; the list before stays in force. Told once for each kind of trouble.
    Unusable(String),
}

impl AllowListFile {
    /// Reads it for the first time. The error names file, line and remedy.
    pub fn open(path: &Path) -> Result<(Self, AllowList), String> {
        let text = read(path)?;
        let list = AllowList::parse(&text).map_err(|e| format!("--allow-list {}: {e}", path.display()))?;
        Ok((Self { path: path.into(), seen: Ok(text) }, list))
    }

    /// Looks again. Blocks for as long as a read of the file does.
    pub fn look(&mut self) -> Reading {
        let now = read(&self.path);
        if now == self.seen {
            return Reading::Unchanged;
        }
        self.seen = now;
        match &self.seen {
            Err(trouble) => Reading::Unusable(trouble.clone()),
            Ok(text) => match AllowList::parse(text) {
                Ok(list) => Reading::Changed(list),
                Err(e) => Reading::Unusable(format!("--allow-list {}: {e}", self.path.display())),
            },
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let fail = |detail: String| {
        format!("--allow-list {}: {detail}; give a file with one endpoint id per line", path.display())
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|e| fail(e.to_string()))?;
    let most = limits::MAX_ALLOW_LIST_BYTES as u64;
    let read = file.take(most + 1).read_to_string(&mut text).map_err(|e| fail(e.to_string()))?;
    if read as u64 > most {
        return Err(fail(format!("it has more than {most} bytes, which is the limit")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ae58ff8833241ac82d6ff7611046ed67b5072d142c588d0063e942d9a75502b6";

    fn other() -> String {
        iroh::SecretKey::from_bytes(&[3; 32]).public().to_string()
    }

    #[test]
    fn a_list_has_ids_comments_and_empty_lines() {
        let text = format!("# the fleet\n\n  {A}  # ship-7\r\n{}\n{A}\n", other().to_uppercase());
        let list = AllowList::parse(&text).expect("valid");
        assert_eq!(list.len(), 2);
        assert!(list.contains(A.parse::<EndpointId>().expect("valid").as_bytes()));
        assert!(AllowList::parse("# nobody yet\n").expect("valid").is_empty());
    }

    #[test]
    fn every_bad_list_is_explained() {
        let bad = [
            format!("{A}\nship-7\n"),
            format!("{A} {}\n", other()),
            format!("#\n#\n02{}\n", "0".repeat(62)),
            "ä".repeat(100),
        ];
        let told: Vec<String> = bad.iter().map(|text| AllowList::parse(text).expect_err("bad").to_string()).collect();
        insta::assert_snapshot!(told.join("\n\n"));
    }

    #[test]
    fn a_bad_or_missing_file_keeps_the_list_and_is_told_once() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("allowed");
        let missing = AllowListFile::open(&path).expect_err("nothing there");
        assert!(missing.contains("allowed: ") && missing.contains("one endpoint id per line"), "{missing}");

        std::fs::write(&path, A).expect("written");
        let (mut file, list) = AllowListFile::open(&path).expect("valid");
        assert_eq!((list.len(), file.look()), (1, Reading::Unchanged));
        std::fs::write(&path, "nonsense").expect("written");
        assert!(matches!(file.look(), Reading::Unusable(why) if why.contains("line 1")));
        assert_eq!(file.look(), Reading::Unchanged);
        std::fs::remove_file(&path).expect("removed");
        assert!(matches!(file.look(), Reading::Unusable(_)));
        assert_eq!(file.look(), Reading::Unchanged);
        std::fs::write(&path, other()).expect("written");
        assert!(matches!(file.look(), Reading::Changed(list) if list.len() == 1));
    }
}
