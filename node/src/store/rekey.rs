//! Changing the key of a store, and encrypting one that is not.

use std::io;
use std::path::Path;

use redb::{Database, StorageBackend};

use super::handle::{Encryption, Handle};
use super::lasting::Lasting;
use super::sealed::{self, Sealed};
use super::{FILE_NAME, StoreError, StoreKey, open_file, os_entropy};
use crate::limits;

/// Wraps the data key of a store with another key. A power cut at any moment leaves a store that one of the two opens.
pub fn rewrap(directory: &Path, old: StoreKey, new: &StoreKey) -> Result<(), StoreError> {
    let path = directory.join(FILE_NAME);
    let at = path.display().to_string();
    let (backend, _) = alone(&path, &at, Some(&old))?;
    sealed::rewrap(&backend, &old, new, &os_entropy()).map_err(|trouble| StoreError::key(&at, &trouble))
}

/// Writes every page anew: encrypted under a new data key, or not at all if there is no new key. Takes the space of a second store until
/// it is done. The old one stays in place until the new one is whole.
pub fn reencrypt(directory: &Path, old: Option<StoreKey>, new: Option<StoreKey>) -> Result<(), StoreError> {
    let path = directory.join(FILE_NAME);
    let at = path.display().to_string();
    let (backend, mut handle) = alone(&path, &at, old.as_ref())?;
    let failed = |error: &dyn std::fmt::Display| StoreError::at(&at, "encrypted anew", &error);
    // What is damaged would be made to look whole.
    match handle.alone(Database::check_integrity) {
        Some(Ok(true)) => {}
        Some(Err(error)) => return Err(failed(&error)),
        _ => return Err(failed(&"it is damaged: see peat-node check")),
    }
    handle.close();
    let unfinished = path.with_extension("redb.new");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&error)),
        _ => {}
    }
    let target = open_file(&unfinished).map_err(|e| failed(&e))?;
    let copied = view(&backend, old, false).and_then(|from| copy(&*from, &*view(&target, new, true)?));
    if let Err(error) = copied {
        let _ = std::fs::remove_file(&unfinished);
        return Err(failed(&error));
    }
    std::fs::rename(&unfinished, &path).map_err(|e| failed(&e))?;
    std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(|e| failed(&e))
}

/// Opens a store, so that nobody else does, and so that it is known to be one.
fn alone(path: &Path, at: &str, key: Option<&StoreKey>) -> Result<(Lasting, Handle), StoreError> {
    std::fs::metadata(path).map_err(|e| StoreError::at(at, "opened", &e))?;
    let backend = open_file(path).map_err(|e| StoreError::at(at, "opened", &e))?;
    let encryption = key.map(|key| Encryption { key: key.clone(), entropy: os_entropy() });
    let handle = Handle::open(at, backend.clone(), encryption)?;
    Ok((backend, handle))
}

/// What redb sees of a backend.
fn view(backend: &Lasting, key: Option<StoreKey>, new: bool) -> io::Result<Box<dyn StorageBackend>> {
    let Some(key) = key else { return Ok(Box::new(backend.clone())) };
    if new {
        Sealed::create(backend, &key, &os_entropy())?;
    }
    let sealed = Sealed::open(backend.clone(), &key, os_entropy()).map_err(io::Error::other)?;
    sealed.opening().is_over();
    Ok(Box::new(sealed))
}

fn copy(from: &dyn StorageBackend, to: &dyn StorageBackend) -> io::Result<()> {
    let len = from.len()?;
    to.set_len(len)?;
    let mut offset = 0;
    while offset < len {
        let length = (len - offset).min(limits::COPY_BYTES as u64) as usize;
        let mut bytes = vec![0; length];
        from.read(offset, &mut bytes)?;
        // What was never written takes no space.
        if bytes.iter().any(|byte| *byte != 0) {
            to.write(offset, &bytes)?;
        }
        offset += length as u64;
    }
    to.sync_data()
}
