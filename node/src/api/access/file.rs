//! Files that are looked at at an interval: tokens and certificates.
//!
//! Looked at rather than watched: that works on every file system, also where the file is replaced through a link, as
//! Kubernetes does; and unlike a signal it needs nobody inside the container. It costs a read of some kilobytes.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;

/// A file, and the flag that named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// With its dashes.
    pub flag: &'static str,
    /// The file.
    pub path: PathBuf,
}

/// Why a file is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {}: {problem}", file.flag, file.path.display())]
pub struct FileError {
    /// Which.
    pub file: Named,
    /// What is wrong, and what would be right; no secret.
    pub problem: String,
}

impl Named {
    /// An error of this file.
    pub fn wrong(&self, problem: impl fmt::Display) -> FileError {
        FileError { file: self.clone(), problem: problem.to_string() }
    }

    /// Reads it, up to a limit.
    pub fn read(&self, most: u64) -> Result<Vec<u8>, FileError> {
        let plainly = |e: std::io::Error| self.wrong(e.to_string().split(" (os error").next().unwrap_or_default());
        let mut bytes = Vec::new();
        let file = std::fs::File::open(&self.path).map_err(plainly)?;
        file.take(most + 1).read_to_end(&mut bytes).map_err(plainly)?;
        if bytes.len() as u64 > most {
            return Err(self.wrong(format_args!("it has more than {most} bytes, which is the limit")));
        }
        Ok(bytes)
    }
}

/// Files that belong together. What they had is kept as hashes: one of them may be a key.
#[derive(Debug)]
pub(super) struct Files {
    files: Vec<Named>,
    most: u64,
    seen: Result<Vec<[u8; 32]>, FileError>,
}

/// What a look gave.
#[derive(Debug)]
pub(super) enum Look {
    /// As before.
    Unchanged,
    /// At least one has another content now: that of all.
    Changed(Vec<Vec<u8>>),
    /// One cannot be read. Told once for each kind of trouble.
    Unreadable(FileError),
}

impl Files {
    /// Reads them for the first time.
    pub(super) fn open(files: Vec<Named>, most: u64) -> Result<(Self, Vec<Vec<u8>>), FileError> {
        let contents = files.iter().map(|file| file.read(most)).collect::<Result<Vec<_>, _>>()?;
        Ok((Self { files, most, seen: Ok(hashes(&contents)) }, contents))
    }

    /// Looks again. Blocks for as long as reading them does.
    pub(super) fn look(&mut self) -> Look {
        let contents = self.files.iter().map(|file| file.read(self.most)).collect::<Result<Vec<_>, _>>();
        let now = contents.as_deref().map(hashes).map_err(Clone::clone);
        if now == self.seen {
            return Look::Unchanged;
        }
        self.seen = now;
        match contents {
            Ok(contents) => Look::Changed(contents),
            Err(error) => Look::Unreadable(error),
        }
    }
}

fn hashes(contents: &[Vec<u8>]) -> Vec<[u8; 32]> {
    contents.iter().map(|content| *blake3::hash(content).as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_and_a_trouble_are_each_told_once() {
        let directory = tempfile::tempdir().expect("temporary");
        let file = |name: &str| Named { flag: "--tls-cert", path: directory.path().join(name) };
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("written");
        write("a", "1");
        let missing = Files::open(vec![file("a"), file("b")], 10).expect_err("there is no b");
        assert!(missing.to_string().ends_with("/b: No such file or directory"), "{missing}");
        write("b", "2");
        let (mut files, contents) = Files::open(vec![file("a"), file("b")], 10).expect("readable");
        assert_eq!(contents, [b"1", b"2"]);
        assert!(matches!(files.look(), Look::Unchanged));
        write("b", "3");
        assert!(matches!(files.look(), Look::Changed(contents) if contents == [b"1", b"3"]));
        assert!(matches!(files.look(), Look::Unchanged));
        write("a", "more than ten bytes");
        assert!(
            matches!(files.look(), Look::Unreadable(e) if e.to_string().ends_with("more than 10 bytes, which is the limit"))
        );
        assert!(matches!(files.look(), Look::Unchanged));
        // As it was before the trouble: what is in force is the same, and that the trouble is over is worth knowing.
        write("a", "1");
        assert!(matches!(files.look(), Look::Changed(_)));
    }
}
